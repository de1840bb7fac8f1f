"""Inputs as they come in Python, as files that ffmpeg reads."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy
import numpy.typing

from clipcore import _clipcore, _tools
from clipcore._errors import InvalidInput
from clipcore._records import Record
from clipcore._replay import PathLike

Media = Union[PathLike, bytes, "numpy.typing.NDArray[Any]"]
"""A path, a URL (``rtmp://``, ``srt://``, ``rtsp://``, HLS), the bytes of a media file, sound as float32 ``[samples]`` or ``[samples,
channels]`` (give ``rate``), or pictures as uint8 ``[frames, height, width, 3]`` (give ``fps``)."""


@dataclass
class Prepared:
    """A path or URL, and what it needs to be there."""

    name: str
    keep: _tools.Folder | None = None


def sound(value: Media, rate: int | None) -> tuple[numpy.typing.NDArray[numpy.float32], int] | None:
    """Interleaved samples and the number of channels, where the input is an array of sound."""
    if isinstance(value, (str, os.PathLike, bytes, bytearray, memoryview)):
        return None
    array = numpy.asarray(value)
    if array.ndim not in (1, 2) or not numpy.issubdtype(array.dtype, numpy.floating):
        return None
    if rate is None:
        raise InvalidInput("sound in an array has no rate", hint="pass rate=, in samples per second")
    return numpy.ascontiguousarray(array, dtype=numpy.float32).reshape(-1), 1 if array.ndim == 1 else array.shape[1]


def media(value: Media, *, rate: int | None, fps: float | None) -> Prepared:
    """Makes a file of what is in memory; it goes with the object that is returned."""
    if isinstance(value, (str, os.PathLike)):
        return Prepared(os.fspath(value))
    keep = _tools.Folder("input")
    folder = keep.path
    if isinstance(value, (bytes, bytearray, memoryview)):
        (folder / "bytes").write_bytes(value)
        return Prepared(str(folder / "bytes"), keep)
    array = numpy.asarray(value)
    if (samples := sound(array, rate)) is not None:
        _wav(folder / "sound.wav", *samples, rate or 0)
        return Prepared(str(folder / "sound.wav"), keep)
    if array.ndim == 4 and array.shape[3] == 3 and array.dtype == numpy.uint8:
        if fps is None:
            raise InvalidInput("pictures in an array have no rate", hint="pass fps=, in pictures per second")
        _video(folder / "pictures.mp4", array, fps)
        return Prepared(str(folder / "pictures.mp4"), keep)
    raise InvalidInput(
        f"an array of {array.dtype} with shape {array.shape} is neither sound nor pictures",
        hint="sound is float32 [samples] or [samples, channels], pictures are uint8 [frames, height, width, 3]",
    )


def _wav(path: Path, samples: numpy.typing.NDArray[numpy.float32], channels: int, rate: int) -> None:
    """WAV with 32-bit floats (format 3)."""
    data = samples.astype("<f4", copy=False).tobytes()
    form = struct.pack("<HHIIHHH", 3, channels, rate, rate * channels * 4, channels * 4, 32, 0)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)


def _video(path: Path, pictures: numpy.typing.NDArray[numpy.uint8], fps: float) -> None:
    _tools.prepare()
    _, height, width, _ = pictures.shape
    program = os.environ.get("CLIPCORE_FFMPEG", "ffmpeg")
    command = [program, "-hide_banner", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    command += ["-r", str(fps), "-i", "-", "-c:v", "libx264", "-g", str(max(1, round(2 * fps))), "-pix_fmt", "yuv420p"]
    command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", str(path)]
    done = subprocess.run(command, input=numpy.ascontiguousarray(pictures).tobytes(), capture_output=True)
    if done.returncode != 0:
        raise InvalidInput("these pictures cannot be encoded", source=done.stderr.decode(errors="replace").strip())


def feeder(events: Iterable[Mapping[str, Any] | Record]) -> Callable[[_clipcore.Feed], None]:
    """What the compiled part calls to have a thread take events out of the iterator, which may wait for them."""
    iterator: Iterator[Mapping[str, Any] | Record] = iter(events)

    def work(feed: _clipcore.Feed) -> None:
        try:
            for event in iterator:
                if not feed.push(json.dumps(event.to_dict() if isinstance(event, Record) else dict(event))):
                    return
        except BaseException as raised:
            feed.end(raised)
        else:
            feed.end(None)

    return lambda feed: threading.Thread(target=work, args=(feed,), name="clipcore-events", daemon=True).start()

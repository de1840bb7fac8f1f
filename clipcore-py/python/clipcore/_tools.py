"""Programs and libraries that Python packages may bring along."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import weakref
from functools import lru_cache
from pathlib import Path


class Folder:
    """A folder that goes with the object, or with the program."""

    def __init__(self, what: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"clipcore-{what}-"))
        weakref.finalize(self, _remove, self.path, os.getpid())


def _remove(path: Path, process: int) -> None:
    # A forked process does not take its parent's files away.
    if os.getpid() == process:
        shutil.rmtree(path, ignore_errors=True)


def prepare() -> None:
    """Lets clipcore find ffmpeg and ONNX Runtime in this Python's packages, where nothing else was named."""
    if "CLIPCORE_FFMPEG" not in os.environ and (program := ffmpeg()) is not None:
        os.environ["CLIPCORE_FFMPEG"] = program
    named = any(name in os.environ for name in ("CLIPCORE_ONNXRUNTIME", "ORT_DYLIB_PATH"))
    if not named and (library := onnxruntime()) is not None:
        os.environ["CLIPCORE_ONNXRUNTIME"] = library


@lru_cache(maxsize=1)
def ffmpeg() -> str | None:
    """The ffmpeg of the package imageio-ffmpeg, where there is none on the path."""
    if shutil.which("ffmpeg") is not None or importlib.util.find_spec("imageio_ffmpeg") is None:
        return None
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


@lru_cache(maxsize=1)
def onnxruntime() -> str | None:
    """The library inside the package onnxruntime, which need not be imported for it."""
    try:
        spec = importlib.util.find_spec("onnxruntime")
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    capi = Path(spec.origin).parent / "capi"
    found = sorted([*capi.glob("libonnxruntime.so*"), *capi.glob("libonnxruntime.*.dylib"), *capi.glob("onnxruntime.dll")])
    return str(found[-1]) if found else None

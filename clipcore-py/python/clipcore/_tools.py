"""Programs and libraries that Python packages may bring along."""

from __future__ import annotations

import importlib.util
import os
import shutil
from functools import lru_cache
from pathlib import Path


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

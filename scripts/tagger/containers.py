"""Samples inside two containers that Debian packages ship: SoundFont 2 files and Doom WADs."""

import struct
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from features import RATE


def to_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    divisor = np.gcd(rate, RATE)
    return resample_poly(samples, RATE // divisor, rate // divisor).astype(np.float32)


def _chunks(data, start, end):
    while start + 8 <= end:
        name, size = data[start : start + 4], struct.unpack_from("<I", data, start + 4)[0]
        yield name, start + 8, size
        start += 8 + size + (size & 1)


def soundfont(path: Path) -> dict[str, tuple[np.ndarray, int]]:
    """Sample name -> (samples in [-1, 1] at their own rate, that rate)."""
    data = path.read_bytes()
    pcm, headers = None, None
    for name, at, size in _chunks(data, 12, len(data)):
        if name != b"LIST":
            continue
        for inner, start, length in _chunks(data, at + 4, at + size):
            if inner == b"smpl":
                pcm = np.frombuffer(data, "<i2", length // 2, start)
            elif inner == b"shdr":
                headers = data[start : start + length]
    out = {}
    for k in range(len(headers) // 46 - 1):
        row = headers[46 * k : 46 * k + 46]
        first, last, _, _, rate = struct.unpack_from("<5I", row, 20)
        name = row[:20].split(b"\0")[0].decode("latin-1").strip()
        out[name] = (pcm[first:last].astype(np.float32) / 32768.0, rate)
    return out


def doom_sounds(path: Path) -> dict[str, tuple[np.ndarray, int]]:
    """Lump name -> (samples in [-1, 1], rate) of the digitised sounds (`DS...`) of a WAD."""
    data = path.read_bytes()
    count, table = struct.unpack_from("<II", data, 4)
    out = {}
    for k in range(count):
        at, size, name = struct.unpack_from("<II8s", data, table + 16 * k)
        name = name.split(b"\0")[0].decode("latin-1")
        if not name.startswith("DS") or size < 64:
            continue
        kind, rate, length = struct.unpack_from("<HHI", data, at)
        if kind == 3 and 4000 < rate < 50_000 and length <= size:
            pcm = np.frombuffer(data, np.uint8, length - 32, at + 24)
            out[name] = (pcm.astype(np.float32) / 128.0 - 1.0, rate)
    return out

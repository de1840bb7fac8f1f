"""The front end that the embedded tagger shares with YAMNet, and YAMNet itself as teacher and peer.

Mono 16 kHz; frames of 400 samples every 160, periodic Hann, FFT of 512, magnitude; 64 HTK mel bands
from 125 to 7500 Hz; log(x + 0.001); patches of 96 frames.
"""

import os
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort

RATE = 16_000
FRAME, HOP, FFT, BANDS = 400, 160, 512, 64
PATCH_FRAMES = 96
PATCH_SAMPLES = (PATCH_FRAMES - 1) * HOP + FRAME
SHARED = Path(os.environ.get("CLIPCORE_SHARED", Path(__file__).resolve().parents[3] / "shared"))

#: YAMNet's classes behind each of our labels.
YAMNET_CLASSES = {
    "laughter": [13, 14, 15, 16, 17, 18],
    "cheer": [61],
    "applause": [58, 62],
    "scream": [11],
    "shout": [6, 7, 8, 9, 10],
    "speech": [0, 1, 2, 3],
    "music": [132],
}


def decode(path: Path) -> np.ndarray:
    """Mono 16 kHz samples in [-1, 1] of anything that ffmpeg reads; shape [samples]."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-vn", "-ac", "1", "-ar", str(RATE), "-f", "f32le", "pipe:1"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.float32).copy()


@cache
def mel_matrix() -> np.ndarray:
    """HTK mel weights, [FFT / 2 + 1, BANDS], triangles in mel, the DC bin left out."""
    mel = lambda hertz: 1127.0 * np.log1p(np.asarray(hertz) / 700.0)
    bins = mel(np.linspace(0.0, RATE / 2, FFT // 2 + 1)[1:])[:, None]
    edges = np.linspace(mel(125.0), mel(7500.0), BANDS + 2)
    lower = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    upper = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(lower, upper))
    return np.vstack([np.zeros((1, BANDS)), weights]).astype(np.float32)


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Log-mel frames [frames, BANDS] of mono 16 kHz samples."""
    if len(samples) < FRAME:
        samples = np.pad(samples, (0, FRAME - len(samples)))
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]
    magnitude = np.abs(np.fft.rfft(frames * window, FFT)).astype(np.float32)
    return np.log(magnitude @ mel_matrix() + 0.001).astype(np.float32)


def patches(samples: np.ndarray, hop_frames: int = 48) -> np.ndarray:
    """Patches [n, 96, 64] every `hop_frames` frames; a short clip is padded with silence to one patch."""
    if len(samples) < PATCH_SAMPLES:
        samples = np.pad(samples, (0, PATCH_SAMPLES - len(samples)))
    mel = log_mel(samples)
    starts = range(0, len(mel) - PATCH_FRAMES + 1, hop_frames)
    return np.stack([mel[start : start + PATCH_FRAMES] for start in starts])


class Yamnet:
    """YAMNet through onnxruntime on `threads` threads."""

    def __init__(self, threads: int = 1):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        path = SHARED / "models/yamnet/yamnet_core_fp32.onnx"
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, mel_patches: np.ndarray, batch: int = 128) -> tuple[np.ndarray, np.ndarray]:
        """Scores [n, 521] after the sigmoid, and embeddings [n, 1024]."""
        out = [self.session.run(None, {"patches": mel_patches[i : i + batch]}) for i in range(0, len(mel_patches), batch)]
        return np.concatenate([o[0] for o in out]), np.concatenate([o[1] for o in out])

    def labels(self, mel_patches: np.ndarray) -> np.ndarray:
        """Scores of our labels, [n, 7]: the largest of each label's classes."""
        scores, _ = self.run(mel_patches)
        return grouped(scores)


def grouped(scores: np.ndarray) -> np.ndarray:
    """YAMNet's 521 scores folded into our labels by the maximum, [n, 7]."""
    return np.stack([scores[:, ids].max(1) for ids in YAMNET_CLASSES.values()], 1)

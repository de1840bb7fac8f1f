"""Reference values for the log-mel front ends: numpy after the TensorFlow formulas for YAMNet, librosa for the others.

    pip install numpy librosa==0.11.0
    python scripts/front_end_reference.py > clipcore/src/model/front_end/reference.json
"""

import json

import librosa
import numpy as np

RATE = 16000


def sound():
    """A glide, a hum, noise and a click, as 16-bit samples."""
    rng = np.random.default_rng(7)
    t = np.arange(2400) / RATE
    x = 0.3 * np.sin(2 * np.pi * (300 * t + 9000 * t * t)) + 0.1 * np.sin(2 * np.pi * 60 * t)
    x += 0.02 * rng.standard_normal(len(t)) * np.linspace(0, 1, len(t))
    x[1200] += 0.5
    return np.clip(np.round(x * 32767), -32768, 32767).astype(np.int16)


def linear_to_mel_weight_matrix(bands, bins, rate, low, high):
    """tf.signal.linear_to_mel_weight_matrix: triangles that are straight over mel, nothing in the first bin."""
    mel = lambda hz: 1127.0 * np.log1p(np.asarray(hz) / 700.0)
    positions = mel(np.linspace(0.0, rate / 2.0, bins)[1:])[:, None]
    edges = np.linspace(mel(low), mel(high), bands + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    slopes = np.minimum((positions - lower) / (centre - lower), (upper - positions) / (upper - centre))
    return np.pad(np.maximum(0.0, slopes), [[1, 0], [0, 0]])


def yamnet(x):
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.stack([x[i : i + 400] * window for i in range(0, len(x) - 399, 160)])
    magnitude = np.abs(np.fft.rfft(frames, 512))
    return np.log(magnitude @ linear_to_mel_weight_matrix(64, 257, RATE, 125.0, 7500.0) + 0.001)


def decibels(x, **kwargs):
    power = librosa.feature.melspectrogram(y=x, sr=RATE, hop_length=160, center=True, pad_mode="reflect", power=2.0, **kwargs)
    return librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None).T


def main():
    samples = sound()
    x = samples / 32768.0
    found = {
        "yamnet": yamnet(x),
        "panns": decibels(x, n_fft=512, win_length=512, n_mels=64, fmin=50, fmax=8000),
        "librosa": decibels(x, n_fft=512, win_length=400, n_mels=40, fmin=0, fmax=8000),
        "librosa_htk": decibels(x, n_fft=512, win_length=400, n_mels=32, fmin=20, fmax=7600, htk=True, norm=None),
    }
    values = {name: [[round(float(v), 5) for v in frame] for frame in frames] for name, frames in found.items()}
    print(json.dumps({"samples": samples.tolist(), **values}, separators=(",", ":")))


if __name__ == "__main__":
    main()

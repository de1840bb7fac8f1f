"""A scikit-learn classifier decides what a moment is: noise that claps, against tones that do not.

    pip install clipcore scikit-learn
    python examples/python/sklearn_detector.py
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import clipcore
from clipcore import Audio16k, Event

RATE = 16_000


def clapping(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Short bursts of noise, many a second."""
    t = np.arange(int(seconds * RATE))
    starts = rng.integers(0, len(t), int(seconds * 40))
    envelope = np.zeros(len(t))
    envelope[starts] = rng.uniform(0.3, 1.0, len(starts))
    envelope = np.convolve(envelope, np.exp(-np.arange(400) / 80))[: len(t)]
    return (0.3 * envelope * rng.standard_normal(len(t))).astype(np.float32)


def humming(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A tone that wanders, and a little noise."""
    steps = rng.normal(0, 0.0002, int(seconds * RATE))
    phase = np.cumsum(2 * np.pi * (rng.uniform(100, 400) / RATE + np.cumsum(steps) / RATE))
    return (0.2 * np.sin(phase) + 0.005 * rng.standard_normal(len(phase))).astype(np.float32)


def features(samples: np.ndarray) -> np.ndarray:
    """Log energies of 16 bands, their mean and how much they change."""
    frames = samples[: len(samples) // 512 * 512].reshape(-1, 512)
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(512), axis=1))[:, 1:257] ** 2
    bands = np.log(spectrum.reshape(len(frames), 16, 16).sum(axis=2) + 1e-6)
    return np.concatenate([bands.mean(axis=0), bands.std(axis=0)])


def train(seed: int = 1) -> object:
    """A classifier of one second of sound."""
    rng = np.random.default_rng(seed)
    rows = [(features(make(rng, 1.0)), label) for _ in range(60) for make, label in ((clapping, 1), (humming, 0))]
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return model.fit(*map(np.asarray, zip(*rows, strict=True)))


CLASSIFIER = train()


@clipcore.detector("claps", labels=["applause"], window=1.0, hop=0.5)
def claps(event: Event[Audio16k]) -> float | None:
    """Log-odds of applause; silence is no evidence."""
    samples = event.data.samples
    if np.abs(samples).max() < 0.01:
        return None
    return float(CLASSIFIER.decision_function(features(samples)[None])[0])


def main() -> None:
    rng = np.random.default_rng(2)
    sound = np.concatenate([humming(rng, 60), clapping(rng, 6), humming(rng, 60)])
    # Only our own detector: what the others hear is switched off.
    config = {"detectors": {"off": ["loudness", "audio_tagger"]}}
    found = clipcore.detect(sound, rate=RATE, detectors=[claps], config=config)
    at = [s.at for s in found.signals if s.score > 2]
    print(f"applause from {min(at) - 1:.1f} to {max(at):.1f} s")
    positive = found.signals.where(lambda s: s.score > 2)
    replayed = clipcore.replay(positive)
    for moment in replayed.moments:
        print(moment)
    assert len(replayed.moments) == 1 and 59 <= replayed.moments[0].peak <= 67


if __name__ == "__main__":
    main()

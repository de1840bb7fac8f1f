"""A PyTorch network as a model that all streams share: their questions go through it in batches.

    pip install clipcore torch
    python examples/python/torch_detector.py
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import clipcore
from clipcore import Audio16k, Detector, Event, Output

RATE = 16_000


def beeps(rng: np.random.Generator, wanted: bool, seconds: float = 1.0) -> np.ndarray:
    """A rising tone where it is wanted, else a falling one, in noise."""
    t = np.arange(int(seconds * RATE)) / RATE
    low, high = rng.uniform(300, 500), rng.uniform(1500, 2500)
    sweep = (high - low) / seconds * t * (1 if wanted else -1) / 2
    tone = np.sin(2 * np.pi * ((low if wanted else high) + sweep) * t)
    return (0.3 * tone + 0.02 * rng.standard_normal(len(t))).astype(np.float32)


def window(rng: np.random.Generator, wanted: bool) -> np.ndarray:
    """A second of sound in which the tone begins or ends somewhere."""
    shift = rng.integers(-RATE // 2, RATE // 2)
    return np.pad(beeps(rng, wanted), RATE // 2)[RATE // 2 + shift :][:RATE]


class Network(torch.nn.Module):
    """Spectrogram, two convolutions, one number."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 5, stride=2),
            torch.nn.ReLU(),
            torch.nn.Conv2d(8, 16, 5, stride=2),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d((4, 4)),
            torch.nn.Flatten(),
            torch.nn.Linear(256, 1),
        )

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        """``[batch, samples]`` to ``[batch]`` log-odds."""
        window = torch.hann_window(512, device=sound.device)
        spectrum = torch.stft(sound, 512, 256, window=window, return_complex=True).abs()
        return self.layers(torch.log(spectrum[:, None, :96] + 1e-3)).squeeze(1)


def train(seed: int = 1) -> Network:
    """A network that tells rising tones from falling ones."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(150):
        wanted = rng.random(16) < 0.5
        sound = torch.from_numpy(np.stack([window(rng, w) for w in wanted]))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(sound), torch.from_numpy(wanted.astype(np.float32)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


class Sweeps:
    """The model that detectors ask."""

    name = "sweeps"
    max_batch = 32

    def __init__(self, network: Network) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.network = network.to(self.device)
        self.largest = 0

    def infer(self, batch: Sequence[Any]) -> list[np.ndarray]:
        self.largest = max(self.largest, len(batch))
        with torch.inference_mode():
            scores = self.network(torch.from_numpy(np.stack(batch)).to(self.device))
        return list(scores.cpu().numpy()[:, None])


class Rising(Detector[Audio16k]):
    """Asks the model about every second of sound."""

    name = "rising"
    labels = ("rising",)
    inputs = (Audio16k,)
    window = 1.0
    hop = 0.5

    def detect(self, event: Event[Audio16k], out: Output) -> None:
        if np.abs(event.data.samples).max() > 0.1:
            out.request("sweeps", event.data.samples)

    def resolve(self, tag: int, at: float, answer: np.ndarray, out: Output) -> None:
        if answer[0] > 1:
            out.signal("rising", float(answer[0]), at=at)


def main() -> None:
    rng = np.random.default_rng(2)
    quiet = np.zeros(20 * RATE, np.float32)
    sound = np.concatenate([quiet, beeps(rng, False), quiet, beeps(rng, True), quiet])
    config = {"detectors": {"off": ["loudness", "audio_tagger"]}}
    found = clipcore.detect(sound, rate=RATE, detectors=[Rising], models=[Sweeps(train())], config=config)
    for signal in found.signals:
        print(signal)
    assert found.signals and all(40.5 <= s.at <= 42.5 for s in found.signals)


if __name__ == "__main__":
    main()

"""What a window of sound costs more when a detector is written in Python, beside the same sound without one.

    pip install clipcore
    python benches/compare/python_overhead.py

The same two minutes of sound are shown to the shipped loudness detector alone, and to it and a detector in Python; the difference by the number of
windows is the price of one. The least of five rounds that take turns.
"""

from __future__ import annotations

import time

import numpy as np

import clipcore
from clipcore import Audio16k, AudioWindow, Event

RATE, SECONDS, ROUNDS = 16_000, 120, 5
CONFIG = {"detectors": {"off": ["audio_tagger"]}}
seen = 0


@clipcore.detector("blocks", input=AudioWindow)
def blocks(event: Event[AudioWindow]) -> None:
    global seen
    seen += 1


@clipcore.detector("windows", input=Audio16k, window=0.975, hop=0.1)
def windows(event: Event[Audio16k]) -> None:
    global seen
    seen += 1


@clipcore.detector("views", input=Audio16k, window=0.975, hop=0.1)
def views(event: Event[Audio16k]) -> None:
    global seen
    seen += 1
    event.data.samples  # noqa: B018


@clipcore.detector("levels", input=Audio16k, window=0.975, hop=0.1)
def levels(event: Event[Audio16k]) -> float:
    global seen
    seen += 1
    return float(np.abs(event.data.samples).max())


def timed(sound: np.ndarray, detectors: list) -> float:
    before = time.perf_counter()
    clipcore.detect(sound, rate=RATE, detectors=detectors, config=CONFIG)
    return time.perf_counter() - before


def main() -> None:
    global seen
    sound = (0.05 * np.random.default_rng(1).standard_normal(SECONDS * RATE)).astype(np.float32)
    cases = {
        "a block of 100 ms as it comes, nothing done": [blocks],
        "a window of 0.975 s every 100 ms, nothing done": [windows],
        "the same, and its numpy array": [views],
        "the same, its largest sample, and a signal": [levels],
    }
    alone = [timed(sound, []) for _ in range(ROUNDS)]
    print(f"clipcore {clipcore.__version__}: loudness alone, {1e6 * min(alone) / (SECONDS * 10):.1f} µs for 100 ms of sound\n")
    print("| a detector in Python is shown | µs more for each |\n|---|---|")
    for what, detectors in cases.items():
        with_it, without = [], []
        for _ in range(ROUNDS):
            without.append(timed(sound, []))
            seen = 0
            with_it.append(timed(sound, detectors))
        print(f"| {what} ({seen}) | {1e6 * (min(with_it) - min(without)) / seen:.1f} |")


if __name__ == "__main__":
    main()

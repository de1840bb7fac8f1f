"""The built-in detector of loudness, written again in Python with the same float operations in the same order: filters, energies,
logarithms and running averages over every sample. Signals and moments are then the same, byte for byte."""

from __future__ import annotations

import functools
import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clipcore
from clipcore import AudioWindow, Detector, Event, Output
from clipcore.conformance import check_detector

US = 1_000_000
HOP = 100_000
"""Microseconds from one measurement to the next; a level covers four of them."""


def alpha(tau: float) -> float:
    """How far an exponential average goes in one hop."""
    return 1.0 - math.exp(-0.1 / tau)


FAST, SLOW, YOUNG, STEP_AFTER = alpha(0.8), alpha(60.0), 10.0 / 0.1, int(20.0 / 0.1)
WINSOR, FLOOR, OVERLAP, MIN_Z, GATE = 3.0, 1.5, 4.0, 1.0, -60.0


@functools.lru_cache
def k_weighting(rate: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Two second-order sections ``b0 b1 b2 a1 a2``, after ITU-R BS.1770."""
    q, k = 0.7071752369554196, math.tan(math.pi * 1681.974450955533 / rate)
    vh = math.pow(10.0, 3.999843853973347 / 20.0)
    vb = math.pow(vh, 0.4996667741545416)
    a0 = 1.0 + k / q + k * k
    b = ((vh + vb * k / q + k * k) / a0, 2.0 * (k * k - vh) / a0, (vh - vb * k / q + k * k) / a0)
    shelf = (*b, 2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0)
    q, k = 0.5003270373238773, math.tan(math.pi * 38.13547087602444 / rate)
    a0 = 1.0 + k / q + k * k
    return shelf, (1.0, -2.0, 1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0)


class Loudness(Detector[AudioWindow]):
    """For sound of up to three channels without holes."""

    name = "loudness"
    labels = ("loud",)
    inputs = (AudioWindow,)
    state = ("usual", "sound", "hops", "pending", "last", "run")

    def __init__(self) -> None:
        self.usual = {"n": 0.0, "fast": 0.0, "slow": 0.0, "var": 0.0, "beyond": 0, "upward": False, "edge": 0.0, "var_before": 0.0}
        self.sound: dict[str, Any] | None = None
        self.hops: list[list[float]] = []
        self.pending: list[list[float]] = []
        self.last: int | None = None
        self.run: list[int] | None = None

    def detect(self, event: Event[AudioWindow], out: Output) -> None:
        rate, channels, at = event.data.rate, event.data.channels, round(event.at * US)
        if self.sound is None:
            ends = at // HOP * HOP + HOP
            self.sound = {"since": at, "samples": 0, "memory": [[0.0] * 4 for _ in range(channels)], "ends": ends}
            self.sound |= {"energy": 0.0, "in_hop": 0, "whole": at % HOP == 0, "end": -(-(ends - at) * rate // US)}
        sound = self.sound
        rest = event.data.samples.reshape(-1, channels)
        while len(rest):
            now, rest = np.split(rest, [min(len(rest), sound["end"] - sound["samples"])])
            for channel, memory in enumerate(sound["memory"]):
                sound["energy"] += weighted_energy(now[:, channel].tolist(), memory, rate)
            sound["samples"] += len(now)
            sound["in_hop"] += len(now)
            if sound["samples"] == sound["end"]:
                self.close_hop(sound, rate)

    def close_hop(self, sound: dict[str, Any], rate: int) -> None:
        at = sound["ends"]
        if sound["whole"]:
            self.hops = [*self.hops, [sound["energy"], sound["in_hop"]]][-4:]
        for memory in sound["memory"]:
            memory[:] = [0.0 if abs(m) < 1e-15 else m for m in memory]
        ends = at + HOP
        sound |= {"energy": 0.0, "in_hop": 0, "whole": True, "ends": ends, "end": -(-(ends - sound["since"]) * rate // US)}
        if len(self.hops) == 4:
            energy, samples = 0.0, 0
            for heard, count in self.hops:
                energy, samples = energy + heard, samples + count
            self.judge(at, -0.691 + 10.0 * math.log10(energy / samples) if energy > 0.0 else -math.inf)

    def judge(self, at: int, level: float) -> None:
        before, self.last = self.last, at
        if level < GATE or (before is not None and at > before + US):
            self.usual |= {"fast": self.usual["slow"], "beyond": 0}
        if level < GATE:
            return
        z = normalised(self.usual, level)
        if z >= MIN_Z:
            onset = self.run[0] if self.run and at <= self.run[1] + 500_000 else at - 400_000
            self.run = [onset, at]
            self.pending.append([at, z, onset])

    def advance(self, to: float, out: Output) -> None:
        while self.pending and self.pending[0][0] <= round(to * US):
            at, z, onset = self.pending.pop(0)
            out.signal("loud", z, at=at / US, onset=onset / US)


def weighted_energy(samples: list[float], memory: list[float], rate: int) -> float:
    """Both sections in transposed direct form II, and the sum of squares behind them."""
    (b0, b1, b2, a1, a2), (c0, c1, c2, d1, d2) = k_weighting(rate)
    m0, m1, m2, m3 = memory
    energy = 0.0
    for x in samples:
        y = b0 * x + m0
        m0 = b1 * x - a1 * y + m1
        m1 = b2 * x - a2 * y
        x, y = y, c0 * y + m2
        m2 = c1 * x - d1 * y + m3
        m3 = c2 * x - d2 * y
        energy += y * y
    memory[:] = m0, m1, m2, m3
    return energy


def normalised(s: dict[str, Any], x: float) -> float:
    """One step of the normaliser; gives the z-score."""
    if s["n"] == 0.0:
        s |= {"n": 1.0, "fast": x, "slow": x, "var": 0.0, "beyond": 0, "upward": False, "edge": 0.0, "var_before": 0.0}
        return 0.0
    sigma = deviation(s)
    s["fast"] += FAST * (x - s["fast"])
    settled = s["n"] * FAST >= 1.0
    reach = WINSOR * sigma if settled else math.inf
    d = min(max(x - s["slow"], -reach), reach)
    step = max(SLOW, 1.0 / (s["n"] + 1.0))
    s["slow"] += step * d
    s["var"] += step * (d * d - s["var"])
    s["n"] += 1.0
    follow(s, sigma, settled)
    spread = deviation(s) * math.sqrt(OVERLAP * FAST / 2.0)
    return (s["fast"] - s["slow"]) / spread * (s["n"] / (s["n"] + YOUNG))  # type: ignore[no-any-return]


def deviation(s: dict[str, Any]) -> float:
    return math.sqrt(max(s["var"], 0.0, FLOOR * FLOOR))


def follow(s: dict[str, Any], sigma: float, settled: bool) -> None:
    """A level that stays away becomes the usual one."""
    off = s["fast"] - s["slow"]
    if s["beyond"] == 0:
        outside = settled and abs(off) > WINSOR * sigma
    else:
        outside = s["fast"] > s["edge"] if s["upward"] else s["fast"] < s["edge"]
    if not outside:
        s["beyond"] = 0
        return
    if s["beyond"] == 0:
        s |= {"upward": off > 0.0, "edge": s["slow"] + math.copysign(WINSOR * sigma, off), "var_before": s["var"]}
    s["beyond"] += 1
    if s["beyond"] >= STEP_AFTER:
        s |= {"slow": s["fast"], "var": s["var_before"], "n": float(math.ceil(1.0 / FAST)), "beyond": 0}


RATE = 16_000
TWIN = {"config": {"detectors": {"off": ["loudness", "audio_tagger"]}}, "detectors": [Loudness]}
RUST = {"config": {"detectors": {"off": ["audio_tagger"]}}}


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """A minute and a half: pink-like noise whose level wanders, three bursts, silence, and a step that stays."""
    rng = np.random.default_rng(5)
    noise = np.convolve(rng.standard_normal(90 * RATE), [0.5, 0.3, 0.2], "same")
    t = np.arange(len(noise)) / RATE
    level = 0.01 * (1.0 + 0.5 * np.sin(t / 3.0))
    for at, length, gain in [(20.0, 2.0, 12.0), (34.3, 0.7, 20.0), (47.05, 3.3, 8.0)]:
        level[(t >= at) & (t < at + length)] *= gain
    level[(t >= 40.0) & (t < 41.5)] = 0.0
    level[t >= 62.0] *= 6.0
    return (noise * level).astype(np.float32)


def test_it_keeps_the_contract(sound) -> None:
    blocks = [(at / 10, sound[at * 1600 : at * 1600 + 1600], RATE) for at in range(190, 240)]
    check_detector(Loudness, events=blocks)


def test_samples_in_memory_give_the_same_signals(sound) -> None:
    for rate in (RATE, 11_025):
        rust = clipcore.detect(sound, rate=rate, **RUST).signals
        python = clipcore.detect(sound, rate=rate, **TWIN).signals
        assert len(rust) > 50 and rust.to_jsonl() == python.to_jsonl()


def test_a_stream_gives_the_same_moments(sound, ffmpeg, tmp_path: Path) -> None:
    # Stereo, of different channels, through an encoder: its blocks begin where the encoder's delay says.
    raw = tmp_path / "raw.f32"
    np.stack([sound, np.roll(sound, 777)], axis=1).tofile(raw)
    talk = tmp_path / "talk.mp4"
    command = [ffmpeg, "-v", "error", "-f", "f32le", "-ar", str(RATE), "-ac", "2", "-i", str(raw), "-c:a", "aac", "-ar", "48000", str(talk)]
    subprocess.run(command, check=True)
    chat = [{"type": "marker", "at": at, "data": {"label": "ace"}} for at in (21.0, 49.0)]
    rust = clipcore.run(talk, chat=chat, signals=True, **RUST).wait()
    python = clipcore.run(talk, chat=chat, signals=True, **TWIN).wait()
    assert {e.detector for m in rust.moments for e in m.evidence} >= {"loudness", "marker"}
    # Signals of sound and of chat are told as they come; those of one detector in their order.
    of_sound = [report.signals.where(lambda s: s.detector == "loudness") for report in (rust, python)]
    assert len(of_sound[0]) > 50 and of_sound[0].to_jsonl() == of_sound[1].to_jsonl()
    assert rust.transitions.to_jsonl() == python.transitions.to_jsonl()

"""Seeded synthesis of what the openly licensed clips have too little of: voices, crowds, claps, game noises.

Every generator takes a numpy Generator and gives mono 16 kHz samples with a peak near 1. YAMNet judges
what a generator is worth: of applause and cheering crowds only what it hears as such is used. (Purely
synthesised laughter and shouting were tried and dropped: YAMNet heard music, speech or nothing.)
"""

import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from features import RATE

#: First three formants (Hz) of vowels of an average adult voice.
VOWELS = {
    "a": (780, 1250, 2600),
    "e": (530, 1850, 2500),
    "i": (300, 2250, 3000),
    "o": (500, 900, 2500),
    "u": (330, 800, 2300),
    "ae": (690, 1700, 2450),
    "schwa": (520, 1450, 2450),
}


def peak(x: np.ndarray) -> np.ndarray:
    return (x / (np.max(np.abs(x)) + 1e-9)).astype(np.float32)


def smooth_noise(rng, n: int, hertz: float) -> np.ndarray:
    """Unit-variance random contour that moves about `hertz` times a second."""
    knots = max(4, int(n / RATE * hertz) + 4)
    return np.interp(np.linspace(0, knots - 1, n), np.arange(knots), rng.standard_normal(knots))


def bandpass(x, low, high, order=2):
    return sosfilt(butter(order, [low, min(high, 7900)], "band", fs=RATE, output="sos"), x)


def reverb(rng, x: np.ndarray, seconds: float, wet: float) -> np.ndarray:
    n = max(8, int(seconds * RATE))
    tail = rng.standard_normal(n) * np.exp(-6.9 * np.arange(n) / n)
    tail = bandpass(tail, 100, 5000)
    wet_part = fftconvolve(x, tail / (np.sqrt((tail**2).sum()) + 1e-9))[: len(x)]
    return (1 - wet) * x + wet * wet_part


def voice(rng, f0: np.ndarray, vowel, tract: float, breath: float, tilt: float, rough: float = 0.0) -> np.ndarray:
    """Additive voice along the pitch contour `f0` (Hz per sample), formants scaled by `tract`.

    `tilt` is the fall of the source in dB per octave, `breath` the share of shaped noise, `rough` the
    depth of the amplitude roughness (30-150 Hz) that screams have.
    """
    n = len(f0)
    f0 = f0 * (1 + 0.01 * smooth_noise(rng, n, 40))
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    formants = np.array(vowel) * tract
    widths = np.array([90, 110, 170]) * (1 + 0.4 * breath) * rng.uniform(0.8, 1.6)
    mean = float(f0.mean())
    out = np.zeros(n)
    for k in range(1, max(2, min(60, int(7600 / mean)))):
        f = k * mean
        gain = 10 ** (-tilt * np.log2(k) / 20)
        response = sum(a / np.sqrt(1 + ((f - c) / w) ** 2) for c, w, a in zip(formants, widths, (1.0, 0.7, 0.4)))
        response += 0.12 / (1 + (f / 5000) ** 2)
        out += gain * response * np.sin(k * phase + rng.uniform(0, 6.28))
    noise = rng.standard_normal(n)
    shaped = sum(bandpass(noise, max(60, c - 2.2 * w), c + 2.2 * w, 1) for c, w in zip(formants, widths * 1.6))
    shaped = shaped + 0.25 * bandpass(noise, 2500, 7000, 1)
    out = out / (out.std() + 1e-9) * (1 - breath) + shaped / (shaped.std() + 1e-9) * breath
    if rough > 0:
        rate = rng.uniform(30, 150)
        out *= 1 + rough * np.sin(2 * np.pi * rate * np.arange(n) / RATE + 2 * smooth_noise(rng, n, 8))
    return out


def envelope(n: int, attack: float, release: float) -> np.ndarray:
    e = np.ones(n)
    a, r = max(1, min(n, int(attack * RATE))), max(1, min(n, int(release * RATE)))
    e[:a] *= np.sin(np.linspace(0, np.pi / 2, a)) ** 2
    e[-r:] *= np.cos(np.linspace(0, np.pi / 2, r)) ** 2
    return e


def scream(rng, seconds: float) -> np.ndarray:
    """High, rough, sustained voices of 0.5-2 s with short pauses."""
    n = int(seconds * RATE)
    out = np.zeros(n)
    base = np.exp(rng.uniform(np.log(550), np.log(1900)))
    at = int(rng.uniform(0, 0.2) * RATE)
    vowel, tract = VOWELS[rng.choice(["a", "ae", "e", "i"])], rng.uniform(1.0, 1.35)
    tilt, breath, rough = rng.uniform(1, 6), rng.uniform(0.05, 0.4), rng.uniform(0, 0.8)
    while at < n:
        length = int(rng.uniform(0.4, 2.0) * RATE)
        t = np.linspace(0, 1, length)
        f0 = base * (1 + rng.uniform(0.05, 0.4) * np.sin(np.pi * t ** rng.uniform(0.4, 1.5)) - rng.uniform(0, 0.3) * t**2)
        f0 *= 1 + rng.uniform(0.005, 0.04) * smooth_noise(rng, length, 12)
        call = np.tanh(voice(rng, f0, vowel, tract, breath, tilt, rough) * rng.uniform(0.5, 1.5))
        call *= envelope(length, rng.uniform(0.02, 0.15), rng.uniform(0.05, 0.3))
        stop = min(n, at + length)
        out[at:stop] += call[: stop - at]
        at += length + int(rng.uniform(0.05, 0.6) * RATE)
    return peak(reverb(rng, out, rng.uniform(0.1, 1.2), rng.uniform(0, 0.4)))


def clap(rng, centre: float, decay: float) -> np.ndarray:
    n = int(0.05 * RATE)
    return bandpass(rng.standard_normal(n) * np.exp(-np.arange(n) / (decay * RATE)), centre * 0.7, centre * 1.6, 1)


def applause(rng, seconds: float) -> np.ndarray:
    """Many people clapping in a hall, each near-periodic at 2.5-5 Hz with a clap of his own colour."""
    n = int(seconds * RATE)
    out = np.zeros(n + RATE)
    longer = rng.uniform(1, 2.5)
    for _ in range(int(np.exp(rng.uniform(np.log(25), np.log(260))))):
        rate, gain = rng.uniform(2.5, 5.0), rng.uniform(0.15, 1.0) ** 1.5
        one = clap(rng, np.exp(rng.uniform(np.log(800), np.log(2500))), rng.uniform(0.002, 0.008) * longer)
        at = rng.uniform(0, 0.4)
        while at < seconds:
            start = int(at * RATE)
            out[start : start + len(one)] += one * gain * rng.uniform(0.6, 1.1)
            at += rng.normal(1, 0.1) / rate
    return peak(reverb(rng, out[:n], rng.uniform(0.7, 2.2), rng.uniform(0.2, 0.6)))


def crowd(rng, voices: list[np.ndarray], seconds: float) -> np.ndarray:
    """Twenty-odd copies of the voices given, at pitches of their own, in a hall: people who cheer."""
    n = int(seconds * RATE)
    out = np.zeros(n)
    for _ in range(int(rng.integers(12, 40))):
        x = voices[int(rng.integers(0, len(voices)))]
        x = np.interp(np.arange(0, len(x) - 1, np.exp(rng.uniform(np.log(0.5), np.log(1.35)))), np.arange(len(x)), x)
        x = np.roll(np.tile(x, n // len(x) + 2), int(rng.integers(0, n)))[:n]
        out += x / (x.std() + 1e-9) * rng.uniform(0.2, 1)
    out = out / (out.std() + 1e-9)
    if rng.random() < 0.5:
        clapping = applause(rng, seconds)
        out = out + clapping / (clapping.std() + 1e-9) * rng.uniform(0.1, 0.7)
    return peak(reverb(rng, out, rng.uniform(0.5, 2.0), rng.uniform(0.3, 0.6)))


def colour_noise(rng, seconds: float) -> np.ndarray:
    n = int(seconds * RATE)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    f = np.maximum(np.arange(len(spectrum)) / seconds, 20)
    x = np.fft.irfft(spectrum * f ** (-rng.uniform(0, 1.2)), n)
    return peak(x * (1 + 0.3 * smooth_noise(rng, n, rng.uniform(0.3, 6))))


def siren(rng, seconds: float) -> np.ndarray:
    n = int(seconds * RATE)
    t = np.arange(n) / RATE
    low, high, rate = rng.uniform(400, 900), rng.uniform(1000, 2200), rng.uniform(0.2, 5)
    wave = np.sin(2 * np.pi * rate * t) if rng.random() < 0.6 else np.sign(np.sin(2 * np.pi * rate * t))
    f = low + (high - low) * (0.5 + 0.5 * wave)
    phase = 2 * np.pi * np.cumsum(f) / RATE
    return peak(sum(np.sin(k * phase) * k ** -rng.uniform(1, 2) for k in range(1, 4)))


def blasts(rng, seconds: float) -> np.ndarray:
    """Gunshots and explosions: decaying noise with a hard onset."""
    n = int(seconds * RATE)
    out = np.zeros(n)
    rapid = rng.random() < 0.4
    for _ in range(int(rng.integers(1, 14 if rapid else 5))):
        length = int(rng.uniform(0.08, 0.3 if rapid else 1.6) * RATE)
        at = int(rng.integers(0, n))
        x = rng.standard_normal(length) * np.exp(-np.arange(length) / (length * rng.uniform(0.1, 0.3)))
        x = lfilter([1], [1, -rng.uniform(0.2, 0.97)], x)
        stop = min(n, at + length)
        out[at:stop] += (x / (np.abs(x).max() + 1e-9) * rng.uniform(0.3, 1))[: stop - at]
    return peak(np.tanh(reverb(rng, out, rng.uniform(0.2, 1.5), rng.uniform(0.1, 0.5)) * rng.uniform(1, 4)))


def beeps(rng, seconds: float) -> np.ndarray:
    """Tones of user interfaces and arcade games: short notes with square or sine waves and sweeps."""
    n = int(seconds * RATE)
    out = np.zeros(n)
    at = int(rng.uniform(0, 0.2) * RATE)
    while at < n:
        length = int(rng.uniform(0.04, 0.5) * RATE)
        f = rng.uniform(200, 3000) * np.exp(rng.uniform(-0.8, 0.8) * np.linspace(0, 1, length) * (rng.random() < 0.4))
        x = np.sin(2 * np.pi * np.cumsum(f) / RATE)
        x = np.sign(x) if rng.random() < 0.4 else x
        stop = min(n, at + length)
        out[at:stop] += (x * envelope(length, 0.005, 0.05) * rng.uniform(0.3, 1))[: stop - at]
        at += length + int(rng.uniform(0, 0.6) * RATE)
    return peak(out)


NEGATIVE = (colour_noise, siren, blasts, beeps)

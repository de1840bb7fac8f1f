"""Seeded synthesis of what the openly licensed clips have too little of: voices, crowds, claps, game noises.

Every generator takes a numpy Generator and gives mono 16 kHz samples with a peak near 1. None of them
is a recording; what a generator is worth is measured by how often YAMNet hears what was meant (see
`inventory.py --synthesis`), and training takes YAMNet's scores of it as soft targets.
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


def laugh(rng, seconds: float) -> np.ndarray:
    """One person's bouts of laughter: repeated short voiced calls with aspiration between them."""
    n = int(seconds * RATE)
    out = np.zeros(n)
    base = np.exp(rng.uniform(np.log(140), np.log(650)))
    tract = np.clip(0.85 + 0.35 * (np.log(base / 120) / np.log(5)), 0.85, 1.3) * rng.uniform(0.93, 1.07)
    vowel = VOWELS[rng.choice(["a", "ae", "schwa", "e", "i", "o"], p=[0.3, 0.2, 0.25, 0.1, 0.1, 0.05])]
    breathy, tilt = rng.uniform(0.08, 0.6), rng.uniform(4, 11)
    unvoiced = rng.random() < 0.12
    at = int(rng.uniform(0, 0.25) * RATE)
    while at < n:
        rate, calls = rng.uniform(3.8, 7.0), int(rng.integers(3, 13))
        loud, pitch = 1.0, base * rng.uniform(0.85, 1.35)
        for i in range(calls):
            period = int(RATE / (rate * (1 - 0.02 * i) * rng.uniform(0.9, 1.1)))
            length = int(period * rng.uniform(0.4, 0.7))
            arc = 1 + rng.uniform(0.02, 0.18) * np.sin(np.linspace(0, np.pi, length)) - rng.uniform(0, 0.12) * np.linspace(0, 1, length)
            call = voice(rng, pitch * arc, vowel, tract, 0.97 if unvoiced else breathy, tilt)
            call *= envelope(length, rng.uniform(0.008, 0.03), rng.uniform(0.03, 0.08)) * loud
            gap = bandpass(rng.standard_normal(period), 500, 5500, 1) * envelope(period, 0.03, 0.05) * rng.uniform(0.03, 0.22) * loud
            stop = min(n, at + length)
            out[at:stop] += call[: stop - at]
            stop = min(n, at + period)
            if stop > at:
                out[at:stop] += gap[: stop - at]
            at += period
            if at >= n:
                break
            loud *= rng.uniform(0.84, 1.02)
            pitch *= rng.uniform(0.95, 1.03)
        if at < n and rng.random() < 0.5:
            length = min(n - at, int(rng.uniform(0.15, 0.4) * RATE))
            gasp = bandpass(rng.standard_normal(length), 700, 6000, 1)
            out[at : at + length] += gasp * envelope(length, 0.1, 0.05) * rng.uniform(0.1, 0.5)
            at += length
        at += int(rng.uniform(0.05, 0.5) * RATE)
    return peak(reverb(rng, out, rng.uniform(0.05, 0.8), rng.uniform(0, 0.3)))


def crowd_laugh(rng, seconds: float) -> np.ndarray:
    people = int(rng.integers(4, 22))
    swell = envelope(int(seconds * RATE), rng.uniform(0.1, 0.6), rng.uniform(0.3, 1.2))
    out = sum(laugh(rng, seconds) * rng.uniform(0.2, 1) for _ in range(people)) * swell
    return peak(reverb(rng, out, rng.uniform(0.3, 1.2), rng.uniform(0.1, 0.5)))


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


def shout(rng, seconds: float) -> np.ndarray:
    """Short loud calls of one to three vowels, at the strained pitch of a raised voice."""
    n = int(seconds * RATE)
    out = np.zeros(n)
    base = np.exp(rng.uniform(np.log(190), np.log(520)))
    tract, tilt, breath = rng.uniform(0.88, 1.25), rng.uniform(1, 5), rng.uniform(0.05, 0.3)
    at = int(rng.uniform(0, 0.3) * RATE)
    while at < n:
        for _ in range(int(rng.integers(1, 4))):
            length = int(rng.uniform(0.12, 0.6) * RATE)
            t = np.linspace(0, 1, length)
            f0 = base * (1 + rng.uniform(-0.1, 0.45) * np.sin(np.pi * t) + rng.uniform(-0.25, 0.2) * t)
            call = voice(rng, f0, VOWELS[rng.choice(list(VOWELS))], tract, breath, tilt, rng.uniform(0, 0.3))
            call = np.tanh(call * rng.uniform(0.7, 1.6)) * envelope(length, rng.uniform(0.01, 0.05), rng.uniform(0.03, 0.15))
            stop = min(n, at + length)
            if stop > at:
                out[at:stop] += call[: stop - at]
            at += length + int(rng.uniform(0.0, 0.06) * RATE)
        at += int(rng.uniform(0.1, 0.7) * RATE)
    return peak(reverb(rng, out, rng.uniform(0.05, 1.0), rng.uniform(0, 0.35)))


def clap(rng, centre: float, decay: float) -> np.ndarray:
    n = int(0.08 * RATE)
    burst = rng.standard_normal(n) * np.exp(-np.arange(n) / (decay * RATE))
    return bandpass(burst, centre * 0.55, centre * 1.9, 1) + 0.3 * burst


def applause(rng, seconds: float) -> np.ndarray:
    """Many people clapping, each near-periodic at 2.5-5 Hz with a clap of his own colour."""
    n = int(seconds * RATE)
    out = np.zeros(n + RATE)
    people = int(np.exp(rng.uniform(np.log(2), np.log(150))))
    for _ in range(people):
        rate, gain = rng.uniform(2.5, 5.0), rng.uniform(0.15, 1.0)
        one = clap(rng, rng.uniform(700, 2600), rng.uniform(0.004, 0.02))
        at = rng.uniform(0, 1 / rate)
        while at < seconds:
            start = int(at * RATE)
            out[start : start + len(one)] += one * gain * rng.uniform(0.6, 1.1)
            at += rng.normal(1, 0.08) / rate
    return peak(reverb(rng, out[:n], rng.uniform(0.2, 1.5), rng.uniform(0.1, 0.7)))


def cheer(rng, seconds: float) -> np.ndarray:
    """A crowd that roars: many long open vowels, shaped noise, some shouts, whistles and claps."""
    n = int(seconds * RATE)
    out = np.zeros(n)
    for _ in range(int(rng.integers(12, 45))):
        length = int(min(seconds, rng.uniform(0.5, 2.5)) * RATE)
        at = int(rng.integers(0, max(1, n - length)))
        t = np.linspace(0, 1, length)
        f0 = np.exp(rng.uniform(np.log(170), np.log(900))) * (1 + rng.uniform(-0.2, 0.4) * np.sin(np.pi * t))
        f0 *= 1 + 0.02 * smooth_noise(rng, length, 6)
        one = voice(rng, f0, VOWELS[rng.choice(["a", "ae", "e", "o", "u", "i"])], rng.uniform(0.85, 1.3), rng.uniform(0.1, 0.4), rng.uniform(2, 7), rng.uniform(0, 0.3))
        out[at : at + length] += one * envelope(length, rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.8)) * rng.uniform(0.2, 1)
    roar = rng.standard_normal(n)
    roar = bandpass(roar, rng.uniform(300, 700), rng.uniform(1500, 3500), 1) * (1 + 0.2 * smooth_noise(rng, n, 5))
    out = out / (out.std() + 1e-9) + rng.uniform(0.2, 1.4) * roar / roar.std()
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 5))):
            length = int(rng.uniform(0.2, 0.8) * RATE)
            at = int(rng.integers(0, max(1, n - length)))
            f = rng.uniform(1800, 3500) * (1 + rng.uniform(-0.3, 0.4) * np.sin(np.linspace(0, np.pi, length)))
            out[at : at + length] += (np.sin(2 * np.pi * np.cumsum(f) / RATE) * envelope(length, 0.03, 0.08) * rng.uniform(0.3, 1.5))[: n - at]
    if rng.random() < 0.6:
        out = out + rng.uniform(0.2, 3.0) * applause(rng, seconds)[:n]
    swell = envelope(n, rng.uniform(0.05, 1.0), rng.uniform(0.05, 1.0))
    return peak(reverb(rng, out * (0.3 + 0.7 * swell), rng.uniform(0.3, 2.0), rng.uniform(0.1, 0.6)))


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


POSITIVE = {
    "laughter": (laugh, crowd_laugh),
    "cheer": (cheer,),
    "applause": (applause,),
    "scream": (scream,),
    "shout": (shout,),
}
NEGATIVE = (colour_noise, siren, blasts, beeps)

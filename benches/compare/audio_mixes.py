"""Streams of sound with known events, for `benches/tagger.rs` and for calibrations: laughter, cheers, applause and screams over
speech, music and noise at five signal-to-noise ratios, with distractors of the same level.

    TAGGER_SOUNDS=… TAGGER_CACHE=… python benches/compare/audio_mixes.py OUT [FOLDER]

It takes the recordings that `scripts/tagger/clips.py` lists, in its two folds: no recording is in both. OUT then holds
`mix-F-SNR.f32` (16 kHz mono, little-endian floats), F the fold and SNR in decibels, and `truth.csv`.

With FOLDER, events and distractors are the clips in it, labelled by the words in their names as `scripts/tagger/outside.py` does:
sounds that nothing was trained on, over the same backgrounds.
"""

import csv
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts/tagger"))
from clips import Clip, all_clips  # noqa: E402
from features import decode  # noqa: E402
from outside import kind as kind_of  # noqa: E402

RATE, SEED = 16_000, 2026
SNRS = [-5, 0, 5, 10, 20]
EVENTS = ["laughter", "cheer", "applause", "scream"]
#: Sounds that are loud or human and are none of the events.
DISTRACTORS = ["esc:dog bark", "esc:baby cry", "esc:rooster", "esc:chainsaw", "esc:person sneeze", "game", "effect"]
STREAM_S, SPACING_S, EVENT_S = 1800, 15, (2.5, 5.0)


def excerpt(rng, samples, n):
    """`n` samples from a random place; shorter clips are repeated."""
    if len(samples) < n:
        samples = np.tile(samples, n // len(samples) + 1)
    at = int(rng.integers(0, len(samples) - n + 1))
    return samples[at : at + n].astype(np.float64)


def level(x):
    return float(np.sqrt(np.mean(x**2)) + 1e-9)


def faded(x, ms=30):
    n = RATE * ms // 1000
    ramp = np.ones(len(x))
    ramp[:n], ramp[-n:] = np.linspace(0, 1, n), np.linspace(1, 0, n)
    return x * ramp


def background(rng, pool, n):
    """30 s of speech, music or noise after another, each at -26 dB of full scale; every third has two of them."""
    out = np.zeros(n)
    for at in range(0, n, 30 * RATE):
        m = min(30 * RATE, n - at)
        for _ in range(1 + (rng.random() < 0.33)):
            kind = rng.choice(["speech", "music", "noise"])
            clips = pool[kind]
            piece = excerpt(rng, clips[int(rng.integers(len(clips)))].samples, m)
            out[at : at + m] += piece / level(piece) * 0.05
    return out


def stream(rng, clips, snr):
    by = lambda *kinds: [c for c in clips if c.kind in kinds]
    pool = {"speech": by("speech"), "music": by("music"), "noise": by("noise", "esc:rain", "esc:sea waves", "esc:helicopter", "esc:clock tick", "esc:fire crackling")}
    out = background(rng, pool, STREAM_S * RATE)
    truth = []
    order = list(rng.permutation((EVENTS + ["distractor"] * 4) * (STREAM_S // SPACING_S // 8 + 1)))
    distractors = [kind for kind in DISTRACTORS if by(kind)]
    for k in range(1, STREAM_S // SPACING_S - 1):
        kind = order.pop()
        choice = by(kind) if kind != "distractor" else by(distractors[int(rng.integers(len(distractors)))])
        if not choice:
            continue
        clip = choice[int(rng.integers(len(choice)))]
        start = SPACING_S * k + rng.uniform(0, 5)
        n = int(RATE * rng.uniform(*EVENT_S))
        if kind == "distractor":
            n = min(n, len(clip.samples))
        at = int(start * RATE)
        piece = faded(excerpt(rng, clip.samples, n))
        out[at : at + n] += piece / level(piece) * level(out[at : at + n]) * 10 ** (snr / 20)
        truth.append((start, start + n / RATE, kind, clip.name))
    return np.clip(out, -1, 1).astype("<f4"), truth


def backgrounds_with(clips, folder):
    """The backgrounds of `clips`, with events and distractors from a folder of other people's clips."""
    yield from (c for c in clips if c.kind not in EVENTS and c.kind not in DISTRACTORS)
    for path in sorted(folder.rglob("*")):
        kind = kind_of(path.name)
        if path.suffix.lower() not in (".mp3", ".wav", ".ogg", ".m4a", ".flac") or kind == "unclear":
            continue
        try:
            samples = decode(path)
        except subprocess.CalledProcessError:
            continue
        # What is quiet at the end of a clip is no event.
        loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max()) if len(samples) else []
        if len(loud) < RATE // 4:
            continue
        name = f"{path.relative_to(folder).parts[0]}/{path.stem}"
        blank = Clip(name, samples[loud[0] : loud[-1] + 1], name, "", "", "effect" if kind == "other" else kind, "test", 0)
        yield replace(blank, fold=zlib.crc32(name.encode()) & 1)


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    everything = list(all_clips())
    if len(sys.argv) > 2:
        everything = list(backgrounds_with(everything, Path(sys.argv[2])))
    with open(out / "truth.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["stream", "start", "end", "kind", "clip"])
        for fold in (0, 1):
            clips = [c for c in everything if c.fold == fold and not c.name.startswith("soundfx/laugh1")]
            for snr in SNRS:
                rng = np.random.default_rng([SEED, fold, snr + 100])
                samples, truth = stream(rng, clips, snr)
                name = f"mix-{fold}-{snr}"
                samples.tofile(out / f"{name}.f32")
                rows.writerows([name, f"{start:.2f}", f"{end:.2f}", kind, clip] for start, end, kind, clip in truth)


if __name__ == "__main__":
    main()

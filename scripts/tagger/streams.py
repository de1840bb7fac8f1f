"""Test streams of held-out recordings, and loudness as the plain detector to beat."""

import pickle

import numpy as np

import scenes
from clips import CACHE, all_clips
from features import HOP, RATE, Yamnet, patches
from model import LABELS

EVENTS = ["laughter", "cheer", "applause", "scream"]
STREAMS, STREAM, EVENT_SECONDS, EVENT_EVERY = 10, 120, 3.0, 15.0
STEP = 48 * HOP / RATE


def logit(p):
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def loudness_z(samples: np.ndarray) -> np.ndarray:
    """EWMA z of the 400 ms level, one value a patch: fast 0.8 s, slow 60 s, winsorised at three deviations."""
    n = int(0.1 * RATE)
    level = np.array([10 * np.log10(np.mean(samples[max(0, i - 3 * n) : i + n] ** 2) + 1e-9) for i in range(0, len(samples) - n + 1, n)])
    fast = slow = level[:50].mean()
    var, out = max(level[:50].var(), 1.0), []
    af, as_ = 1 - np.exp(-0.1 / 0.8), 1 - np.exp(-0.1 / 60)
    for x in level:
        fast += af * (x - fast)
        d = min(x, slow + 3 * var**0.5) - slow
        slow += as_ * d
        var += as_ * (d * d - var)
        out.append((fast - slow) / (var * af / 2 + 1e-3) ** 0.5)
    centres = np.arange((len(samples) // HOP - 96) // 48 + 1) * STEP + 0.48
    return np.interp(centres, np.arange(len(out)) * 0.1, out)


class Streams:
    """Two-minute streams of held-out backgrounds with held-out events every 15 s, and loud distractors between."""

    def __init__(self, fold: int, seed: int, count: int):
        pool = [c for c in all_clips() if c.fold == fold and c.name != "soundfx/laugh1"]
        self.maker = scenes.Scenes(pool, seed, synthesised=False)
        self.rng, self.count = np.random.default_rng(seed), count
        self.items = [self._plan() for _ in range(count)]

    def _plan(self):
        rng, n = self.rng, STREAM * RATE
        base = np.zeros(n, np.float32)
        at = 0
        while at < n:
            kind = rng.choice(["music", "speech", "esc", "game"], p=[0.35, 0.35, 0.15, 0.15])
            x = self.maker.pick(kind)
            x = x / scenes.level(x)
            length = min(n - at, max(len(x), int(rng.uniform(4, 12) * RATE)))
            base[at : at + length] = np.tile(x, length // len(x) + 1)[:length]
            at += length
        events = []
        for k, start in enumerate(np.arange(EVENT_EVERY, STREAM - EVENT_EVERY / 2, EVENT_EVERY)):
            distract = k % 2 == 1
            label = None if distract else EVENTS[(k // 2 + int(rng.integers(0, 4))) % 4]
            if label is not None and label not in self.maker.pool:
                continue
            length = int(EVENT_SECONDS * RATE)
            if distract:
                source = self.maker.pick(str(rng.choice(["effect", "game", "esc"])))
                sound = np.tile(source, length // len(source) + 1)[:length]
            else:
                sound = np.tile(scenes.vary(rng, self.maker.pick(label), 0.15), 8)[:length]
            events.append((float(start), label, (sound / scenes.level(sound)).astype(np.float32)))
        return base, events

    def render(self, snr):
        """Samples and events (start, label) of every stream; `snr` None leaves events and distractors out."""
        for base, events in self.items:
            mix = base.copy()
            for start, label, sound in events if snr is not None else []:
                at = int(start * RATE)
                gain = 10 ** ((snr if label is not None else max(snr, 5)) / 20)
                mix[at : at + len(sound)] += sound * gain * scenes.synth.envelope(len(sound), 0.05, 0.2)
            yield (mix * 0.05).clip(-1, 1), [(s, label) for s, label, _ in events if snr is not None]


def rendered(fold: int, count: int, snr):
    """Per stream of a fold: patches, loudness, YAMNet's logits and events; cached, for they are the same for every model."""
    path = CACHE / f"streams-{fold}-{count}-{'quiet' if snr is None else snr}.pkl"
    if not path.exists():
        yamnet, out = Yamnet(), []
        for samples, events in Streams(fold, 40 + fold, count).render(snr):
            mel = patches(samples)
            loudness = np.repeat(loudness_z(samples)[: len(mel), None], len(LABELS), 1)
            out.append((mel.astype(np.float16), loudness, logit(yamnet.labels(mel)), events))
        path.write_bytes(pickle.dumps(out))
    return pickle.loads(path.read_bytes())

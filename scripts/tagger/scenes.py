"""Training material: short scenes of an event, speech or music over a background, as log-mel patches.

A scene is 1.96 s (three patches, half overlapping). Targets are YAMNet's scores of the mix, corrected
by what is known of the parts: an event that is there at a usable level has a high target even where
YAMNet misses it, and a baby's cry, an engine or a piano is no laughter whatever YAMNet thinks.
"""

import numpy as np
from scipy.signal import resample

import synth
from clips import CACHE, Clip, all_clips, instruments
from features import FRAME, HOP, PATCH_FRAMES, RATE, Yamnet, grouped, patches
from model import LABELS

FRAMES = 2 * PATCH_FRAMES
LENGTH = (FRAMES - 1) * HOP + FRAME
EVENTS = ["laughter", "cheer", "applause", "scream"]
EVENT_SHARE = [0.36, 0.26, 0.2, 0.18]
#: Labels that only people make, and that nothing but an event clip of ours contains.
HUMAN = [LABELS.index(label) for label in ("laughter", "cheer", "applause", "scream", "shout")]
QUIET = 0.01


def excerpt(rng, samples: np.ndarray, n: int, loop: bool) -> np.ndarray:
    """`n` samples from a random place, looped or placed in silence where the clip is shorter."""
    if len(samples) >= n:
        start = int(rng.integers(0, len(samples) - n + 1))
        return samples[start : start + n].copy()
    if loop:
        return np.roll(np.tile(samples, n // len(samples) + 2), int(rng.integers(0, n)))[:n]
    out = np.zeros(n, np.float32)
    at = int(rng.integers(0, n - len(samples) + 1))
    out[at : at + len(samples)] = samples
    return out


def active(samples: np.ndarray) -> np.ndarray:
    """The clip without stretches more than 35 dB under its loudest 100 ms."""
    n = RATE // 10
    count = max(1, len(samples) // n)
    level = np.array([np.sqrt(np.mean(samples[i * n : (i + 1) * n] ** 2)) for i in range(count)])
    keep = np.repeat(level > level.max() * 10 ** (-35 / 20), n)
    return samples[: len(keep)][keep[: len(samples)]]


def vary(rng, x: np.ndarray, pitch: float = 0.3) -> np.ndarray:
    """Another speed and pitch, another colour, perhaps a room and a limiter."""
    x = resample(x, max(800, int(len(x) / np.exp(rng.uniform(-pitch, pitch))))).astype(np.float32)
    spectrum = np.fft.rfft(x)
    knots = rng.normal(0, 4, 7)
    knots[-1] -= rng.choice([0, 0, 15])
    curve = np.interp(np.linspace(0, 6, len(spectrum)), np.arange(7), knots)
    x = np.fft.irfft(spectrum * 10 ** (curve / 20), len(x))
    if rng.random() < 0.35:
        x = synth.reverb(rng, x, rng.uniform(0.1, 1.2), rng.uniform(0.1, 0.5))
    if rng.random() < 0.2:
        x = np.tanh(x / (x.std() + 1e-9) * rng.uniform(0.3, 1.5))
    return synth.peak(x)


def level(x: np.ndarray) -> float:
    """RMS of the loud half of 50 ms blocks."""
    n = RATE // 20
    blocks = np.sort([np.mean(x[i : i + n] ** 2) for i in range(0, len(x) - n + 1, n)])
    return float(np.sqrt(np.mean(blocks[len(blocks) // 2 :])) + 1e-9)


def music(rng, notes) -> np.ndarray:
    """A made-up bar or two: chords, a line and some hits of SoundFont instruments."""
    out = np.zeros(LENGTH, np.float32)
    beat = rng.uniform(0.2, 0.6)
    voices = [notes[i] for i in rng.integers(0, len(notes), int(rng.integers(1, 5)))]
    for samples, rate, _ in voices:
        gain, density = rng.uniform(0.2, 1), rng.uniform(0.3, 1)
        for k in range(int(LENGTH / RATE / beat) + 1):
            if rng.random() > density:
                continue
            for _ in range(int(rng.integers(1, 4))):
                step = rate / RATE * 2 ** (rng.choice([-12, -8, -5, -3, 0, 2, 4, 5, 7, 9, 12]) / 12)
                take = np.arange(0, len(samples) - 1, step)[: int(RATE * rng.uniform(0.2, 1.5))]
                note = np.interp(take, np.arange(len(samples)), samples) * np.linspace(1, 0.2, len(take))
                at = int(k * beat * RATE)
                stop = min(LENGTH, at + len(note))
                if stop > at:
                    out[at:stop] += note[: stop - at] * gain
    return synth.peak(out) if np.abs(out).max() > 0 else out


class Scenes:
    """Draws scenes from the clips given."""

    def __init__(self, clips: list[Clip], seed: int, synthesised: bool = True):
        self.rng = np.random.default_rng(seed)
        self.notes = instruments()
        self.pool: dict[str, list[list[np.ndarray]]] = {}
        for clip in clips:
            kind = "esc" if clip.kind.startswith("esc:") else clip.kind
            self.pool.setdefault(kind, []).append(active(clip.samples) if kind in LABELS else clip.samples)
        self.made = self._made() if synthesised else {}

    def pick(self, kind: str) -> np.ndarray:
        group = self.pool[kind]
        return group[int(self.rng.integers(0, len(group)))]

    def _made(self, count: int = 16) -> dict[str, list[np.ndarray]]:
        """Synthesised applause and cheering crowds that YAMNet takes for such."""
        yamnet, seconds = Yamnet(), 1.5 * LENGTH / RATE
        voices = self.pool.get("scream") or [synth.scream(self.rng, 1.5) for _ in range(6)]
        generators = {
            "applause": (lambda: synth.applause(self.rng, seconds), 0.4),
            "cheer": (lambda: synth.crowd(self.rng, voices, seconds), 0.12),
        }
        out: dict[str, list[np.ndarray]] = {}
        for label, (generator, enough) in generators.items():
            for _ in range(3 * count):
                x = generator()
                if yamnet.labels(patches(x * np.float32(0.4)))[:, LABELS.index(label)].max() >= enough:
                    out.setdefault(label, []).append(x)
                if len(out.get(label, [])) == count:
                    break
            print(f"{len(out.get(label, []))} synthesised clips of {label} pass")
        return out

    def event(self, label: str) -> np.ndarray:
        """An event of the label; laughter, cheers and applause also as a group of varied copies."""
        rng = self.rng
        group = self.made[label] if label in self.made and (label not in self.pool or rng.random() < 0.4) else self.pool[label]
        clip = group[int(rng.integers(0, len(group)))]
        people = int(rng.integers(2, 8)) if label != "scream" and rng.random() < 0.35 else 1
        loop = people > 1 or rng.random() < 0.7
        pitch = 0.3 if label != "applause" else 0.15
        some = [excerpt(rng, clip, min(len(clip), 3 * LENGTH // 2), False) for _ in range(people)]
        parts = [excerpt(rng, vary(rng, x, pitch), LENGTH, loop) for x in some]
        return synth.peak(sum(p * rng.uniform(0.4, 1) for p in parts))

    def background(self) -> tuple[np.ndarray, str]:
        rng = self.rng
        kind = rng.choice(["music", "made", "speech", "esc", "effect", "game", "noise"], p=[0.17, 0.12, 0.2, 0.25, 0.08, 0.1, 0.08])
        if kind == "made":
            return music(rng, self.notes), "music"
        if kind == "noise":
            return synth.NEGATIVE[int(rng.integers(0, len(synth.NEGATIVE)))](rng, LENGTH / RATE)[:LENGTH], "noise"
        clip = self.pick(kind)
        x = excerpt(rng, clip, LENGTH, kind in ("speech", "music") or rng.random() < 0.3)
        return (vary(rng, x, 0.12)[:LENGTH] if rng.random() < 0.6 else synth.peak(x)), kind

    def scene(self) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, float]]]:
        """Samples, and per certain part its own samples and its ratio to the rest in dB."""
        rng = self.rng
        base, kind = self.background()
        base = np.pad(base, (0, max(0, LENGTH - len(base))))
        parts: dict[str, tuple[np.ndarray, float]] = {}
        choice = rng.random()
        mix = base / level(base)
        if choice < 0.55:
            label = str(rng.choice(self._events(), p=self._shares()))
            event = self.event(label)
            snr = rng.uniform(-8, 25)
            event = event / level(event) * 10 ** (snr / 20)
            mix = mix + event
            parts[label] = (event, snr)
            if kind in ("speech", "music"):
                parts[kind] = (base / level(base), -snr)
        else:
            if kind in ("speech", "music"):
                parts[kind] = (base / level(base), 30.0)
            if choice < 0.8:
                other, second = self.background()
                other = np.pad(other, (0, max(0, LENGTH - len(other))))
                snr = rng.uniform(-10, 10)
                other = other / level(other) * 10 ** (snr / 20)
                mix = mix + other
                if kind in parts:
                    parts[kind] = (parts[kind][0], -snr)
                if second in ("speech", "music") and second not in parts:
                    parts[second] = (other, snr)
        mix = mix / level(mix) * 10 ** (rng.uniform(-45, -10) / 20)
        return np.clip(mix, -1, 1).astype(np.float32), parts

    def _events(self):
        return [e for e in EVENTS if e in self.pool or e in self.made]

    def _shares(self):
        shares = np.array([s for e, s in zip(EVENTS, EVENT_SHARE) if e in self._events()])
        return shares / shares.sum()


def presence(part: np.ndarray) -> np.ndarray:
    """Per patch, the share of frames in which the part is within 25 dB of its loudest."""
    frames = np.lib.stride_tricks.sliding_window_view(part, FRAME)[::HOP]
    db = 10 * np.log10(np.mean(frames**2, 1) + 1e-12)
    on = db > db.max() - 25
    return np.array([on[s : s + PATCH_FRAMES].mean() for s in range(0, FRAMES - PATCH_FRAMES + 1, 48)])


def build(name: str, clips: list[Clip], count: int, seed: int) -> dict[str, np.ndarray]:
    """`count` scenes as {"patches" f16, "targets" f32 [n, 7], "teacher" f16 [n, 521]}; cached by name."""
    path = CACHE / f"scenes-{name}-{count}-{seed}.npz"
    if path.exists():
        return dict(np.load(path))
    scenes, yamnet = Scenes(clips, seed), Yamnet()
    mels, truths = [], []
    for _ in range(count):
        mix, parts = scenes.scene()
        mel = patches(mix)
        truth = np.zeros((len(mel), len(LABELS)), np.float32)
        for label, (part, snr) in parts.items():
            there = np.clip((presence(part) - 0.1) / 0.3, 0, 1)
            truth[:, LABELS.index(label)] = 0.92 * there / (1 + np.exp(-(snr + 5) / 2.5))
        mels.append(mel)
        truths.append(truth)
    mels, truths = np.concatenate(mels), np.concatenate(truths)
    teacher, _ = yamnet.run(mels)
    targets = grouped(teacher)
    targets[:, HUMAN] = np.where(truths[:, HUMAN] > 0, targets[:, HUMAN], np.minimum(targets[:, HUMAN], QUIET))
    shout = LABELS.index("shout")
    targets[:, shout] = grouped(teacher)[:, shout]
    targets = np.maximum(targets, truths)
    out = {"patches": mels.astype(np.float16), "targets": targets, "teacher": teacher.astype(np.float16)}
    np.savez(path, **out)
    return out


def fold(k: int, count: int) -> dict[str, np.ndarray]:
    """Scenes of the training recordings of fold `k` alone."""
    clips = [c for c in all_clips() if c.use == "train" and c.fold == k]
    return build(f"fold{k}", clips, count, 100 + k)

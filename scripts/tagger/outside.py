"""Scores a folder of anybody's clips, labelled by the words in their file names, beside YAMNet.

    python outside.py FOLDER MODEL.onnx [...]

Files with "laugh", "applause", "scream", "cheer", "yay" or "crowd" in their name are positives of that
label; evil laughs, boos, gasps, children and the like are left out; all others are negatives.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

from evaluate import Ours, auc
from features import Yamnet, decode, patches
from model import LABELS
from streams import EVENTS

WORDS = {"laugh": "laughter", "applause": "applause", "scream": "scream", "cheer": "cheer", "yay": "cheer", "crowd": "cheer"}
UNCLEAR = ("evil", "goat", "noise-crowd", "child", "boo", "gasp", "surpris", "sasirma")


def kind(name: str) -> str:
    name = name.lower()
    if any(word in name for word in UNCLEAR):
        return "unclear"
    return next((label for word, label in WORDS.items() if word in name), "other")


def main(folder: Path, models: list[str]):
    clips = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".mp3", ".wav", ".ogg", ".m4a", ".flac"):
            try:
                samples = decode(path)
            except subprocess.CalledProcessError:
                continue
            if len(samples) > 1600 and np.abs(samples).max() > 1e-3:
                clips[path] = patches((samples / np.abs(samples).max() * 0.5).astype(np.float32))
    kinds = np.array([kind(path.name) for path in clips])
    methods = {"YAMNet": Yamnet().labels, **{Path(m).stem: Ours(m) for m in models}}
    scores = {name: np.stack([score(mel).max(0) for mel in clips.values()]) for name, score in methods.items()}
    print("| label | positive | negative | " + " | ".join(scores) + " |\n|---|---|---|" + "---|" * len(scores))
    for label in EVENTS:
        i, truth = LABELS.index(label), kinds == label
        rest = ~truth & (kinds != "unclear")
        print(f"| {label} | {truth.sum()} | {rest.sum()} | " + " | ".join(f"{auc(s[truth, i], s[rest, i]):.3f}" for s in scores.values()) + " |")
    for name, s in scores.items():
        print(f"\n{name}:")
        for label in EVENTS:
            i, truth = LABELS.index(label), kinds == label
            rest = np.where(~truth & (kinds != "unclear"), s[:, i], -1)
            worst = ", ".join(f"{list(clips)[j].stem} {s[j, i]:.2f}" for j in np.argsort(-rest)[:6])
            print(f"- {label}: heard " + " ".join(f"{x:.2f}" for x in s[truth, i]) + f"; loudest wrong: {worst}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

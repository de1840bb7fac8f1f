"""Lists the recordings: licence, use, fold, label, and what YAMNet hears in them.

    python inventory.py > inventory.csv
    python inventory.py --credits       # attributions of what the model was trained on, as Markdown
"""

import csv
import sys
from collections import defaultdict

import numpy as np

from clips import all_clips
from features import RATE, Yamnet, patches
from model import LABELS


def credits():
    by_licence = defaultdict(set)
    for clip in all_clips():
        if clip.use == "train":
            by_licence[clip.licence].add(clip.credit)
    for licence, names in sorted(by_licence.items()):
        print(f"\n## {licence}\n")
        for name in sorted(names):
            print(f"- {name}")


def table():
    yamnet, out = Yamnet(), csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["clip", "seconds", "source", "licence", "use", "fold", "kind", *(f"yamnet_{label}" for label in LABELS)])
    for clip in all_clips():
        level = clip.samples / np.abs(clip.samples).max() * 0.5
        scores = yamnet.labels(patches(level.astype(np.float32))).max(0)
        out.writerow([clip.name, f"{len(clip.samples) / RATE:.1f}", clip.source, clip.licence, clip.use, clip.fold, clip.kind, *(f"{s:.3f}" for s in scores)])


if __name__ == "__main__":
    credits() if "--credits" in sys.argv else table()

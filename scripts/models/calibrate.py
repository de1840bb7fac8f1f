"""Fits `scale` and `offset` of a card's groups to streams with known events, and says what they are worth on recordings that
were not fitted to.

    pip install numpy scikit-learn onnxruntime==1.24.4
    python scripts/models/calibrate.py CARD.toml MIXES MODEL.onnx [MODEL1.onnx]    # MIXES: made by benches/compare/audio_mixes.py

Two models: MODEL was trained without the recordings of fold 0, MODEL1 without those of fold 1; "-" leaves a fold out.

A patch every half second; it counts as an event's where at least half of it lies in the event, and as none's where it lies
outside. Log-odds of the group's largest label go through a logistic regression (Platt 1999), instants of the two kinds weighted
as if one in twenty were an event's. Only front ends of YAMNet's kind.
"""

import csv
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnxruntime as ort
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from front_end_reference import yamnet  # noqa: E402

RATE, PATCH, HOP, PRIOR = 16_000, 15_600, 8_000, 0.05


def logits(scores, card):
    p = np.clip(scores, 1e-6, 1 - 1e-6)
    x = np.log(p / (1 - p)) if card["output"][0].get("activation", "none") == "none" else scores
    place = {label: i for i, label in enumerate(card["labels"])}
    return {g["label"]: x[:, [place[label] for label in g["labels"]]].max(axis=1) for g in card["group"]}


def observe(card, sessions, mixes):
    """Per stream: fold, instants, log-odds of each group; and the truth."""
    truth = defaultdict(list)
    for row in csv.DictReader(open(mixes / "truth.csv")):
        truth[row["stream"]].append((float(row["start"]), float(row["end"]), row["kind"]))
    name, output = card["input"]["name"], card["output"][0]["name"]
    for stream in sorted(truth):
        x = np.fromfile(mixes / f"{stream}.f32", "<f4")
        ends = np.arange(2 * HOP, len(x), HOP)
        fold = int(stream.split("-")[1])
        if not sessions[fold]:
            continue
        scores = []
        for part in np.array_split(ends, max(1, len(ends) // 64)):
            patches = np.stack([yamnet(x[end - PATCH : end]) for end in part]).astype(np.float32)
            scores.append(sessions[fold].run([output], {name: patches})[0])
        yield stream, fold, ends / RATE, logits(np.concatenate(scores), card), truth[stream]


def marks(times, truth, kind):
    """1 where half the patch is in an event of this kind, 0 where none of it is, -1 in between."""
    overlap = np.zeros(len(times))
    for start, end, k in truth:
        if k == kind:
            overlap = np.maximum(overlap, np.clip(np.minimum(times, end) - np.maximum(times - PATCH / RATE, start), 0, None))
    return np.where(overlap >= PATCH / RATE / 2, 1, np.where(overlap > 0, -1, 0))


def fit(x, y):
    positives = y.mean()
    weight = np.where(y == 1, PRIOR / positives, (1 - PRIOR) / (1 - positives))
    model = LogisticRegression(C=1e3).fit(x[:, None], y, sample_weight=weight)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def main():
    card = tomllib.load(open(sys.argv[1], "rb"))
    models = [sys.argv[3], sys.argv[-1]]
    sessions = [m != "-" and ort.InferenceSession(m, providers=["CPUExecutionProvider"]) for m in models]
    seen = list(observe(card, sessions, Path(sys.argv[2])))
    for group in (g["label"] for g in card["group"]):
        parts = {0: ([], []), 1: ([], [])}
        for _, fold, times, x, truth in seen:
            y = marks(times, truth, group)
            parts[fold][0].append(x[group][y >= 0])
            parts[fold][1].append(y[y >= 0])
        parts = {fold: part for fold, part in parts.items() if part[0]}
        data = {fold: (np.concatenate(x), np.concatenate(y)) for fold, (x, y) in parts.items()}
        held_out = []
        for fold in (0, 1) if all(sessions) else ():
            (x, y), (tx, ty) = data[1 - fold], data[fold]
            if y.sum() < 20 or ty.sum() < 20:
                continue
            scale, offset = fit(x, y)
            p = 1 / (1 + np.exp(-(scale * tx + offset)))
            held_out.append(f"fold {fold}: AUC {roc_auc_score(ty, tx):.3f}, log loss {log_loss(ty, p):.3f} (of the prior alone {log_loss(ty, np.full(len(ty), ty.mean())):.3f})")
        x, y = (np.concatenate([part[i] for part in data.values()]) for i in (0, 1))
        if y.sum() < 20:
            print(f"{group}: {int(y.sum())} instants: not fitted")
            continue
        scale, offset = fit(x, y)
        print(f"{group}: scale = {scale:.3f}  offset = {offset:.3f}   {'; '.join(held_out)}")


if __name__ == "__main__":
    main()

"""Figures on recordings that the evaluated model never saw, beside loudness and YAMNet.

Fold 0's model was trained on fold 1's recordings alone, and the reverse. Thresholds for one fold come
from the other fold's event-free streams. `python evaluate.py` prints Markdown and writes
calibration.json, from which the card takes its figures.
"""

import json

import numpy as np
import onnxruntime as ort

import scenes
from clips import CACHE, all_clips
from features import SHARED, Yamnet, decode, patches
from model import LABELS
from streams import EVENT_SECONDS, EVENTS, STEP, STREAM, STREAMS, logit, rendered

SNRS = [-5, 0, 5, 10, 20]
#: Folds with a model trained without them. Where there is only one, thresholds come from its own event-free streams.
FOLDS = [k for k in (0, 1) if (CACHE / f"fold{k}.onnx").exists()]
ALARMS_PER_HOUR = 12.0


class Ours:
    def __init__(self, path):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, mel):
        return np.concatenate([self.session.run(None, {"patches": mel[i : i + 256]})[0] for i in range(0, len(mel), 256)])


def auc(positive, negative):
    positive, negative = np.asarray(positive), np.sort(np.asarray(negative))
    if not len(positive) or not len(negative):
        return float("nan")
    low = np.searchsorted(negative, positive, "left")
    high = np.searchsorted(negative, positive, "right")
    return float(((low + high) / 2).mean() / len(negative))


def clip_scores(clips, score):
    """Largest score of each label over each clip, [clips, labels], with at least 16 dB of headroom."""
    return np.stack([score(patches((c.samples / (np.abs(c.samples).max() + 1e-9) * 0.5).astype(np.float32))).max(0) for c in clips])


def held(series: np.ndarray) -> np.ndarray:
    """What the audio tagger detector makes of the patches: the mean of two seconds, held for one step."""
    padded = np.concatenate([np.full(3, series[:8].mean()), series])
    pooled = np.convolve(padded, np.full(4, 0.25), "valid")
    return np.minimum(pooled, np.concatenate([pooled[:1], pooled[:-1]]))


def alarms(series, threshold, spans):
    """Onsets over the threshold outside the spans, those within 5 s of one another counted once."""
    count, last = 0, -99.0
    for i in np.flatnonzero(series > threshold):
        t = i * STEP + 0.48
        if any(s - 1 <= t <= s + EVENT_SECONDS + 2.5 for s in spans):
            continue
        if t - last > 5:
            count += 1
        last = t
    return count


def curves(fold, snr, ours):
    out = []
    for mel, loudness, theirs, events in rendered(fold, STREAMS, snr):
        row = {"tagger": logit(ours(mel.astype(np.float32))), "yamnet": theirs}
        out.append(({"loudness": loudness, **{k: np.apply_along_axis(held, 0, v) for k, v in row.items()}}, events))
    return out


def threshold_at(quiet, method, column):
    hours = len(quiet) * STREAM / 3600
    values = np.sort(np.concatenate([row[method][:, column] for row, _ in quiet]))[::-1]
    best = values[0] + 1e-6
    for candidate in values[: max(60, len(values) // 3) : 3]:
        if sum(alarms(row[method][:, column], candidate, []) for row, _ in quiet) / hours > ALARMS_PER_HOUR:
            break
        best = candidate
    return float(best)


def gala(model, thresholds):
    samples = decode(SHARED / "media/streams/gala.mp4")
    series = np.apply_along_axis(held, 0, logit(model(patches(samples))))
    rows = (SHARED / "media/streams/gala.truth.csv").read_text().split()[1:]
    print("\nGala (fold 0's model: none of its four events was trained on), largest held logit over the threshold within each moment:\n")
    print("| moment | truth | " + " | ".join(EVENTS) + " |\n|---|---|" + "---|" * len(EVENTS))
    outside = np.ones(len(series), bool)
    times = np.arange(len(series)) * STEP + 0.48
    for row in rows:
        _, start, end, kind = row.split(",")
        span = (times >= float(start) - 0.5) & (times <= float(end) + 1)
        outside &= ~((times >= float(start) - 1) & (times <= float(end) + 1.5))
        print(f"| {start}–{end} | {kind} | " + " | ".join(f"{series[span, LABELS.index(e)].max() - thresholds[e]:+.1f}" for e in EVENTS) + " |")
    print("| elsewhere | – | " + " | ".join(f"{series[outside, LABELS.index(e)].max() - thresholds[e]:+.1f}" for e in EVENTS) + " |")


def main():
    yamnet, clips = Yamnet(), all_clips()
    models = {k: Ours(CACHE / f"fold{k}.onnx") for k in FOLDS}
    table = {}
    print("Clip-level AUC, held-out recordings (largest score over the clip):\n\n| label | positive | negative | tagger | YAMNet |\n|---|---|---|---|---|")
    held_out = {k: [c for c in clips if c.fold == k and c.name != "soundfx/laugh1"] for k in FOLDS}
    scored = {k: (clip_scores(held_out[k], models[k]), clip_scores(held_out[k], yamnet.labels)) for k in FOLDS}
    for i, label in enumerate(LABELS):
        parts = []
        for k in FOLDS:
            truth = np.array([c.kind == label for c in held_out[k]])
            if label == "music":
                skip = np.array([c.kind in ("effect", "game") for c in held_out[k]])
            elif label in ("speech", "shout"):
                skip = np.array([c.kind in ("game", "cheer", "laughter", "scream") for c in held_out[k]])
            else:
                skip = np.zeros(len(truth), bool)
            parts.append((truth.sum(), (~truth & ~skip).sum(), *(auc(s[truth, i], s[~truth & ~skip, i]) for s in scored[k])))
        n = [p[0] for p in parts]
        if sum(n):
            mean = [np.nansum([p[j] * p[0] for p in parts if p[0]]) / sum(n) for j in (2, 3)]
            print(f"| {label} | {sum(n)} | {sum(p[1] for p in parts if p[0])} | {mean[0]:.3f} | {mean[1]:.3f} |")
            table[label] = {"positives": int(sum(n)), "auc": round(mean[0], 3), "yamnet_auc": round(mean[1], 3)}

    print("\nKnown failures, share of held-out clips over the threshold of 12 alarms an hour (largest held-free logit):\n")
    quiet = {k: curves(k, None, models[k]) for k in FOLDS}
    limits = {k: {m: {e: threshold_at(quiet.get(1 - k, quiet[k]), m, LABELS.index(e)) for e in EVENTS} for m in ("loudness", "tagger", "yamnet")} for k in FOLDS}

    groups = {"baby cry": "esc:baby cry", "rooster": "esc:rooster", "dog bark": "esc:dog bark", "sneeze": "esc:person sneeze", "game (Freedoom)": "game", "speech": "speech", "music": "music", "other ESC-10": "esc:"}
    print("| clips | n | " + " | ".join(f"{e} tagger / YAMNet" for e in EVENTS) + " |\n|---|---|" + "---|" * len(EVENTS))
    evil = [c for c in clips if c.name == "soundfx/laugh1"]
    for name, kind in [*groups.items(), ("evil laugh", None), ("siren, alarm", "alarm")]:
        cells, total = np.zeros((len(EVENTS), 2)), 0
        for k in FOLDS:
            def member(c):
                if kind is None:
                    return False
                if kind == "alarm":
                    return "alarm" in c.name or "iren" in c.name
                return c.kind.startswith("esc:") and c.kind not in groups.values() if kind == "esc:" else c.kind == kind
            ids = [i for i, c in enumerate(held_out[k]) if member(c)]
            pair = [s[ids] for s in scored[k]] if kind is not None else [clip_scores(evil, models[k]), clip_scores(evil, yamnet.labels)]
            total += len(pair[0])
            for j, e in enumerate(EVENTS):
                for m, method in enumerate(("tagger", "yamnet")):
                    cells[j, m] += (logit(pair[m][:, LABELS.index(e)]) > limits[k][method][e]).sum()
        print(f"| {name} | {total if kind is not None else 1} | " + " | ".join(f"{100 * a / max(total, 1):.0f} % / {100 * b / max(total, 1):.0f} %" for a, b in cells) + " |")

    print(f"\nEvents of {EVENT_SECONDS:.0f} s in {len(FOLDS) * STREAMS * STREAM // 60} min of held-out music, speech, effects and game sounds, recall at the threshold that gave {ALARMS_PER_HOUR:.0f} alarms an hour on the other fold; alarms an hour here in brackets:\n")
    print("| SNR | label | n | loudness | tagger | YAMNet |\n|---|---|---|---|---|---|")
    hours = len(FOLDS) * STREAMS * STREAM / 3600
    for snr in SNRS:
        runs = {k: curves(k, snr, models[k]) for k in FOLDS}
        for e in EVENTS:
            i, cells, n = LABELS.index(e), [], 0
            for method in ("loudness", "tagger", "yamnet"):
                hit = count = wrong = 0
                for k in FOLDS:
                    limit = limits[k][method][e]
                    for row, events in runs[k]:
                        series = row[method][:, i]
                        times = np.arange(len(series)) * STEP + 0.48
                        for start, label in events:
                            if label == e:
                                count += 1
                                hit += bool((series[(times >= start) & (times <= start + EVENT_SECONDS + 2)] > limit).any())
                        allowed = [s for s, label in events if label is not None] if method == "loudness" else [s for s, label in events if label == e]
                        wrong += alarms(series, limit, allowed)
                cells.append(f"{hit / max(count, 1):.2f} ({wrong / hours:.0f})")
                n = count
            print(f"| {snr:+d} dB | {e} | {n} | " + " | ".join(cells) + " |")

    confusion(clips, models, limits)
    gala(models[0], limits[0]["tagger"])
    calibration = {}
    for i, label in enumerate(LABELS):
        calm = np.concatenate([row["tagger"][:, i] for k in FOLDS for row, _ in quiet[k]])
        calibration[label] = {"baseline": round(float(np.median(calm)), 2), "temperature": round(float(max(0.5, (np.quantile(calm, 0.99) - np.median(calm)) / 4.6)), 2), **table.get(label, {})}
        if label in EVENTS:
            calibration[label]["threshold"] = round(float(np.mean([limits[k]["tagger"][label] for k in FOLDS])), 2)
    for label, (scale, offset) in platt(held_out, models).items():
        calibration[label] |= {"scale": scale, "offset": offset}
    (CACHE / "calibration.json").write_text(json.dumps(calibration, indent=1))
    print("\nCalibration (median logit of held-out backgrounds, temperature so that their 99th percentile is at 1 %):\n")
    print("| label | baseline | temperature | Platt scale | Platt offset |\n|---|---|---|---|---|")
    for label, c in calibration.items():
        print(f"| {label} | {c['baseline']} | {c['temperature']} | {c.get('scale', '–')} | {c.get('offset', '–')} |")


def platt(held_out, models):
    """Scale and offset of each label's logit from held-out patches: varied events at 0 to 20 dB against everything else.

    Weighted as if one patch in twenty were an event's.
    """
    x, y = [], []
    for k in FOLDS:
        data = scenes.fold(k, scenes_count())
        x.append(logit(models[k](data["patches"].astype(np.float32))))
        y.append(data["targets"])
    x, y = np.concatenate(x), np.concatenate(y)
    out = {}
    for i, label in enumerate(LABELS):
        positive, negative = y[:, i] > 0.6, y[:, i] < 0.1
        if positive.sum() < 100:
            continue
        keep = positive | negative
        weight = np.where(positive[keep], 0.05 / positive.sum(), 0.95 / negative.sum())
        features = np.stack([x[keep, i], np.ones(keep.sum())], 1)
        w = np.array([1.0, 0.0])
        for _ in range(30):
            p = 1 / (1 + np.exp(-np.clip(features @ w, -30, 30)))
            hessian = (features * (weight * p * (1 - p))[:, None]).T @ features + 1e-6 * np.eye(2)
            w -= np.linalg.solve(hessian, features.T @ (weight * (p - positive[keep])) + 1e-6 * w)
        if 0.1 < w[0] < 5:
            out[label] = (round(float(w[0]), 3), round(float(w[1]), 3))
    return out


def scenes_count():
    """The scenes that the folds were trained on."""
    return int(sorted(CACHE.glob("scenes-fold0-*.npz"))[-1].stem.split("-")[2])


def confusion(clips, models, limits):
    """Which label a held-out recording is given: the one furthest over its threshold, or none."""
    print("\nConfusion, varied renderings of held-out events and held-out clips; columns are the label furthest over its threshold:\n")
    print("| truth | n | " + " | ".join(EVENTS) + " | none |\n|---|---|" + "---|" * (len(EVENTS) + 1))
    rng = np.random.default_rng(5)
    kinds = [*EVENTS, "speech", "music", "esc:baby cry", "game", "esc:"]
    for kind in kinds:
        counts = np.zeros(len(EVENTS) + 1, int)
        for k in FOLDS:
            members = [c for c in clips if c.fold == k and c.name != "soundfx/laugh1" and (c.kind == kind or (kind == "esc:" and c.kind.startswith("esc:") and c.kind != "esc:baby cry"))]
            for c in members:
                sounds = [scenes.vary(rng, scenes.active(c.samples), 0.15) for _ in range(20)] if kind in EVENTS else [c.samples / np.abs(c.samples).max()]
                for x in sounds:
                    s = logit(models[k](patches((x * 0.5).astype(np.float32)))).max(0)
                    over = [s[LABELS.index(e)] - limits[k]["tagger"][e] for e in EVENTS]
                    counts[int(np.argmax(over)) if max(over) > 0 else -1] += 1
        print(f"| {kind.replace('esc:', 'ESC-10 ') if kind != 'esc:' else 'ESC-10 others'} | {counts.sum()} | " + " | ".join(map(str, counts)) + " |")


if __name__ == "__main__":
    main()

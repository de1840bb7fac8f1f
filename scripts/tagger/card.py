"""Puts the final model and its card where the crate embeds them.

    python card.py            # after train.py --final and evaluate.py
"""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

from clips import CACHE, all_clips
from evaluate import Ours
from features import BANDS, PATCH_FRAMES, patches
from model import LABELS

TARGET = Path(__file__).resolve().parents[2] / "clipcore/src/model/embedded"
#: Screams are context only: held-out baby cries and roosters pass for them.
EVIDENCE = {"laughter", "cheer", "applause"}

HEAD = """\
format = 1
name = "tagger"
task = "audio_tags"
about = "Laughter, cheers, applause, screams, shouts, speech and music on patches of 0.96 s; ships with clipcore (see scripts/tagger/MODEL_CARD.md)"
file = "tagger.onnx"
sha256 = "{sha256}"
bytes = {size}
licence = "Apache-2.0"
source = "https://github.com/tensorflow/models/tree/master/research/audioset/yamnet"
recipe = "scripts/tagger/train.py"
labels = [{labels}]

[input]
name = "patches"
shape = ["batch", 96, 64]
kind = "log_mel"

[input.log_mel]
rate = 16000
window = 400
hop = 160
fft = 512
spectrum = "magnitude"
mel = "htk"
sides = "mel"
bands = 64
low = 125.0
high = 7500.0
log = "natural"
offset = 0.001

[[output]]
name = "scores"
shape = ["batch", {count}]
activation = "none"
"""

GROUP = """
[[group]]
label = "{label}"
labels = ["{label}"]
evidence = {evidence}
scale = {scale}
offset = {offset}
"""


def main():
    TARGET.mkdir(parents=True, exist_ok=True)
    shutil.copy(CACHE / "final.onnx", TARGET / "tagger.onnx")
    data = (TARGET / "tagger.onnx").read_bytes()
    calibration = json.loads((CACHE / "calibration.json").read_text()) if (CACHE / "calibration.json").exists() else {}
    text = HEAD.format(
        sha256=hashlib.sha256(data).hexdigest(), size=len(data), count=len(LABELS),
        labels=", ".join(f'"{label}"' for label in LABELS),
    )
    for label in LABELS:
        c = calibration.get(label, {})
        text += GROUP.format(label=label, evidence=str(label in EVIDENCE).lower(), scale=c.get("scale", 1.0), offset=c.get("offset", 0.0))
    (TARGET / "tagger.toml").write_text(text)
    check(TARGET / "tagger.onnx")


def check(path):
    """The exported graph gives what the trained parameters give in JAX."""
    import jax

    from model import STRIDES, logits
    from train import load

    params = load(CACHE / "final.npz")
    mel = np.concatenate([patches(c.samples)[:2] for c in all_clips()[::12]])
    rng = np.random.default_rng(0)
    mel = np.concatenate([mel, rng.normal(-3, 2, (16, PATCH_FRAMES, BANDS)).astype(np.float32)])
    ours = np.asarray(jax.jit(lambda p, x: jax.nn.sigmoid(logits(p, STRIDES, x)))(params, mel))
    print(f"{len(mel)} patches: largest difference between JAX and ONNX Runtime {np.abs(ours - Ours(path)(mel)).max():.1e}")


if __name__ == "__main__":
    main()

"""A start for the tagger that already hears something: YAMNet, narrowed in closed form.

Layer by layer, the channels kept are those that a pivoted QR of YAMNet's own activations picks, the
depthwise filters of the kept channels are copied, and each pointwise layer is the ridge regression
from what the narrow network has at that point to what YAMNet has before its Relu. Layers left out of
the narrow network are bridged by the same regression. No labels are used.
"""

import jax
import numpy as np
from scipy.linalg import qr, solve

from model import BLOCKS, STEM, YAMNET_STRIDES, depthwise, pointwise, stem


def _rows(rng, x, limit):
    flat = np.asarray(x).reshape(-1, x.shape[-1])
    return flat if len(flat) <= limit else flat[rng.choice(len(flat), limit, replace=False)]


def _pick(rng, activations, count):
    rows = _rows(rng, activations, 6000).astype(np.float64)
    _, order = qr(rows, mode="r", pivoting=True)
    return np.sort(order[:count])


def _ridge(x, y, strength):
    x = np.hstack([x, np.ones((len(x), 1), x.dtype)]).astype(np.float64)
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] += strength * np.trace(gram) / len(gram)
    w = solve(gram, x.T @ y.astype(np.float64), assume_a="pos")
    return w[:-1].astype(np.float32), w[-1].astype(np.float32)


def narrow(teacher: dict, patches: np.ndarray, seed: int) -> tuple[dict, np.ndarray]:
    """Parameters of the tagger's body without its dense layer, and YAMNet's embedding channels it keeps."""
    rng = np.random.default_rng(seed)
    full = jax.jit(stem)(teacher["stem"], patches)
    kept = _pick(rng, full, STEM)
    body = {"stem": {"w": teacher["stem"]["w"][..., kept], "b": teacher["stem"]["b"][kept]}, "blocks": []}
    small = np.asarray(full)[..., kept]
    layer = 0
    for out, stride, until in BLOCKS:
        first = teacher["blocks"][layer]
        while layer < until // 2:
            block = teacher["blocks"][layer]
            before = jax.jit(lambda p, x, s=YAMNET_STRIDES[layer + 1]: pointwise(p, depthwise(p, x, s)))(block, full)
            full = jax.nn.relu(before)
            layer += 1
        chosen = _pick(rng, full, out)
        new = {"dw": first["dw"][..., kept], "db": first["db"][kept]}
        inner = np.asarray(jax.jit(lambda p, x, s=stride: depthwise(p, x, s))(new, small))
        target = np.asarray(before)[..., chosen]
        flat = inner.reshape(-1, inner.shape[-1])
        rows = rng.choice(len(flat), min(len(flat), 40_000), replace=False)
        new["pw"], new["pb"] = _ridge(flat[rows], target.reshape(-1, out)[rows], 1e-4)
        small = np.maximum(inner @ new["pw"] + new["pb"], 0.0)
        body["blocks"].append(new)
        kept = chosen
    error = np.mean((small.mean((1, 2)) - np.asarray(full)[..., kept].mean((1, 2))) ** 2)
    print(f"narrowed: error of the kept embedding {error / np.var(np.asarray(full)[..., kept].mean((1, 2))):.3f} of its variance")
    return body, kept

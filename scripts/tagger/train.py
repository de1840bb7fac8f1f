"""Trains the tagger: narrowed YAMNet, then distillation and corrected targets, then ONNX.

    python train.py --fold 0        # trained on fold 1 alone, for evaluation on fold 0 (and the reverse)
    python train.py --final         # fold 0's model trained further on both folds, exported as what ships
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import scenes
from clips import CACHE
from model import LABELS, STRIDES, cost, embed, to_onnx, yamnet_params
from prune import narrow

SEED = 7
BATCH = 64
#: Weight of a label in the loss.
LABEL_WEIGHTS = np.array([2.0, 1.5, 1.5, 1.5, 1.0, 1.0, 0.7], np.float32)


def start(teacher, data, seed):
    """The narrowed body with a dense layer for our labels and one for YAMNet's classes (training only)."""
    rng = np.random.default_rng(seed)
    some = data["patches"][rng.choice(len(data["patches"]), 350, replace=False)].astype(np.float32)
    body, kept = narrow(teacher, some, seed)
    wide = teacher["dense"]
    dense = {"w": rng.normal(0, 0.01, (len(kept), len(LABELS))).astype(np.float32), "b": np.full(len(LABELS), -3.0, np.float32)}
    return {**body, "dense": dense, "classes": {"w": wide["w"][kept] * (len(wide["w"]) / len(kept)) ** 0.5, "b": wide["b"]}}, kept


def bce(logit, target):
    return jnp.maximum(logit, 0) - logit * target + jnp.log1p(jnp.exp(-jnp.abs(logit)))


def loss(params, x, target, teacher):
    e = embed(params, STRIDES, x)
    ours = bce(e @ params["dense"]["w"] + params["dense"]["b"], target) * LABEL_WEIGHTS
    theirs = bce(e @ params["classes"]["w"] + params["classes"]["b"], teacher).sum(1)
    return ours.mean() * 3.0 + theirs.mean() * 0.05


def masked(rng, x):
    """Some time and frequency bands set to the patch's mean, in a third of the patches."""
    x = x.copy()
    for k in np.flatnonzero(rng.random(len(x)) < 0.33):
        t, f = int(rng.integers(0, 86)), int(rng.integers(0, 58))
        x[k, t : t + int(rng.integers(2, 10))] = x[k].mean()
        x[k, :, f : f + int(rng.integers(1, 6))] = x[k].mean()
    return x


def train(data, steps: int, params=None, seed: int = SEED):
    """Parameters after `steps` batches of `data`, from YAMNet narrowed or, more gently, from `params`."""
    rate = 1.5e-3 if params is None else 7e-4
    if params is None:
        params, _ = start(yamnet_params(), data, seed)
    params = jax.tree.map(jnp.asarray, params)
    schedule = optax.warmup_cosine_decay_schedule(rate / 10, rate, steps // 20 + 1, steps, rate / 100)
    optimiser = optax.chain(optax.clip_by_global_norm(2.0), optax.adamw(schedule, weight_decay=2e-4))
    state = optimiser.init(params)

    @jax.jit
    def step(params, state, *batch):
        value, gradient = jax.value_and_grad(loss)(params, *batch)
        update, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, update), state, value

    rng, order, at = np.random.default_rng(seed), np.empty(0, int), 0
    began, running = time.time(), None
    for i in range(steps):
        if at + BATCH > len(order):
            order, at = rng.permutation(len(data["patches"])), 0
        ids = order[at : at + BATCH]
        at += BATCH
        x = masked(rng, data["patches"][ids].astype(np.float32))
        params, state, value = step(params, state, x, data["targets"][ids], data["teacher"][ids].astype(np.float32))
        running = float(value) if running is None else 0.98 * running + 0.02 * float(value)
        if i % 50 == 0 or i == steps - 1:
            print(f"step {i}/{steps} loss {running:.4f} {time.time() - began:.0f} s", flush=True)
    return jax.tree.map(np.asarray, params)


def save(params, path):
    """Writes parameters as arrays named by their place, `blocks/3/pw`."""
    names = jax.tree_util.tree_leaves_with_path(params)
    np.savez(path, **{"/".join(str(getattr(k, "key", getattr(k, "idx", k))) for k in at): value for at, value in names})


def load(path):
    """Parameters that `save` wrote."""
    params = {"blocks": []}
    for name, value in np.load(path).items():
        at, parts = params, name.split("/")
        if parts[0] == "blocks":
            while len(params["blocks"]) <= int(parts[1]):
                params["blocks"].append({})
            at, parts = params["blocks"][int(parts[1])], parts[2:]
        for part in parts[:-1]:
            at = at.setdefault(part, {})
        at[parts[-1]] = value
    return params


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--fold", type=int, choices=(0, 1), help="the recordings to leave out")
    arguments.add_argument("--final", action="store_true")
    arguments.add_argument("--scenes", type=int, default=1700, help="scenes of each fold")
    arguments.add_argument("--steps", type=int, help="batches; 500, or 260 of --final")
    arguments.add_argument("--out")
    options = arguments.parse_args()
    folds = (0, 1) if options.final else (1 - options.fold,)
    parts = [scenes.fold(k, options.scenes) for k in folds]
    before = load(CACHE / "fold0.npz") if options.final else None
    data = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    params = train(data, options.steps or (260 if options.final else 500), before)
    out = options.out or CACHE / ("final.onnx" if options.final else f"fold{options.fold}.onnx")
    to_onnx(params, out, "clipcore tagger: " + ", ".join(LABELS))
    save(params, str(out).replace(".onnx", ".npz"))
    macs, size = cost()
    print(f"{out}: {macs / 1e6:.2f} M multiply-adds a patch, {size} parameters")


if __name__ == "__main__":
    main()

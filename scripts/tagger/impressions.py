"""Patches made up to please YAMNet: what it takes laughter, cheers, screams and shouts to look like.

There are few free recordings of people, but YAMNet has heard many. Starting from synthesised voices and
crowds, gradient ascent on the log-mel patch raises YAMNet's logit of one class while the statistics of
its inner layers stay near those of real audio and the patch stays smooth (after DeepInversion, Yin et
al. 2020). The tagger sees them with YAMNet's own scores as soft targets. No recording is used but
for the layer statistics.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

import synth
from clips import CACHE
from features import PATCH_SAMPLES, Yamnet, grouped, patches
from model import YAMNET_STRIDES, depthwise, pointwise, stem, yamnet_params

#: Class of YAMNet and share of the impressions: laughter in its kinds, cheers, screams, shouts, crying.
CLASSES = {13: 6, 15: 2, 16: 1, 17: 3, 18: 2, 61: 5, 64: 1, 11: 5, 6: 2, 9: 2, 8: 2, 10: 1, 62: 3, 58: 2, 20: 2, 19: 1}
FLOOR, CEILING = float(np.log(0.001)), 3.0


def statistics_and_logits(params, x):
    x = stem(params["stem"], x)
    seen = [(x.mean((1, 2)), x.std((1, 2)))]
    for block, stride in zip(params["blocks"], YAMNET_STRIDES[1:]):
        x = jax.nn.relu(pointwise(block, depthwise(block, x, stride)))
        seen.append((x.mean((1, 2)), x.std((1, 2))))
    return seen, x.mean((1, 2)) @ params["dense"]["w"] + params["dense"]["b"]


def reference(params, real: np.ndarray):
    """Mean and spread over real patches of each layer's channel means and deviations."""
    seen, _ = jax.jit(statistics_and_logits)(params, real)
    return [[(np.asarray(s.mean(0)), np.asarray(s.std(0)) + 1e-3) for s in pair] for pair in seen]


def make(count: int, real: np.ndarray, seed: int, steps: int = 60, batch: int = 32) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    params = yamnet_params()
    known = reference(params, real)
    share = np.array(list(CLASSES.values()), float)
    starters = [synth.laugh, synth.crowd_laugh, synth.cheer, synth.scream, synth.shout, synth.applause, synth.colour_noise]
    weight = np.array([4, 1, 1, 3, 3, 1, 2], float)

    def objective(x, wanted, aim):
        seen, logit = statistics_and_logits(params, x)
        hit = jnp.take_along_axis(logit, wanted[:, None], 1)[:, 0]
        far = 0.0
        for pair, stats in zip(seen, known):
            for s, (mean, spread) in zip(pair, stats):
                far += jnp.mean(jax.nn.relu(jnp.abs((s - mean) / spread) - 1.5) ** 2)
        rough = jnp.mean(jnp.abs(jnp.diff(x, axis=1))) + jnp.mean(jnp.abs(jnp.diff(x, axis=2)))
        return jnp.mean(jax.nn.relu(aim - hit)) + 0.05 * far + 0.4 * rough

    gradient = jax.jit(jax.grad(objective))
    made, began = [], time.time()
    for at in range(0, count, batch):
        wanted = rng.choice(list(CLASSES), batch, p=share / share.sum())
        aim = rng.uniform(0.0, 4.0, batch).astype(np.float32)
        x = []
        for _ in range(batch):
            sound = starters[rng.choice(len(starters), p=weight / weight.sum())](rng, PATCH_SAMPLES / 16000 + 0.02)
            noise = rng.standard_normal(len(sound)) * 10 ** rng.uniform(-3.5, -1.5)
            x.append(patches((sound * 10 ** rng.uniform(-1.5, -0.2) + noise).astype(np.float32))[0])
        x = jnp.asarray(np.stack(x))
        m = v = jnp.zeros_like(x)
        for i in range(1, steps + 1):
            g = gradient(x, wanted, aim)
            m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
            x = x - 0.08 * (m / (1 - 0.9**i)) / (jnp.sqrt(v / (1 - 0.99**i)) + 1e-8)
            x = jnp.clip(x, FLOOR, CEILING)
            if i in (steps // 2, steps):
                made.append(np.asarray(x))
        print(f"{at + batch}/{count} impressions, {time.time() - began:.0f} s", flush=True)
    made = np.concatenate(made)
    teacher, _ = Yamnet().run(made)
    return {"patches": made.astype(np.float16), "targets": grouped(teacher), "teacher": teacher.astype(np.float16), "labelled": np.full(len(made), 0.5)}


def load(count: int = 768, seed: int = 3) -> dict[str, np.ndarray]:
    """The impressions, made on first use; layer statistics come from synthesised sound and ESC-10 negatives of both folds."""
    path = CACHE / f"impressions-{count}-{seed}.npz"
    if not path.exists():
        from clips import all_clips

        rng = np.random.default_rng(seed)
        clips = [c for c in all_clips() if c.use == "train" and (c.kind.startswith("esc:") or c.kind in ("speech", "music"))]
        real = np.concatenate([patches(c.samples, 96)[:2] for c in clips])
        np.savez(path, **make(count, real[rng.choice(len(real), 400, replace=False)], seed))
    return dict(np.load(path))


if __name__ == "__main__":
    data = load(*map(int, sys.argv[1:2]))
    hit = data["targets"].max(1)
    print(len(hit), "patches; strongest label over .5 in", float((hit > 0.5).mean()), (data["targets"] > 0.5).mean(0))

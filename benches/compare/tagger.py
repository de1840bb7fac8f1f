"""What YAMNet's front end and model cost in Python, beside `benches/tagger.rs`: librosa and onnxruntime on one thread.

    pip install librosa==0.11.0 onnxruntime==1.24.4
    python benches/compare/tagger.py MODEL.onnx...

Processor milliseconds, the least of three runs, on two minutes of the same made-up sound: a patch of 0.975 s every half second.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import resource  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import librosa  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402

RATE, SECONDS, PATCH, HOP = 16_000, 120, 15_600, 8_000


def least(work, runs=3):
    best = float("inf")
    for _ in range(runs):
        before = time.process_time()
        work()
        best = min(best, time.process_time() - before)
    return 1000 * best


def log_mel(x):
    mel = librosa.feature.melspectrogram(
        y=x, sr=RATE, n_fft=512, win_length=400, hop_length=160, center=False, power=1.0, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None
    )
    return np.log(mel.T + 0.001).astype(np.float32)


def main():
    rng = np.random.default_rng(1)
    t = np.arange(SECONDS * RATE)
    x = (0.1 * (rng.random(len(t)) - 0.5) + 0.2 * np.sin(0.07 * t)).astype(np.float32)
    starts = range(0, len(x) - PATCH + 1, HOP)
    # 112 samples more give the 96 frames that a window of 512 takes.
    cut = [x[at : at + PATCH + 112] for at in starts if at + PATCH + 112 <= len(x)]
    log_mel(cut[0])
    per = least(lambda: [log_mel(piece) for piece in cut]) / len(cut)
    whole = least(lambda: log_mel(x)) / SECONDS
    print("| what | CPU ms | a second of sound: CPU ms | streams a core |\n|---|---|---|---|")
    row = lambda what, each, second: print(f"| {what} | {each:.3f} | {second:.3f} | {1000 / second:.0f} |")
    row("librosa, a patch of 0.975 s", per, 2 * per)
    row("librosa, the whole sound at once", whole, whole)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    for path in sys.argv[1:]:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        item = log_mel(cut[0])[:96][None]
        for batch in (1, 8, 32):
            items = np.repeat(item, batch, axis=0)
            each = least(lambda: [session.run(None, {name: items}) for _ in range(256 // batch)]) / 256
            row(f"{os.path.basename(path)} on onnxruntime {ort.__version__}: a patch, batch {batch}", each, 2 * each)
        second = least(lambda: [session.run(None, {name: log_mel(piece)[:96][None]}) for piece in cut]) / SECONDS
        row(f"{os.path.basename(path)}: front end and model", second, second)
    print(f"\nlargest memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


if __name__ == "__main__":
    main()

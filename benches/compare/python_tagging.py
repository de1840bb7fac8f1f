"""YAMNet over a file of sound: librosa and onnxruntime in Python, against clipcore from Python. Side by side in one run.

    pip install clipcore librosa==0.11.0 onnxruntime==1.24.4 soundfile
    python benches/compare/python_tagging.py MODELS_DIR [FILE]

MODELS_DIR holds yamnet_core_fp32.onnx. FILE is anything that librosa reads; without it, ten minutes of made-up sound are written as WAV, 16 kHz
mono. Each side runs in a process of its own, on as many threads of ONNX Runtime as there are cores, three times in turns; patches
are of 0.975 s, one every 0.48 s. Told are the work on the file (the least), the whole process from its start to its end (the
least), the peak of its memory (Linux), and the largest difference of any score.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

RATE, PATCH, HOP, SECONDS, ROUNDS = 16_000, 15_600, 7_680, 600, 3
THREADS = min(4, os.cpu_count() or 1)


def filters(np):
    """tf.signal.linear_to_mel_weight_matrix, whose triangles are straight over mel; librosa's are straight over hertz."""

    def mel(hertz):
        return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)

    at, edges = mel(np.linspace(0, RATE / 2, 257)), np.linspace(mel(125.0), mel(7500.0), 66)[:, None]
    rising, falling = (at - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - at) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    triangles[:, 0] = 0
    return triangles.astype(np.float32)


def by_librosa(models: str, path: str):
    """As a person writes it who minds YAMNet's own filters: the spectrogram of the whole sound at once, patches cut out of it, batches of 32."""
    import librosa
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    model = os.path.join(models, "yamnet_core_fp32.onnx")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    began = time.perf_counter()
    sound, _ = librosa.load(path, sr=RATE, mono=True)
    # A frame of 400 samples in an FFT of 512: librosa centres it, so 56 samples go before.
    padded = np.pad(sound, (56, 512))
    spectrum = np.abs(librosa.stft(padded, n_fft=512, win_length=400, hop_length=160, center=False))
    mel = filters(np) @ spectrum
    log_mel = np.log(mel.T + 0.001).astype(np.float32)
    count = max(0, (len(sound) - PATCH) // HOP + 1)
    patches = np.stack([log_mel[n * HOP // 160 :][:96] for n in range(count)])
    scores = np.concatenate([session.run(["scores"], {"patches": patches[n : n + 32]})[0] for n in range(0, count, 32)])
    return scores, time.perf_counter() - began, len(sound) / RATE


def by_clipcore(models: str, path: str):
    """The same with clipcore, a minute at a time: libsndfile reads the file, as it does for librosa."""
    import numpy as np
    import soundfile

    import clipcore

    model = clipcore.AudioModel("yamnet", config={"models": {"dir": models, "threads": THREADS}})
    began = time.perf_counter()
    with soundfile.SoundFile(path) as file:
        assert file.samplerate == RATE and file.channels == 1, "give a mono file of 16 kHz"
        length = file.frames / RATE
        # Blocks overlap by what a patch holds of the one before.
        blocks = file.blocks(125 * HOP + PATCH - HOP, overlap=PATCH - HOP, dtype="float32")
        scores = np.concatenate([model.scores(block, hop=HOP / RATE)[1] for block in blocks])
    return scores, time.perf_counter() - began, length


def one(who: str, models: str, path: str, out: str) -> None:
    scores, seconds, length = {"librosa": by_librosa, "clipcore": by_clipcore}[who](models, path)
    import numpy as np

    np.save(out, scores)
    # What getrusage tells is at least what the parent process had when it started this one.
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    print(json.dumps({"seconds": seconds, "length": length, "peak": peak}))


def made(path: Path) -> None:
    import numpy as np

    rng, t = np.random.default_rng(1), np.arange(SECONDS * RATE) / RATE
    loud = 0.5 + 0.5 * np.sin(2 * np.pi * t / 7)
    sound = loud * (0.3 * np.sin(2 * np.pi * (300 + 200 * np.sin(t / 3)) * t) + 0.1 * rng.standard_normal(len(t)))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((32_000 * np.clip(sound, -1, 1)).astype("<i2").tobytes())


def main() -> None:
    if sys.argv[1] == "--one":
        return one(*sys.argv[2:])
    models = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[2] if len(sys.argv) > 2 else Path(folder) / "sound.wav")
        if len(sys.argv) <= 2:
            made(path)
        runs: dict[str, list[dict]] = {"librosa": [], "clipcore": []}
        for _ in range(ROUNDS):
            for who, told in runs.items():
                began = time.perf_counter()
                args = [sys.executable, __file__, "--one", who, models, str(path), f"{folder}/{who}.npy"]
                done = subprocess.run(args, capture_output=True, text=True, check=True)
                told.append({**json.loads(done.stdout.splitlines()[-1]), "process": time.perf_counter() - began})
        import numpy as np

        theirs, ours = (np.load(f"{folder}/{who}.npy") for who in runs)
        length = runs["librosa"][0]["length"]
        print(f"{length:.0f} s of sound, {len(theirs)} patches, {THREADS} threads\n")
        print("| | work, s | times real time | whole process, s | peak memory, MiB |\n|---|---|---|---|---|")
        least = {who: {key: min(r[key] for r in told) for key in ("seconds", "process", "peak")} for who, told in runs.items()}
        for who, best in least.items():
            print(f"| {who} | {best['seconds']:.2f} | {length / best['seconds']:.0f} | {best['process']:.2f} | {best['peak']:.0f} |")
        a, b = least["librosa"], least["clipcore"]
        ratios = (a["seconds"] / b["seconds"], a["process"] / b["process"], b["peak"] / a["peak"])
        print(f"\nclipcore: {ratios[0]:.2f} × the throughput, {ratios[1]:.2f} × with start-up, {ratios[2]:.2f} of the memory")
        print(f"largest difference of a score: {np.abs(theirs - ours).max():.6f} of {theirs.shape} scores")


if __name__ == "__main__":
    main()

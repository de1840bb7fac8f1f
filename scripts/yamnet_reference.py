"""YAMNet's mean scores of twenty clips by numpy and onnxruntime, for the test that clipcore gives the same.

    pip install numpy librosa==0.11.0 onnxruntime==1.24.4        # and ffmpeg
    python scripts/yamnet_reference.py ../shared > clipcore/tests/it/yamnet_reference.json

One line a clip: its path, and the scores of at least 0.0002 as [class, score]; all others are below that.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

from front_end_reference import yamnet

CLIPS = [
    "ibm_max/applause.wav", "ibm_max/crowd_cheering.wav", "ibm_max/gunshots.wav", "ibm_max/dog.wav", "ibm_max/piano.wav",
    "ibm_max/thunder.wav", "ibm_max/rain.wav", "ibm_max/train.wav", "ibm_max/typing.wav", "ibm_max/birds1.wav",
    "soundfx/laugh1.mp3", "soundfx/laugh2.mp3", "soundfx/cannon1.mp3", "soundfx/fanfare1.mp3",
    "whisper/jfk.flac", "concert/concert-crowd.mp3", "esc10/001 - Dog bark/1-100032-A.ogg",
    "librosa/5703-47212-0000.hq.ogg", "librosa/198-209-0000.hq.ogg", "librosa/sorohanro_-_solo-trumpet-06.hq.ogg",
]  # fmt: skip
SECONDS, PATCH, HOP = 6, 15_600, 7_680


def decode(path):
    command = ["ffmpeg", "-v", "error", "-i", path, "-t", str(SECONDS), "-ac", "1", "-ar", "16000", "-f", "f32le", "pipe:1"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.float32)


def main():
    shared = Path(sys.argv[1])
    session = ort.InferenceSession(shared / "models/yamnet/yamnet_core_fp32.onnx", providers=["CPUExecutionProvider"])
    for clip in CLIPS:
        x = decode(shared / "media/audio" / clip).astype(np.float64)
        x = np.pad(x, (0, max(0, PATCH - len(x))))
        patches = [yamnet(x[at : at + PATCH]) for at in range(0, len(x) - PATCH + 1, HOP)]
        scores = session.run(["scores"], {"patches": np.stack(patches).astype(np.float32)})[0].mean(axis=0)
        print(json.dumps({"clip": clip, "scores": [[i, round(float(s), 6)] for i, s in enumerate(scores) if s >= 2e-4]}, separators=(",", ":")))


if __name__ == "__main__":
    main()

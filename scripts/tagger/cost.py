"""Size and time of the tagger beside YAMNet, in one process on one thread, alternating."""

import sys
import time

import numpy as np

from evaluate import Ours
from features import SHARED
from model import cost

YAMNET_MACS = 69_165_056


def main(path):
    sessions = {"tagger": Ours(path).session, "YAMNet": Ours(SHARED / "models/yamnet/yamnet_core_fp32.onnx").session}
    macs, parameters = cost()
    print(f"{macs / 1e6:.2f} M multiply-adds a patch ({macs / YAMNET_MACS:.3f} of YAMNet), {parameters} parameters, {open(path, 'rb').seek(0, 2)} bytes\n")
    print("| batch | tagger ms a patch | YAMNet ms a patch | ratio |\n|---|---|---|---|")
    rng = np.random.default_rng(0)
    for batch in (1, 8, 32):
        x = rng.standard_normal((batch, 96, 64)).astype(np.float32) - 3
        best = dict.fromkeys(sessions, float("inf"))
        for _ in range(25):
            for name, session in sessions.items():
                took = []
                for _ in range(max(2, 40 // batch)):
                    began = time.perf_counter()
                    session.run(None, {"patches": x})
                    took.append(time.perf_counter() - began)
                best[name] = min(best[name], float(np.median(took)) * 1000 / batch)
        print(f"| {batch} | {best['tagger']:.3f} | {best['YAMNet']:.3f} | {best['tagger'] / best['YAMNet']:.3f} |")


if __name__ == "__main__":
    main(sys.argv[1])

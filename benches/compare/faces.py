#!/usr/bin/env python3
"""Faces and their expressions in plain Python, to measure against: OpenCV and onnxruntime with one thread.

    python3 benches/compare/faces.py yunet|ultraface FRAMES.rgb ../shared

`cargo bench -p clipcore-benches --bench faces` calls it. The work is that of clipcore: find faces in frames of 640 x 360,
cut them out upright, read their expressions. Prints frames, faces, processor seconds and peak memory as JSON. Needs
opencv-python-headless, onnxruntime, numpy.
"""

import json
import pathlib
import resource
import sys
import time

import cv2
import numpy as np
import onnxruntime

WIDTH, HEIGHT, CROP = 640, 360, 64
TEMPLATE = np.float32([[0.33, 0.415], [0.67, 0.415], [0.5, 0.568], [0.364, 0.721], [0.636, 0.721]]) * CROP


def load(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class YuNet:
    def __init__(self, models):
        self.session = load(models / "yunet/yunet_s_dynamic.onnx")
        self.names = [o.name for o in self.session.get_outputs()]
        self.grids = {s: np.stack([g.ravel() for g in np.meshgrid(range(WIDTH // s), range(384 // s))], 1) for s in (8, 16, 32)}

    def find(self, rgb):
        # 640 x 360 fills 640 x 384 as it is.
        canvas = cv2.copyMakeBorder(rgb, 0, 384 - HEIGHT, 0, 0, cv2.BORDER_CONSTANT)
        blob = cv2.dnn.blobFromImage(canvas, swapRB=True)
        out = dict(zip(self.names, self.session.run(None, {"input": blob})))
        places, scores, points = [], [], []
        for s in (8, 16, 32):
            score = np.sqrt(out[f"cls_{s}"].ravel().clip(0, 1) * out[f"obj_{s}"].ravel().clip(0, 1))
            sure = np.flatnonzero(score >= 0.7)
            if not len(sure):
                continue
            grid, box, kps = self.grids[s][sure], out[f"bbox_{s}"][0][sure], out[f"kps_{s}"][0][sure]
            middle, size = (grid + box[:, :2]) * s, np.exp(box[:, 2:]) * s
            places.append(np.hstack([middle - size / 2, size]))
            scores.append(score[sure])
            points.append((kps.reshape(-1, 5, 2) + grid[:, None]) * s)
        if not places:
            return []
        places, scores, points = map(np.concatenate, (places, scores, points))
        return [(places[i], points[i]) for i in cv2.dnn.NMSBoxes(places.tolist(), scores.tolist(), 0.7, 0.3)]


class UltraFace:
    def __init__(self, models):
        self.session = load(models / "ultraface/version-RFB-320.onnx")

    def find(self, rgb):
        canvas = cv2.copyMakeBorder(cv2.resize(rgb, (320, 180), interpolation=cv2.INTER_AREA), 0, 60, 0, 0, cv2.BORDER_CONSTANT)
        blob = cv2.dnn.blobFromImage(canvas, 1 / 128, mean=(127, 127, 127))
        scores, boxes = self.session.run(None, {"input": blob})
        sure = np.flatnonzero(scores[0, :, 1] >= 0.7)
        if not len(sure):
            return []
        corners = boxes[0][sure] * [WIDTH, 480, WIDTH, 480]
        places = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
        kept = cv2.dnn.NMSBoxes(places.tolist(), scores[0, sure, 1].tolist(), 0.7, 0.3)
        return [(places[i], None) for i in kept]


def crop(grey, place, points):
    if points is None:
        x, y, width, height = place
        side = 0.98 * height
        scale = CROP / side
        matrix = np.float64([[scale, 0, -scale * (x + (width - side) / 2)], [0, scale, -scale * (y + 0.46 * height - side / 2)]])
    else:
        matrix, _ = cv2.estimateAffinePartial2D(points.astype(np.float32), TEMPLATE, method=cv2.LMEDS)
    return cv2.warpAffine(grey, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def main():
    cv2.setNumThreads(1)
    kind, frames, shared = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    finder = (YuNet if kind == "yunet" else UltraFace)(shared / "models")
    reader = load(shared / "models/fer/mini_xception.onnx")
    count = faces = 0
    cost = 0.0
    for turn in range(3):
        with open(frames, "rb") as file:
            while len(raw := file.read(WIDTH * HEIGHT * 3)) == WIDTH * HEIGHT * 3:
                begin = time.process_time()
                rgb = np.frombuffer(raw, np.uint8).reshape(HEIGHT, WIDTH, 3)
                found = finder.find(rgb)
                if found:
                    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
                    crops = np.stack([crop(grey, *face) for face in found]).astype(np.float32)[..., None] / 127.5 - 1
                    reader.run(None, {"input": crops})
                if turn:  # the first one warms up
                    cost += time.process_time() - begin
                    count += 1
                    faces += len(found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    what = f"Python, OpenCV {cv2.__version__} + onnxruntime {onnxruntime.__version__}"
    print(json.dumps({"what": what, "frames": count, "faces": faces // 2, "cpu": cost, "peak": peak}))


if __name__ == "__main__":
    main()

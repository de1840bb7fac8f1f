#!/usr/bin/env python3
"""What face finders and the expression model say, by Pillow, NumPy, SciPy and Python's onnxruntime.

    pip install onnxruntime==1.24.4 numpy scipy pillow
    python3 scripts/face_reference.py ../shared > clipcore/tests/it/faces/reference.json

The tests hold clipcore's front end, decoders and backends against these numbers. They are scalars only: places, scores,
and a checksum of each picture's pixels, for another ffmpeg may decode it otherwise. Nothing here is taken from clipcore:
pictures are resized by NumPy (and Pillow must agree), crops sampled by scipy.ndimage, similarities solved by numpy.linalg.lstsq.
"""

import json
import pathlib
import subprocess
import sys
import zlib

import numpy as np
import onnxruntime
from PIL import Image
from scipy.ndimage import map_coordinates

SIDE, MOST_ENLARGED, STEP = 640, 2.0, 32
SCORE, OVERLAP = 0.7, 0.3
CROP = 64
TEMPLATE = np.array([[0.33, 0.415], [0.67, 0.415], [0.5, 0.568], [0.364, 0.721], [0.636, 0.721]])
SQUARE, MIDDLE = 0.98, 0.46
EVERY = 25
CLIPS = ["d0", "d3", "d10", "d18", "s13"]


def load(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(session, tensor):
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: tensor.astype(np.float32)})))


def frames(path, every=None):
    """RGB frames of a picture or a video."""
    size = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height", "-of", "csv=p=0", path],
        check=True, capture_output=True, text=True).stdout.strip().split(",")
    width, height = int(size[0]), int(size[1])
    select = ["-vf", f"select=not(mod(n\\,{every}))", "-fps_mode", "passthrough"] if every else []
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-map", "0:v:0", *select, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"],
        check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def weights(length, target):
    """The triangle filter as whole numbers of at most 15 bits, and how many bits they are scaled by."""
    scale = length / target
    radius = max(scale, 1.0)
    middle = (np.arange(target) + 0.5) * scale
    matrix = np.clip(1 - np.abs(np.arange(length) + 0.5 - middle[:, None]) / radius, 0, None)
    matrix /= matrix.sum(1, keepdims=True)
    bits = 21
    while np.floor(matrix.max() * 2**bits + 0.5) >= 2**15:
        bits -= 1
    return np.floor(matrix * 2**bits + 0.5), bits


def shown(picture, width, height):
    """The picture in another size, rounded to bytes as clipcore's resizer does it: columns first, weights of 15 bits. Pillow
    rounds otherwise, and must agree to within two levels."""
    out = picture.astype(float)
    for axis, size in ((0, height), (1, width)):
        if out.shape[axis] != size:
            matrix, bits = weights(out.shape[axis], size)
            sums = np.moveaxis(np.tensordot(matrix, out, (1, axis)), 0, axis)
            out = np.clip(np.floor((sums + 2 ** (bits - 1)) / 2**bits), 0, 255)
    pillow = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
    assert np.abs(out - pillow).max() <= 2
    return out


def suppress(places, scores):
    order, kept = list(np.argsort(-scores, kind="stable")), []
    while order:
        best = order.pop(0)
        kept.append(best)
        order = [i for i in order if iou(places[best], places[i]) <= OVERLAP]
    return kept


def iou(a, b):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(w, 0.0) * max(h, 0.0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def yunet(session, picture):
    rows, columns = picture.shape[:2]
    scale = min(SIDE / max(rows, columns), MOST_ENLARGED)
    width, height = round(columns * scale), round(rows * scale)
    canvas = np.zeros((-(-height // STEP) * STEP, -(-width // STEP) * STEP, 3))
    canvas[:height, :width] = shown(picture, width, height)
    out = run(session, canvas[:, :, ::-1].transpose(2, 0, 1)[None])
    places, scores, points = [], [], []
    for stride in (8, 16, 32):
        cls, obj, box, kps = (out[f"{part}_{stride}"][0].astype(float) for part in ("cls", "obj", "bbox", "kps"))
        cell = np.arange(len(cls))
        corner = np.stack([cell % (canvas.shape[1] // stride), cell // (canvas.shape[1] // stride)], 1)
        middle, size = (corner + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride
        places.append(np.hstack([middle - size / 2, size]))
        scores.append(np.sqrt(cls[:, 0].clip(0, 1) * obj[:, 0].clip(0, 1)))
        points.append((kps.reshape(-1, 5, 2) + corner[:, None]) * stride)
    places, scores, points = map(np.concatenate, (places, scores, points))
    sure = scores >= SCORE
    places, scores, points = places[sure], scores[sure], points[sure]
    back = np.array([columns / width, rows / height])
    return [(places[i] * np.tile(back, 2), scores[i], points[i] * back) for i in suppress(places, scores)]


def ultraface(session, picture):
    rows, columns = picture.shape[:2]
    scale = min(320 / columns, 240 / rows)
    width, height = round(columns * scale), round(rows * scale)
    canvas = np.zeros((240, 320, 3))
    canvas[:height, :width] = shown(picture, width, height)
    out = run(session, ((canvas - 127) / 128).transpose(2, 0, 1)[None])
    scores, corners = out["scores"][0, :, 1].astype(float), out["boxes"][0].astype(float)
    sure = scores >= SCORE
    corners = corners[sure] * np.tile([320 * columns / width, 240 * rows / height], 2)
    places, scores = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]), scores[sure]
    return [(places[i], scores[i], None) for i in suppress(places, scores)]


def placement(place, points):
    """Scale-and-turn (a, b) and shift that take the crop's places to the picture's."""
    if points is None:
        x, y, width, height = place
        side = SQUARE * height
        return side / CROP, 0.0, x + (width - side) / 2, y + MIDDLE * height - side / 2
    x, y = points.T
    ones, zeros = np.ones(5), np.zeros(5)
    system = np.vstack([np.stack([x, -y, ones, zeros], 1), np.stack([y, x, zeros, ones], 1)])
    target = np.concatenate([TEMPLATE[:, 0] * CROP, TEMPLATE[:, 1] * CROP])
    a, b, dx, dy = np.linalg.lstsq(system, target, rcond=None)[0]
    inverse = np.linalg.inv(np.array([[a, -b, dx], [b, a, dy], [0, 0, 1]]))
    return inverse[0, 0], inverse[1, 0], inverse[0, 2], inverse[1, 2]


def crop(grey, place, points):
    a, b, dx, dy = placement(place, points)
    fine = int(np.clip(np.ceil(np.hypot(a, b)), 1, 8))
    v, u = (np.mgrid[: CROP * fine, : CROP * fine] + 0.5) / fine
    sampled = map_coordinates(grey, [b * u + a * v + dy - 0.5, a * u - b * v + dx - 0.5], order=1, mode="nearest")
    return sampled.reshape(CROP, fine, CROP, fine).mean((1, 3))


def main():
    shared = pathlib.Path(sys.argv[1])
    models = shared / "models"
    finders = {
        "yunet": (yunet, load(models / "yunet/yunet_s_dynamic.onnx")),
        "ultraface": (ultraface, load(models / "ultraface/version-RFB-320.onnx")),
    }
    reader = load(models / "fer/mini_xception.onnx")
    pictures = [(path, None) for path in sorted((shared / "media/faces").glob("*.jpg"))]
    pictures += [(shared / f"media/video/faces/{name}.mp4", EVERY) for name in CLIPS]
    out = []
    for path, every in pictures:
        for number, picture in enumerate(frames(str(path), every)):
            grey = picture.astype(float) @ [0.299, 0.587, 0.114]
            entry = {"file": str(path.relative_to(shared)), "frame": number, "pixels": zlib.crc32(picture.tobytes())}
            for name, (find, session) in finders.items():
                entry[name] = []
                for place, score, points in find(session, picture):
                    item = (crop(grey, place, points) / 127.5 - 1)[None, :, :, None]
                    scores = run(reader, item)["predictions"][0]
                    entry[name].append({
                        "place": [round(float(x), 2) for x in place],
                        "score": round(float(score), 5),
                        "expression": [round(float(x), 5) for x in scores],
                    })
            out.append(entry)
    versions = {m.__name__: m.__version__ for m in (onnxruntime, np)}
    head = json.dumps({"by": versions, "every": EVERY})[:-1]
    print(head + ', "pictures": [\n' + ",\n".join(json.dumps(e, separators=(",", ":")) for e in out) + "\n]}")


if __name__ == "__main__":
    main()

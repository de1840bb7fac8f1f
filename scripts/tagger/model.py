"""The network in JAX: YAMNet as it is, and its narrow descendant that ships.

Both are a strided 3x3 convolution and then depthwise-separable blocks, each followed by Relu, a global
average and one dense layer. Parameters are lists of blocks, so that one `forward` serves both.
Layout NHWC inside; padding as TensorFlow's SAME.
"""

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from features import BANDS, PATCH_FRAMES, SHARED, YAMNET_CLASSES

LABELS = list(YAMNET_CLASSES)
#: Per block of the tagger: output channels, stride, and the pointwise layer of YAMNet it starts from.
STEM = 16
BLOCKS = [
    (48, 2, 4), (64, 1, 6), (112, 2, 8), (112, 1, 10), (176, 2, 12),
    (176, 1, 14), (176, 1, 18), (232, 2, 24), (232, 1, 26),
]
STRIDES = [2] + [stride for _, stride, _ in BLOCKS]
YAMNET_STRIDES = [2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]


def yamnet_params() -> dict:
    """YAMNet's weights as {"stem", "blocks", "dense"}."""
    graph = onnx.load(str(SHARED / "models/yamnet/yamnet_core_fp32.onnx")).graph
    w = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    stem = {"w": w["w0"][:, 0].transpose(1, 2, 0), "b": w["b0"]}
    blocks = [
        {
            "dw": w[f"w{i}"][:, 0].transpose(1, 2, 0), "db": w[f"b{i}"],
            "pw": w[f"w{i + 1}"][:, :, 0, 0].T, "pb": w[f"b{i + 1}"],
        }
        for i in range(1, 27, 2)
    ]
    return {"stem": stem, "blocks": blocks, "dense": {"w": w["dw"].T, "b": w["db"]}}


def _pad(x, stride):
    low = 0 if stride == 2 else 1
    return jnp.pad(x, ((0, 0), (low, 1), (low, 1), (0, 0)))


def _shifts(x, stride):
    """The nine shifted views of a 3x3 window, each with its place."""
    height, width = x.shape[1] // stride, x.shape[2] // stride
    padded = _pad(x, stride)
    for i in range(3):
        for j in range(3):
            yield i, j, padded[:, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride]


def stem(p, x):
    return jax.nn.relu(sum(view * p["w"][i, j] for i, j, view in _shifts(x[..., None], 2)) + p["b"])


def depthwise(p, x, stride):
    return jax.nn.relu(sum(view * p["dw"][i, j] for i, j, view in _shifts(x, stride)) + p["db"])


def pointwise(p, x):
    return x @ p["pw"] + p["pb"]


def embed(params, strides, x):
    """Embedding [n, channels] of patches [n, 96, 64]."""
    x = stem(params["stem"], x)
    for block, stride in zip(params["blocks"], strides[1:]):
        x = jax.nn.relu(pointwise(block, depthwise(block, x, stride)))
    return x.mean((1, 2))


def logits(params, strides, x):
    return embed(params, strides, x) @ params["dense"]["w"] + params["dense"]["b"]


def cost() -> tuple[int, int]:
    """Multiply-adds a patch and parameters of the tagger."""
    height, width, channels = PATCH_FRAMES // 2, BANDS // 2, STEM
    macs, size = height * width * 9 * STEM, 10 * STEM
    for out, stride, _ in BLOCKS:
        height, width = height // stride, width // stride
        macs += height * width * (9 * channels + channels * out)
        size += 10 * channels + channels * out + out
        channels = out
    return macs + channels * len(LABELS), size + (channels + 1) * len(LABELS)


def to_onnx(params, path, description: str):
    """Writes the tagger: patches [N, 96, 64] -> scores [N, 7], opset 13, every attribute explicit."""
    nodes, tensors = [], []

    def tensor(name, array):
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32 if array.dtype != np.int64 else np.int64), name))
        return name

    def conv(source, name, weight, bias, stride, group):
        kernel = list(weight.shape[2:])
        pads = [0, 0, 0, 0] if kernel == [1, 1] else ([0, 0, 1, 1] if stride == 2 else [1, 1, 1, 1])
        nodes.append(helper.make_node(
            "Conv", [source, tensor(f"{name}.weight", weight), tensor(f"{name}.bias", bias)], [name], name=name,
            kernel_shape=kernel, strides=[stride, stride], pads=pads, dilations=[1, 1], group=group,
        ))
        nodes.append(helper.make_node("Relu", [name], [f"{name}.relu"], name=f"{name}.relu"))
        return f"{name}.relu"

    nodes.append(helper.make_node("Unsqueeze", ["patches", tensor("axis", np.array([1], np.int64))], ["image"], name="image"))
    p = jax.tree.map(np.asarray, params)
    at = conv("image", "stem", p["stem"]["w"].transpose(2, 0, 1)[:, None], p["stem"]["b"], 2, 1)
    for k, (block, stride) in enumerate(zip(p["blocks"], STRIDES[1:])):
        at = conv(at, f"block{k}.depthwise", block["dw"].transpose(2, 0, 1)[:, None], block["db"], stride, block["dw"].shape[2])
        at = conv(at, f"block{k}.pointwise", block["pw"].T[:, :, None, None], block["pb"], 1, 1)
    nodes.append(helper.make_node("GlobalAveragePool", [at], ["pooled"], name="pooled"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["embedding"], name="embedding", axis=1))
    dense = [tensor("dense.weight", p["dense"]["w"]), tensor("dense.bias", p["dense"]["b"])]
    nodes.append(helper.make_node("Gemm", ["embedding", *dense], ["logits"], name="logits", alpha=1.0, beta=1.0, transA=0, transB=0))
    nodes.append(helper.make_node("Sigmoid", ["logits"], ["scores"], name="scores"))
    graph = helper.make_graph(
        nodes, "clipcore_tagger",
        [helper.make_tensor_value_info("patches", TensorProto.FLOAT, ["N", PATCH_FRAMES, BANDS])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", p["dense"]["b"].shape[0]])],
        tensors, doc_string=description,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="clipcore")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))

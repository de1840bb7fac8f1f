"""Makes a tiny sound model of one's own, a whistle finder, as `examples/own_model/whistle.onnx`.

    pip install onnx==1.16.2 numpy
    python examples/own_model.py

A PyTorch model goes the same way: `torch.onnx.export(model, patches, path, input_names=["patches"], output_names=["scores"],
dynamic_axes={"patches": {0: "batch"}, "scores": {0: "batch"}}, opset_version=17)`. Then write its card; `own_model/whistle.toml`
is one, and `clipcore models info examples/own_model/whistle.onnx` checks it against the model.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BANDS, WHISTLE = 64, slice(40, 52)  # about 2.2 to 3.9 kHz


def main():
    # How much louder the whistle's bands are than the others, in nepers, less what speech reaches.
    weights = np.full((BANDS, 1), -1.0 / (BANDS - 12), np.float32)
    weights[WHISTLE] = 1.0 / 12
    nodes = [
        helper.make_node("ReduceMean", ["patches"], ["spectrum"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["spectrum", "weights"], ["contrast"]),
        helper.make_node("Add", ["contrast", "bias"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "slope"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "whistle",
        [helper.make_tensor_value_info("patches", TensorProto.FLOAT, ["batch", 96, BANDS])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 1])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.float32([-1.5]), "bias"),
            numpy_helper.from_array(np.float32([4.0]), "slope"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="own_model.py")
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, Path(__file__).with_name("own_model") / "whistle.onnx")


if __name__ == "__main__":
    main()

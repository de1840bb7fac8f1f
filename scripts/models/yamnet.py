"""Makes YAMNet's core network as ONNX from its published weights: patches [N, 96, 64] to scores [N, 521] and embedding [N, 1024].

    pip install tensorflow-cpu==2.15.1 onnx==1.16.2 tf2onnx==1.16.1 numpy==1.26.4
    git clone --depth 1 https://github.com/tensorflow/models
    curl -O https://storage.googleapis.com/audioset/yamnet.h5
    python scripts/models/yamnet.py models/research/audioset/yamnet yamnet.h5 yamnet_core_fp32.onnx

Another converter gives other bytes than the card's sha256 names: keep the card beside the file and take its `sha256` and
`bytes` out, then `clipcore models verify FILE` checks the shapes. tests/it/models.rs checks the scores.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

sys.path.insert(0, sys.argv[1])
import params as yamnet_params  # noqa: E402
import yamnet as yamnet_model  # noqa: E402


def main():
    weights, target = sys.argv[2], Path(sys.argv[3])
    params = yamnet_params.Params()
    whole = yamnet_model.yamnet_frames_model(params)
    whole.load_weights(weights)

    patches = tf.keras.Input((params.patch_frames, params.patch_bands), name="patches")
    scores, embedding = yamnet_model.yamnet(patches, params)
    core = tf.keras.Model(patches, [scores, embedding])
    # The waveform's front end has no weights: what is left is in the same order.
    core.set_weights(whole.get_weights())

    signature = [tf.TensorSpec((None, 96, 64), tf.float32, name="patches")]
    model, _ = tf2onnx.convert.from_keras(core, input_signature=signature, opset=13)
    names = dict(zip([o.name for o in model.graph.output], ["scores", "embedding"]))
    for node in model.graph.node:
        for fields in (node.input, node.output):
            for i, name in enumerate(fields):
                fields[i] = names.get(name, name)
    for output in model.graph.output:
        output.name = names[output.name]
    onnx.checker.check_model(model)
    onnx.save(model, target)
    print(target, target.stat().st_size, "bytes;", core(np.zeros((1, 96, 64), np.float32))[0].shape)


if __name__ == "__main__":
    main()

"""Makes the expression model mini_XCEPTION as ONNX from its published Keras file.

    pip install tensorflow-cpu==2.15.1 onnx==1.16.2 tf2onnx==1.16.1 numpy==1.26.4
    curl -LO https://github.com/oarriaga/face_classification/raw/master/trained_models/emotion_models/fer2013_mini_XCEPTION.102-0.66.hdf5
    python scripts/models/mini_xception.py fer2013_mini_XCEPTION.102-0.66.hdf5 mini_xception.onnx

Another version of the converter gives other bytes than the card's sha256 names: keep the card beside the file and take its
`sha256` and `bytes` out.
"""

import sys

import onnx
import tensorflow as tf
import tf2onnx


def main():
    model = tf.keras.models.load_model(sys.argv[1], compile=False)
    signature = [tf.TensorSpec((None, 64, 64, 1), tf.float32, name="input")]
    converted, _ = tf2onnx.convert.from_keras(model, input_signature=signature, opset=13)
    onnx.checker.check_model(converted)
    onnx.save(converted, sys.argv[2])


if __name__ == "__main__":
    main()

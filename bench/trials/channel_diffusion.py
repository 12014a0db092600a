"""What passing rounding errors on to other channels would save, beside passing them on to neighbouring places.

    pip install numpy onnx onnxruntime pillow
    python bench/trials/channel_diffusion.py R18.onnx PHOTOGRAPHS --taps 5

Maps at ReLUs that convolutions read are quantized with one step of `--step` deviations, channel after channel. In the first
rows errors go to the right and down, as the codec does; in the others to later channels too, so that what the convolutions make
of all errors together is least: with H the sum of W'W over the kernel's places, a little of its mean diagonal added, H = B'DB with B
unit lower triangular, and row c of B is what channel c has to take back of the errors before it. Bits are ideal order-0 entropies by
channel; harm is the squared error of the network's outputs relative to their variance, and their divergence.
"""

import argparse
import pathlib
import random

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from PIL import Image

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
FLOAT = onnx.TensorProto.FLOAT


def photograph(path):
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize([round(side * scale) for side in image.size], Image.BILINEAR)
    left, upper = [(side - 224) // 2 for side in image.size]
    values = np.asarray(image.crop((left, upper, left + 224, upper + 224)), np.float32) / 255
    return ((values - MEAN) / STD).transpose(2, 0, 1)


class Network:
    """A model whose value `tap` can be taken out and put back in."""

    def __init__(self, path, tap):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = lambda model: onnxruntime.InferenceSession(model.SerializeToString(), options)
        front, behind = onnx.load(path), onnx.load(path)
        self.input, self.output = front.graph.input[0].name, front.graph.output[0].name
        front.graph.output.append(onnx.helper.make_tensor_value_info(tap, FLOAT, None))
        for node in behind.graph.node:
            node.input[:] = ["tapped" if value == tap else value for value in node.input]
        behind.graph.input.append(onnx.helper.make_tensor_value_info("tapped", FLOAT, None))
        self.tap, self.front, self.behind = tap, session(front), session(behind)

    def maps(self, images):
        return self.front.run([self.tap, self.output], {self.input: images})

    def outputs(self, images, maps):
        return self.behind.run([self.output], {self.input: images, "tapped": maps})[0]


def feedback(graph, tap, more=0.03):
    """B of the convolutions that read `tap`, or None where none does."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv" and node.input[0] == tap:
            weight = numpy_helper.to_array(weights[node.input[1]]).astype(np.float64)
            rows = weight.transpose(0, 2, 3, 1).reshape(-1, weight.shape[1])
            total = total + rows.T @ rows
    if np.ndim(total) == 0:
        return None
    total += more * np.trace(total) / len(total) * np.eye(len(total))
    lower = np.linalg.cholesky(total[::-1, ::-1])[::-1, ::-1].T
    return (lower / np.diag(lower)[:, None]).astype(np.float32)


def quantize(maps, step, share, back):
    count, channels, height, width = maps.shape
    errors, decoded = np.zeros((channels, count, height, width), np.float32), np.zeros_like(maps)
    for c in range(channels):
        wanted = maps[:, c].copy()
        if back is not None and c > 0:
            wanted -= np.tensordot(back[c, :c], errors[:c], 1)
        wanted /= step
        above = np.zeros((count, width), np.float32)
        for y in range(height):
            left = np.zeros(count, np.float32)
            for x in range(width):
                value = wanted[:, y, x] + share / 2 * (left + above[:, x])
                index = np.maximum(np.floor(value + 0.5), 0)
                decoded[:, c, y, x] = index * step
                left = above[:, x] = np.clip(value - index, -1, 1)
        errors[c] = np.clip(decoded[:, c] - maps[:, c], -1.5 * step, 1.5 * step)
    return decoded


def entropy(decoded, step):
    indices = np.rint(decoded / step).astype(np.int64)
    total = 0.0
    for c in range(indices.shape[1]):
        counts = np.bincount(indices[:, c].ravel())
        counts = counts[counts > 0]
        total -= float((counts * np.log2(counts / counts.sum())).sum())
    return total / indices.size


def log_softmax(scores):
    scores = scores.astype(np.float64) - scores.max(1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(1, keepdims=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("photographs", type=pathlib.Path, help="a folder with a subfolder a class")
    parser.add_argument("--taps", type=int, default=5, help="the last so many ReLUs that convolutions read")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--step", type=float, default=0.4)
    args = parser.parse_args()
    files = sorted(args.photographs.glob("*/*"))
    images = np.stack([photograph(path) for path in random.Random(3).sample(files, args.images)])
    graph = onnx.load(args.model).graph
    taps = [node.output[0] for node in graph.node if node.op_type == "Relu" and feedback(graph, node.output[0]) is not None]
    print("tap, places, channels, bits, output error, divergence")
    for tap in taps[-args.taps :]:
        network, back = Network(args.model, tap), feedback(graph, tap)
        maps, plain = network.maps(images)
        step = args.step * maps.std()
        for share in (0.5, 0.75, 1.0):
            for name, matrix in (("no", None), ("yes", back)):
                decoded = quantize(maps, step, share, matrix)
                scores = network.outputs(images, decoded)
                p, q = log_softmax(plain), log_softmax(scores)
                error, divergence = np.square(scores - plain).mean() / plain.var(), (np.exp(p) * (p - q)).sum(1).mean()
                print(f"{tap}, {share}, {name}, {entropy(decoded, step):.3f}, {error:.6f}, {divergence:.6f}", flush=True)


if __name__ == "__main__":
    main()

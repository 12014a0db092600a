"""Training with activations kept compressed until the backward pass: memory, time and gradient error.

    python examples/python/training_memory.py [--network resnet18|resnet20] [--batch 32] [--size 224]

Each way of training runs in a process of its own, and its peak memory is what the system says of that process. Synthetic images; a network
with random weights.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

WAYS = {
    "plain": None,
    "lossless": {"lossless": True},
    "relative_step=0.05": {"relative_step": 0.05},
    "relative_step=0.2": {"relative_step": 0.2},
}


def network(name: str):
    import torch
    from torch import nn

    if name == "resnet20":
        import resnet20

        return resnet20.ResNet20()

    class Block(nn.Module):
        """As in ResNet-18, with ReLU in place."""

        def __init__(self, inputs: int, outputs: int, stride: int):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
            self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
            self.relu = nn.ReLU(inplace=True)
            self.shortcut = nn.Sequential()
            if stride > 1:
                self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

        def forward(self, x):
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y + self.shortcut(x))

    stages, inputs = [], 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        stages += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
        inputs = outputs
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def gradient_error(model, path: str, write: bool) -> float:
    """L2 of the difference of all gradients to those in a file, over the L2 of those; or writes the file. Parameter by parameter:
    a copy of all would count as memory of training."""
    import numpy as np

    squares = np.zeros(2)
    with open(path, "wb" if write else "rb") as file:
        for parameter in model.parameters():
            gradient = parameter.grad.contiguous().numpy()
            if write:
                gradient.tofile(file)
            else:
                exact = np.fromfile(file, np.float32, gradient.size).reshape(gradient.shape)
                squares += np.square(gradient - exact, dtype=np.float64).sum(), np.square(exact, dtype=np.float64).sum()
    return 0.0 if write else float(np.sqrt(squares[0] / squares[1]))


def one(name: str, way: str, batch: int, size: int, steps: int, gradients_to: str) -> dict:
    """Some steps in this process."""
    import contextlib

    import torch
    import torch.nn.functional as F

    import subband
    import subband.torch as st

    subband.set_threads(torch.get_num_threads())
    torch.manual_seed(0)
    model = network(name).train()
    classes = 10 if name == "resnet20" else 1000
    # Images with something of the statistics of photographs: noise at several scales.
    images = sum(
        F.interpolate(torch.randn(batch, 3, size // scale, size // scale), size=(size, size), mode="bilinear")
        for scale in (32 if size >= 64 else 8, 4, 1)
    )
    labels = torch.randint(classes, (batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    settings, before = WAYS[way], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def step(settings, after_backward=lambda: None):
        """A step of training: its loss, what was saved, and seconds of all threads, in which what others do on the machine hardly shows."""
        start = time.process_time()
        optimizer.zero_grad()
        with contextlib.nullcontext() if settings is None else st.compress_saved_tensors(model, **settings) as saved:
            loss = F.cross_entropy(model(images), labels)
        loss.backward()
        after_backward()
        optimizer.step()
        return loss.item(), saved, time.process_time() - start

    errors = []
    loss, saved, _ = step(settings, lambda: errors.append(gradient_error(model, gradients_to, way == "plain")))
    for _ in range(steps - 1):
        loss, saved, _ = step(settings)
    ratio = saved.ratio if saved is not None else None
    del saved
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Plain steps in turn with the others, so that both meet the same machine.
    seconds = [[step(found)[2] for found in (None, settings)] for _ in range(steps)]
    plain_seconds, own_seconds = (min(column) for column in zip(*seconds))
    return {
        "way": way,
        "peak_rss_mb": peak / 1024,
        "base_rss_mb": before / 1024,
        "ratio": ratio,
        "plain_seconds": plain_seconds,
        "seconds": own_seconds,
        "gradient_error": errors[0],
        "loss": loss,
    }


def main() -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=("resnet18", "resnet20"), default="resnet18")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224, help="height and width of the images; 32 for resnet20")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--gradients", help=argparse.SUPPRESS)
    parser.add_argument("--json", help="write the rows there too")
    arguments = parser.parse_args()
    if arguments.way:
        found = one(
            arguments.network, arguments.way, arguments.batch, arguments.size, arguments.steps, arguments.gradients
        )
        print(json.dumps(found))
        return [found]

    import tempfile

    rows = []
    print("way                   peak MB  above start  saved  CPU s a step, plain  gradient error")
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            command = [sys.executable, os.path.abspath(__file__), "--way", way, "--network", arguments.network]
            command += ["--batch", str(arguments.batch), "--size", str(arguments.size), "--steps", str(arguments.steps)]
            command += ["--gradients", os.path.join(folder, "gradients.raw")]
            # Blocks of activations go back to the system when they are freed.
            environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
            text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
            row = json.loads(text.splitlines()[-1])
            rows.append(row)
            ratio = "" if row["ratio"] is None else f"{row['ratio']:.1f}x"
            above = row["peak_rss_mb"] - row["base_rss_mb"]
            print(
                f"{way:20} {row['peak_rss_mb']:8.0f}  {above:11.0f}  {ratio:>5}  "
                f"{row['seconds']:12.2f}, {row['plain_seconds']:5.2f}  {row['gradient_error']:14.4f}",
                flush=True,
            )
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=2)
    return rows


if __name__ == "__main__":
    main()

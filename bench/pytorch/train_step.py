#!/usr/bin/env python3
"""Images per second of a ResNet-20 training step in PyTorch on the CPU: the yardstick for `subband train` and `retrain`.

plain    forward, cross-entropy, backward, SGD with Nesterov momentum.
retrain  the same with the codec after each of the nine block outputs, written the usual way with elementwise ops: three
         levels of the orthonormal Haar transform by slicing and adding, straight-through rounding with one learned step
         a subband, the inverse, a clamp at 0, and the rate of the indices in the loss; the steps are learned by Adam.

Both in PyTorch's two memory layouts. The data are synthetic and in memory: only the step is measured.

    python train_step.py                     # all four, images/s as the median over the repeats
    python train_step.py --json              # the same for programs
    python train_step.py --check             # is the layer what it claims to be?
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

LEVELS = 3
SUBBANDS = 3 * LEVELS + 1
TEMPERATURE = 3.0


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut of option A: every second pixel, zero channels split equally both sides."""

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.padding = (channels - channels_in) // 2

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride != 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(y + x)


class ResNet20(nn.Module):
    """He et al. (2016) for CIFAR-10: 3 stages of 3 blocks; `codec`, if any, codes the output of block i as `codec(i, x)`."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        shapes = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
        self.blocks = nn.ModuleList(Block(*shape) for shape in shapes)
        self.linear = nn.Linear(64, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x, codec=None):
        x = F.relu(self.bn1(self.conv1(x)))
        for index, block in enumerate(self.blocks):
            x = block(x)
            if codec is not None:
                x = codec(index, x)
        return self.linear(x.mean((2, 3)))


def haar_split(x):
    """One level of the orthonormal 2-D Haar transform; the first letter is the direction along x, H is odd minus even."""
    a, b = x[..., 0::2, 0::2], x[..., 0::2, 1::2]
    c, d = x[..., 1::2, 0::2], x[..., 1::2, 1::2]
    ll = (a + b + c + d) * 0.5
    hl = (b - a + d - c) * 0.5
    lh = (c + d - a - b) * 0.5
    hh = (a - b - c + d) * 0.5
    return ll, (hl, lh, hh)


def haar_join(ll, details):
    """The inverse of `haar_split`."""
    hl, lh, hh = details
    a = (ll - hl - lh + hh) * 0.5
    b = (ll + hl - lh - hh) * 0.5
    c = (ll - hl + lh - hh) * 0.5
    d = (ll + hl + lh + hh) * 0.5
    # Interleaving by stacking is here as quick as writing four slices of an empty tensor, and quicker than pixel_shuffle.
    upper, lower = torch.stack((a, b), -1).flatten(-2), torch.stack((c, d), -1).flatten(-2)
    return torch.stack((upper, lower), -2).flatten(-3, -2)


def dwt(x):
    """Coefficients as a list of subbands in coding order: LL3, HL3, LH3, HH3, HL2, ..., HH1."""
    subbands = []
    for _ in range(LEVELS):
        x, details = haar_split(x)
        subbands[:0] = details
    return [x, *subbands]


def inverse_dwt(subbands):
    x = subbands[0]
    for level in range(LEVELS):
        x = haar_join(x, subbands[1 + 3 * level : 4 + 3 * level])
    return x


def quantize(coefficients, step):
    """Index and dequantized value; rounding is straight-through, so that the step has the gradient of LSQ."""
    scaled = coefficients / step
    index = scaled + (torch.round(scaled) - scaled).detach()
    return index, index * step


def geometric_bits(mean_magnitude):
    """Entropy in bits of a two-sided geometric distribution with this mean |index|."""
    m = mean_magnitude + 1e-6
    theta = m / (1 + torch.sqrt(1 + m * m))
    return -torch.log2((1 - theta) / (1 + theta)) - m * torch.log2(theta)


class Codec(nn.Module):
    """Codes maps in the loop and adds up their bits. The steps start at half a standard deviation of their subband."""

    def __init__(self, taps):
        super().__init__()
        self.log_steps = nn.Parameter(torch.zeros(taps, SUBBANDS))
        self.begin()

    def begin(self):
        """Forgets the bits of the batch before."""
        self.bits, self.values = 0.0, 0

    @torch.no_grad()
    def start_from(self, tap, subbands):
        for subband, coefficients in enumerate(subbands):
            self.log_steps[tap, subband] = math.log(0.5 * float(coefficients.std()) + 1e-6)

    def forward(self, tap, x):
        decoded = []
        for subband, coefficients in enumerate(dwt(x)):
            index, value = quantize(coefficients, self.log_steps[tap, subband].exp())
            bits = geometric_bits(index.abs().mean((0, 2, 3)))
            self.bits = self.bits + bits.mean() * coefficients.numel()
            decoded.append(value)
        self.values += x.numel()
        return F.relu(inverse_dwt(decoded))

    def bits_per_value(self):
        return self.bits / self.values


class Step:
    """A training step with everything it needs."""

    def __init__(self, mode, layout, options):
        torch.manual_seed(options.seed)
        self.format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        self.network = ResNet20().to(memory_format=self.format)
        self.codec = Codec(len(self.network.blocks)) if mode == "retrain" else None
        self.teacher = None
        if self.codec is not None and options.teacher:
            self.teacher = ResNet20().to(memory_format=self.format).eval()
        self.lambda_ = options.lambda_
        rate = 0.02 if self.codec is not None else 0.1
        self.optimizers = [
            torch.optim.SGD(self.network.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
        ]
        self.batches = [self.batch(options.batch) for _ in range(4)]
        if self.codec is not None:
            self.optimizers.append(torch.optim.Adam(self.codec.parameters(), 1e-2))
            with torch.no_grad():
                self.network(self.batches[0][0], lambda tap, x: (self.codec.start_from(tap, dwt(x)), x)[1])

    def batch(self, size):
        images = torch.randn(size, 3, 32, 32).contiguous(memory_format=self.format)
        return images, torch.randint(0, 10, (size,))

    def run(self, number):
        """One step; gives the loss and, where there is a codec, the bits per value."""
        images, labels = self.batches[number % len(self.batches)]
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        bits = None
        if self.codec is not None:
            self.codec.begin()
        scores = self.network(images, self.codec)
        loss = F.cross_entropy(scores, labels)
        if self.teacher is not None:
            with torch.no_grad():
                target = F.softmax(self.teacher(images) / TEMPERATURE, 1)
            loss = loss + TEMPERATURE**2 * F.kl_div(
                F.log_softmax(scores / TEMPERATURE, 1), target, reduction="batchmean"
            )
        if self.codec is not None:
            bits = self.codec.bits_per_value()
            loss = loss + self.lambda_ * bits
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return float(loss.detach()), None if bits is None else float(bits.detach())


def measure(mode, layout, options):
    step = Step(mode, layout, options)
    for number in range(options.warmup):
        step.run(number)
    speeds = []
    for _ in range(options.repeats):
        begun = time.perf_counter()
        for number in range(options.steps):
            loss, bits = step.run(number)
        speeds.append(options.steps * options.batch / (time.perf_counter() - begun))
    if not math.isfinite(loss):
        sys.exit(f"{mode}, {layout}: the loss is {loss}; the speed of such a run means nothing")
    return {
        "mode": mode,
        "layout": layout,
        "images_per_second": statistics.median(speeds),
        "slowest": min(speeds),
        "fastest": max(speeds),
        "last_loss": loss,
        "last_bits_per_value": bits,
    }


def check():
    """Holds the layer against hand-worked values, definitions and closed forms."""
    torch.manual_seed(1)
    ll, (hl, lh, hh) = haar_split(torch.tensor([[[[1.0, 2.0], [4.0, 8.0]]]]))
    assert [float(t) for t in (ll, hl, lh, hh)] == [7.5, 2.5, 4.5, 1.5]

    x = torch.randn(4, 5, 32, 32, dtype=torch.float64)
    for layout in (torch.contiguous_format, torch.channels_last):
        subbands = dwt(x.contiguous(memory_format=layout))
        assert [tuple(s.shape[2:]) for s in subbands[::3]] == [(4, 4), (4, 4), (8, 8), (16, 16)]
        error = float((inverse_dwt(subbands) - x).abs().max())
        assert error < 1e-14, error
    # Orthonormal: the transform of the unit vectors of a plane is an orthogonal matrix.
    planes = torch.eye(256, dtype=torch.float64).view(256, 1, 16, 16)
    matrix = torch.cat([s.flatten(1) for s in dwt(planes)], 1)
    distance = float((matrix @ matrix.T - torch.eye(256, dtype=torch.float64)).abs().max())
    assert distance < 1e-14, distance

    # LSQ: the derivative of the decoded value by the step is round(u) - u, times the step in the log domain.
    log_step = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
    coefficients = torch.randn(1000, dtype=torch.float64, requires_grad=True)
    _, value = quantize(coefficients, log_step.exp())
    value.sum().backward()
    scaled = coefficients.detach() / log_step.detach().exp()
    expected = float(((torch.round(scaled) - scaled) * log_step.detach().exp()).sum())
    assert abs(float(log_step.grad) - expected) < 1e-9
    assert torch.allclose(coefficients.grad, torch.ones_like(scaled))

    # The closed form against the sum over the distribution.
    for m in (0.01, 0.3, 1.0, 6.0):
        theta = m / (1 + math.sqrt(1 + m * m))
        p = [(1 - theta) / (1 + theta) * theta ** abs(k) for k in range(-2000, 2001)]
        assert abs(sum(abs(k) * q for k, q in zip(range(-2000, 2001), p)) - m) < 1e-6
        entropy = -sum(q * math.log2(q) for q in p if q > 0)
        assert abs(float(geometric_bits(torch.tensor(m, dtype=torch.float64))) - entropy) < 1e-4

    network = ResNet20()
    assert sum(p.numel() for p in network.parameters()) == 269_722
    y = Block(2, 4, 2)
    nn.init.zeros_(y.bn2.weight)
    shortcut = y(torch.arange(1.0, 19.0).view(1, 2, 3, 3))
    assert shortcut.shape == (1, 4, 2, 2) and not shortcut[0, 0].any() and not shortcut[0, 3].any()
    assert shortcut[0, 1:3].flatten().tolist() == [1, 3, 7, 9, 10, 12, 16, 18]
    print(f"ok: inverse within {error:.1e}, orthonormal within {distance:.1e}, gradients, entropy and shortcut as defined")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=("plain", "retrain", "both"), default="both")
    parser.add_argument("--layout", choices=("nchw", "channels_last", "both"), default="both")
    parser.add_argument("--batch", type=int, default=128, help="images a step (default 128)")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch (default 2)")
    parser.add_argument("--warmup", type=int, default=5, help="steps before the clock runs (default 5)")
    parser.add_argument("--steps", type=int, default=20, help="steps a repeat (default 20)")
    parser.add_argument("--repeats", type=int, default=5, help="repeats (default 5)")
    parser.add_argument("--lambda", dest="lambda_", type=float, default=0.6, help="weight of the bits per value")
    parser.add_argument("--teacher", action="store_true", help="add distillation from a second network to `retrain`")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="test the layer and stop")
    options = parser.parse_args()
    if options.check:
        return check()

    torch.set_num_threads(options.threads)
    modes = ("plain", "retrain") if options.mode == "both" else (options.mode,)
    layouts = ("nchw", "channels_last") if options.layout == "both" else (options.layout,)
    results = []
    for mode in modes:
        for layout in layouts:
            result = measure(mode, layout, options)
            results.append(result)
            if not options.json:
                bits = result["last_bits_per_value"]
                note = "" if bits is None else f", {bits:.2f} bits a value"
                print(
                    f"{mode:8} {layout:14} {result['images_per_second']:6.1f} images/s "
                    f"({result['slowest']:.1f} to {result['fastest']:.1f}{note})",
                    flush=True,
                )
    if options.json:
        report = {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "onednn": torch.backends.mkldnn.is_available(),
            # The allocator counts for much: say where it is not the system's as it comes.
            "allocator": {name: os.environ[name] for name in ("GLIBC_TUNABLES", "LD_PRELOAD") if name in os.environ},
            "threads": torch.get_num_threads(),
            "batch": options.batch,
            "warmup": options.warmup,
            "steps": options.steps,
            "repeats": options.repeats,
            "lambda": options.lambda_,
            "teacher": options.teacher,
            "seed": options.seed,
            "results": results,
        }
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()

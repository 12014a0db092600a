"""Accuracy of a short training on CIFAR-10 with activations kept compressed, against the same training without.

    python bench/python/saved_accuracy.py CIFAR [--steps 150] [--batch 64] [--seeds 2]

A ResNet-20 from random weights, the same batches in the same order for every way; top-1 on the first 2,000 test images.
"""

import argparse
import contextlib
import itertools
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "python"))
import resnet20  # noqa: E402
import subband  # noqa: E402
import subband.torch as st  # noqa: E402

WAYS = {"plain": None, "relative_step=0.05": {"relative_step": 0.05}, "relative_step=0.2": {"relative_step": 0.2}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder of CIFAR-10, as `subband data cifar10` makes it")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=64, help="images a step")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each way")
    arguments = parser.parse_args()
    subband.set_threads(torch.get_num_threads())
    images, labels = resnet20.cifar10(arguments.data, "train")
    test_images, test_labels = (tensor[:2000] for tensor in resnet20.cifar10(arguments.data, "test"))
    for seed, (way, settings) in itertools.product(range(arguments.seeds), WAYS.items()):
        torch.manual_seed(seed)
        model = resnet20.ResNet20().train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        losses, times, ratio = [], [], 1.0
        for step in range(arguments.steps):
            optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / arguments.steps)
            chosen = torch.randint(len(images), (arguments.batch,))
            start = time.perf_counter()
            with contextlib.nullcontext() if settings is None else st.compress_saved_tensors(model, **settings) as saved:
                loss = F.cross_entropy(model(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            times.append(time.perf_counter() - start)
            losses.append(loss.item())
            ratio = saved.ratio if saved is not None else 1.0
        model.eval()
        with torch.no_grad():
            found = torch.cat([model(part).argmax(1) for part in test_images.split(250)])
        accuracy = 100 * float((found == test_labels).float().mean())
        print(
            f"seed {seed}  {way:20} loss of the last 20 steps {np.mean(losses[-20:]):.3f}   top-1 {accuracy:.1f}%   "
            f"saved {ratio:.1f}x   {np.median(times):.2f} s a step",
            flush=True,
        )


if __name__ == "__main__":
    main()

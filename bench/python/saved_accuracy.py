"""Accuracy of a short training on CIFAR-10 with activations kept compressed, against the same training without.

    python bench/python/saved_accuracy.py CIFAR [--steps 150] [--batch 64] [--seeds 2] [--trained] [--lr 0.1]

A ResNet-20 from random weights, or from the bundled ones, where runs with a low rate of learning end near each other; the same weights and
batches in the same order for every way of a seed; top-1 on all test images. At the end the differences to the plain training
of the same seed: mean, and the interval that holds the true mean with 95% (Student's t).
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

# Student's t for 95%, by degrees of freedom from 1 on.
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
WAYS = {"plain": None, "relative_step=0.05": {"relative_step": 0.05}, "relative_step=0.2": {"relative_step": 0.2}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder of CIFAR-10, as `subband data cifar10` makes it")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--batch", type=int, default=64, help="images a step")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each way")
    parser.add_argument("--trained", action="store_true", help="begin with the bundled weights")
    parser.add_argument("--lr", type=float, default=0.1, help="first rate of learning; it falls to zero")
    arguments = parser.parse_args()
    subband.set_threads(torch.get_num_threads())
    images, labels = resnet20.cifar10(arguments.data, "train")
    test_images, test_labels = resnet20.cifar10(arguments.data, "test")
    accuracies: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed, (way, settings) in itertools.product(range(arguments.seeds), WAYS.items()):
        torch.manual_seed(seed)
        model = (resnet20.bundled("resnet20-cifar10")[0] if arguments.trained else resnet20.ResNet20()).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=arguments.lr, momentum=0.9, weight_decay=5e-4)
        losses, times, ratio = [], [], 1.0
        for step in range(arguments.steps):
            optimizer.param_groups[0]["lr"] = arguments.lr * (1 - step / arguments.steps)
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
        accuracies[way].append(accuracy)
        print(
            f"seed {seed}  {way:20} loss of the last 20 steps {np.mean(losses[-20:]):.3f}   top-1 {accuracy:.2f}%   "
            f"saved {ratio:.1f}x   {np.median(times):.2f} s a step",
            flush=True,
        )
    for way in list(WAYS)[1:] if arguments.seeds > 1 else []:
        differences = np.subtract(accuracies[way], accuracies["plain"])
        reach = T_975[min(len(differences), 11) - 2] * differences.std(ddof=1) / len(differences) ** 0.5
        print(f"{way:20} {differences.mean():+.2f} points, {-reach:+.2f} to {reach:+.2f} around it, {len(differences)} seeds")


if __name__ == "__main__":
    main()

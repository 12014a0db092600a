"""Retrain a small network with the codec in the loop, on a CPU in minutes.

    python examples/python/retrain.py [--data CIFAR] [--steps 200] [--lam 0.5]

Without ``--data`` it trains on 400 of the bundled images and tests on the other 100, which shows how it is done and no more.
"""

import argparse
import copy
import time

import torch
import torch.nn.functional as F

import resnet20
import subband.torch as st


def main() -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of CIFAR-10, as `subband data cifar10` makes it")
    parser.add_argument("--steps", type=int, default=200, help="steps of 64 images")
    parser.add_argument("--lam", type=float, default=0.5, help="price of a bit per value")
    parser.add_argument("--step-scale", type=float, default=0.7, help="first steps, in standard deviations of the maps")
    parser.add_argument("--profile", help="where to write the profile")
    arguments = parser.parse_args()

    torch.manual_seed(1)
    model, _ = resnet20.bundled("resnet20-cifar10")
    if arguments.data:
        images, labels = resnet20.cifar10(arguments.data, "train")
        test = resnet20.cifar10(arguments.data, "test")
    else:
        images, labels = resnet20.sample()
        test = images[400:], labels[400:]
        images, labels = images[:400], labels[:400]

    teacher = copy.deepcopy(model)
    taps = st.attach(model, resnet20.TAPS, example=images[:100], step_scale=arguments.step_scale)
    optimizer = torch.optim.SGD(st.parameter_groups(model, lr=0.01, weight_decay=5e-4), momentum=0.9)
    model.train()
    begun = time.perf_counter()
    for step in range(arguments.steps):
        for group, rate in zip(optimizer.param_groups, (0.01, 0.002)):
            group["lr"] = rate * (1 - step / arguments.steps)
        chosen = torch.randint(len(images), (64,))
        x = images[chosen]
        scores = model(x)
        with torch.no_grad():
            wanted = (teacher(x) / 3).softmax(1)
        task = 0.5 * F.cross_entropy(scores, labels[chosen]) + 4.5 * F.kl_div(
            (scores / 3).log_softmax(1), wanted, reduction="batchmean"
        )
        lam = arguments.lam * min(1.0, 4 * step / arguments.steps)
        rate = st.rate(model)
        optimizer.zero_grad()
        (task + lam * rate).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5)
        optimizer.step()
        if step % 20 == 0 or step == arguments.steps - 1:
            print(f"step {step:4}  loss {task.item():.3f}  {rate.item():.3f} bits per value (estimated)", flush=True)
    print(f"{len(taps)} taps, {(time.perf_counter() - begun) / max(arguments.steps, 1):.2f} s a step")

    profile = st.export_profile(model, resnet20.batches(images[:2000], labels[:2000]), arguments.profile, network="resnet20")
    found = st.evaluate(model, resnet20.batches(*test), profile, self_contained=False)
    print(found)
    return found


if __name__ == "__main__":
    main()

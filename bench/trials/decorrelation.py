"""What other transforms than ours would save: ideal order-0 bits a value, by channel and subband, at one error.

    cargo run --release -p subband-nn --example tap_maps -- resnet20 W.safetensors CIFAR 400 maps
    python bench/trials/decorrelation.py maps/layer?.?.npy

Tables, means and channel bases come from the first half of the images, bits from the second. The error is that of rounding with a
step of `--step` deviations of the map; every transform is orthonormal and its own step is solved for.
"""

import argparse

import numpy as np

R = np.float32(np.sqrt(0.5))


def haar(x):
    """One level: LL, HL, LH, HH of [N, C, H, W] with even sides."""
    low, high = (x[..., 0::2] + x[..., 1::2]) * R, (x[..., 1::2] - x[..., 0::2]) * R
    split = lambda y: ((y[..., 0::2, :] + y[..., 1::2, :]) * R, (y[..., 1::2, :] - y[..., 0::2, :]) * R)
    (ll, lh), (hl, hh) = split(low), split(high)
    return ll, [hl, lh, hh]


def dyadic(x, levels):
    bands = []
    for _ in range(levels):
        x, details = haar(x)
        bands += details
    return [x] + bands


def packet(x, levels):
    """All bands split again, down to `levels`."""
    bands = [x]
    for _ in range(levels):
        bands = [part for band in bands for ll, details in [haar(band)] for part in [ll, *details]]
    return bands


def bits(train, test, step):
    """Cross-entropy of the test half under the counts of the training half, and the mean squared error of rounding."""
    total, error = 0.0, 0.0
    for a, b in zip(train, test):
        qa, qb = np.rint(a / step).astype(np.int32), np.rint(b / step).astype(np.int32)
        error += float(np.square(b - qb * step, dtype=np.float64).sum())
        limit = int(max(np.abs(qa).max(), np.abs(qb).max()))
        for c in range(a.shape[1]):
            counts = np.bincount((qa[:, c] + limit).ravel(), minlength=2 * limit + 1) + 1e-2
            seen = np.bincount((qb[:, c] + limit).ravel(), minlength=2 * limit + 1)
            total -= float((seen * np.log2(counts / counts.sum())).sum())
    return total, error


def at_error(train, test, wanted, step):
    """Bits at the step whose error is the one wanted, by bisection of its logarithm."""
    low, high = np.log(step) - 2, np.log(step) + 2
    for _ in range(9):
        middle = (low + high) / 2
        found = bits(train, test, np.exp(middle))
        low, high = (middle, high) if found[1] < wanted else (low, middle)
    return found[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("maps", nargs="+", help=".npy of [N, C, H, W] with sides divisible by 8")
    parser.add_argument("--step", type=float, default=0.7, help="of the reference, in deviations (default 0.7)")
    parser.add_argument("--images", type=int, default=200, help="images a half at most (default 200)")
    args = parser.parse_args()
    forms = {
        "none": lambda x: [x],
        "Haar, 1 level": lambda x: dyadic(x, 1),
        "Haar, 2 levels": lambda x: dyadic(x, 2),
        "Haar, 3 levels": lambda x: dyadic(x, 3),
        "Haar packet, 2 levels": lambda x: packet(x, 2),
        "Haar packet, 3 levels": lambda x: packet(x, 3),
    }
    names = [*forms, *(f"channel KLT, {name}" for name in ("none", "Haar, 3 levels"))]
    print("| map | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    totals, values = dict.fromkeys(names, 0.0), 0
    best = 0.0
    for path in args.maps:
        maps = np.load(path, mmap_mode="r")
        count = min(len(maps) // 2, args.images)
        train, test = (np.asarray(maps[start : start + count], np.float32) for start in (0, len(maps) // 2))
        step = args.step * float(train.std())
        wanted = bits(dyadic(train, 3), dyadic(test, 3), step)[1]
        # The basis of the channels' covariance.
        flat = train.transpose(1, 0, 2, 3).reshape(train.shape[1], -1)
        basis = np.linalg.eigh(np.cov(flat))[1].T.astype(np.float32)
        turned = [np.einsum("kc,nchw->nkhw", basis, x - flat.mean(1).reshape(1, -1, 1, 1)) for x in (train, test)]
        row = {}
        for name in names:
            form = forms[name.removeprefix("channel KLT, ")]
            a, b = turned if name.startswith("channel") else (train, test)
            row[name] = at_error(form(a), form(b), wanted, step)
            totals[name] += row[name]
        values += test.size
        best += min(row.values())
        print(f"| {path.split('/')[-1]} | " + " | ".join(f"{row[n] / test.size:.3f}" for n in names) + " |", flush=True)
    print("| all | " + " | ".join(f"{totals[n] / values:.3f}" for n in names) + " |")
    print(f"\nThe best of these for each map: {best / values:.3f} bits a value.")


if __name__ == "__main__":
    main()

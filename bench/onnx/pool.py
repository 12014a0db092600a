"""Pools what several evaluations found on different photographs into one drop of top-1 accuracy with its 95% intervals.

A profile tuned on one half of the photographs is measured on the other half, and the other way round; neither has seen what
it is measured on, so all photographs count:

    subband tune net.onnx --data A ... -o a.sbp        # and: --data B ... -o b.sbp
    subband eval --model net.onnx --data B --profile a.sbp --outcomes a-on-b.csv        # and: B for A
    python pool.py a-on-b.csv b-on-a.csv

Both figures are those of `subband eval`: the paired drop with Newcombe's interval (1998, method 10), and the expected drop by
how far answers moved (crates/subband-onnx/src/margin.rs). No packages are needed.
"""

import argparse
import csv
import math
import statistics

Z = statistics.NormalDist().inv_cdf(0.975)


def read(path):
    with open(path, newline="") as file:
        return [(float(row["margin_uncompressed"]), float(row["margin"])) for row in csv.DictReader(file)]


def wilson(share, count):
    centre = share + Z * Z / (2 * count)
    reach = Z * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    return [(centre - reach) / (1 + Z * Z / count), (centre + reach) / (1 + Z * Z / count)]


def paired(outcomes):
    """Lost, gained, drop and its interval."""
    e, f, g, h = (
        sum((plain >= 0) == a and (coded >= 0) == b for plain, coded in outcomes)
        for a, b in ((True, True), (True, False), (False, True), (False, False))
    )
    n = e + f + g + h
    p1, p2 = (e + f) / n, (e + g) / n
    (l1, u1), (l2, u2) = wilson(p1, n), wilson(p2, n)
    product = (e + f) * (g + h) * (e + g) * (f + h)
    determinant = e * h - f * g
    corrected = max(determinant - n / 2, 0) if determinant > 0 else determinant
    phi = corrected / math.sqrt(product) if product > 0 else 0
    reach = lambda a, b: math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0))
    return f, g, p1 - p2, [p1 - p2 - reach(p1 - l1, u2 - p2), p1 - p2 + reach(u1 - p1, p2 - l2)]


def expected(outcomes):
    """The expected drop and its interval."""
    middle = lambda values: sorted(values)[len(outcomes) // 2]
    width = min(2 * middle(abs(coded - plain) for plain, coded in outcomes), middle(abs(plain) for plain, _ in outcomes) / 4)
    right = lambda margin: 1 / (1 + math.exp(min(-margin / width, 700))) if width > 0 else float(margin >= 0)
    lost = [right(plain) - right(coded) for plain, coded in outcomes]
    drop = sum(lost) / len(lost)
    reach = Z * math.sqrt(sum((x - drop) ** 2 for x in lost)) / len(lost)
    return drop, [drop - reach, drop + reach]


def line(name, outcomes):
    lost, gained, drop, (low, high) = paired(outcomes)
    soft, (least, most) = expected(outcomes)
    right = sum(plain >= 0 for plain, _ in outcomes) / len(outcomes)
    print(f"{name}: {len(outcomes)} inputs, {100 * right:.1f}% right without the codec, {lost} lost and {gained} gained")
    print(f"    drop {100 * drop:.2f} points, {100 * low:.2f} to {100 * high:.2f}")
    print(f"    expected drop {100 * soft:.2f} points, {100 * least:.2f} to {100 * most:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outcomes", nargs="+", help="CSV files of `subband eval --outcomes`, of different inputs")
    paths = parser.parse_args().outcomes
    parts = [read(path) for path in paths]
    for path, part in zip(paths, parts):
        line(path, part)
    if len(parts) > 1:
        line("all", [outcome for part in parts for outcome in part])

"""The bundled ResNet-20 on all 10,000 test images of CIFAR-10 through subband.torch, every tapped map really compressed on the way.

    python bench/python/resnet20_eval.py CIFAR [--model resnet20-cifar10-blocks-37x] [--limit N] [--json out.json]

Beside it, the same weights and profile through the command:

    subband eval --model resnet20-cifar10-blocks-37x --data CIFAR --no-self-contained
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "python"))
import resnet20  # noqa: E402
import subband  # noqa: E402
import subband.torch as st  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder of CIFAR-10, as `subband data cifar10` makes it")
    parser.add_argument("--model", default="resnet20-cifar10-blocks-37x", help="a folder of models/ with block taps")
    parser.add_argument("--limit", type=int, default=10_000)
    parser.add_argument("--json", help="write the evaluation there too")
    arguments = parser.parse_args()
    model, profile = resnet20.bundled(arguments.model)
    images, labels = (tensor[: arguments.limit] for tensor in resnet20.cifar10(arguments.data, "test"))
    loader = resnet20.batches(images, labels)
    found = st.evaluate(model, loader, subband.Profile.load(profile), self_contained=False)
    print(found)
    print(f"{found['bytes']:,} bytes")
    if arguments.json:
        found.save(arguments.json)


if __name__ == "__main__":
    main()

"""Profiles made of attached layers, and the accuracy and the real bytes of a network with its maps coded."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from .. import _native
from .._errors import InvalidArgumentError
from .._profile import Calibrator, Profile
from ._attach import NAME, Taps, attached, places_of, suspended, tapped

# Images that the estimates are fitted to; a few numbers a subband need no more.
FITTED_IMAGES = 1_000


def _batches(loader: Iterable[Any], device: torch.device) -> Iterator[tuple[Tensor, Tensor | None]]:
    for batch in loader:
        images, labels = batch[:2] if isinstance(batch, (tuple, list)) else (batch, None)
        yield images.to(device), labels


def _device(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _values(map: Tensor) -> np.ndarray:
    return map.detach().float().cpu().contiguous().numpy()


class _Evaluating:
    """The model in evaluation mode, and back."""

    def __init__(self, model: nn.Module):
        self.model, self.modes = model, [(module, module.training) for module in model.modules()]

    def __enter__(self) -> None:
        self.model.eval()

    def __exit__(self, *exception: Any) -> None:
        for module, training in self.modes:
            module.training = training


@torch.no_grad()
def export_profile(
    model: nn.Module, loader: Iterable[Any], path: str | os.PathLike[str] | None = None, *, network: str = "model"
) -> Profile:
    """A profile with the steps and masks of the attached layers, and tables counted on the maps of ``loader``.

    The loader (batches of images, or of images and labels) is run through twice, the first time some 1,000 images of it; take
    training images. With ``path`` the profile is saved there too.
    """
    holder = attached(model)
    calibrators = {tap: Calibrator(tap, holder.shapes[tap], **holder[tap].coding()) for tap in holder}

    def visit(tap: str, map: Tensor) -> Tensor:
        if tuple(map.shape[1:]) != holder.shapes[tap]:
            raise InvalidArgumentError(f"tap {tap!r} has maps of shape {tuple(map.shape[1:])}: {holder.shapes[tap]} before")
        decoded = calibrators[tap].observe(_values(map))
        return torch.from_numpy(decoded).to(map)

    device = _device(model)
    with _Evaluating(model), tapped(model, holder.places, visit):
        for most in (FITTED_IMAGES, None):
            images_seen = 0
            for images, _ in _batches(loader, device):
                model(images)
                images_seen += len(images)
                if most is not None and images_seen >= most:
                    break
            if images_seen == 0:
                raise InvalidArgumentError("the loader gave no images" + ("" if most else " the second time"))
            if most is not None:
                for calibrator in calibrators.values():
                    calibrator.fit()
    profile = Profile.of(network, calibrators.values())
    if path is not None:
        profile.save(path)
    return profile


class Evaluation(dict):
    """What an evaluation found: the fields of ``subband eval --json``. ``str`` gives its table."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it as JSON."""
        with open(path, "w") as file:
            json.dump(self, file, indent=2)
            file.write("\n")

    def __str__(self) -> str:
        rows = [("tap", "shape", "values", "bytes", "bits/value", "x32", "zeros", "order-0")]
        for tap in self["per_tap"]:
            rows.append(
                (
                    tap["name"],
                    "x".join(map(str, tap["shape"])),
                    f"{tap['values']:,}",
                    f"{tap['bytes']:,}",
                    f"{tap['bits_per_value']:.3f}",
                    f"{tap['ratio_f32']:.1f}x",
                    f"{100 * tap['zeros']:.1f}%",
                    f"{tap['order0_entropy_bits_per_value']:.3f}",
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths)))
            for row in rows
        ]
        before = self["top1_uncompressed"]
        lines.append(
            f"{self['images']:,} images: top-1 {self['top1']:.2f}%"
            + ("" if before is None else f" ({before:.2f}% uncompressed)")
            + f", {self['bits_per_value']:.3f} bits per value, {self['ratio_f32']:.1f}x against f32"
        )
        return "\n".join(lines)


def _hits(scores: Tensor, labels: Tensor) -> np.ndarray:
    """How many labels are first, and how many are among the first five."""
    first = scores.float().cpu().topk(min(5, scores.shape[1]), dim=1).indices == labels.cpu()[:, None]
    return np.array([int(first[:, 0].sum()), int(first.sum())])


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: Iterable[Any],
    profile: Profile,
    *,
    taps: Taps | None = None,
    effort: str = "default",
    rdo: float = 0.0,
    uncompressed: bool = True,
    self_contained: bool = True,
    weights: str = "",
    dataset: str = "",
) -> Evaluation:
    """Classifies the batches (images, labels) of ``loader`` with every map at the profile's taps compressed to a packet an image and
    decompressed; the network goes on with the decoded maps.

    Taps are found where :func:`attach` put them, or else by the names of modules, or as ``taps`` maps them. The result has the
    fields of ``subband eval --json``; the figures are those of the command on the same network, images and profile. With
    ``uncompressed`` the accuracy without the codec is measured too, with ``self_contained`` the rate with tables in each stream.

    Raises ``InvalidArgumentError`` for a profile that does not fit the network, ``NonFiniteError`` for a map with a NaN.
    """
    begun = time.perf_counter()
    names = [tap.name for tap in profile.taps]
    holder = getattr(model, NAME, None)
    if taps is None and holder is not None and set(names) <= set(holder.places):
        places = {name: holder.places[name] for name in names}
    else:
        places = places_of(model, names if taps is None else taps)
        missing = [name for name in names if name not in places]
        if missing:
            raise InvalidArgumentError(f"tap {missing[0]!r} of the profile is not among the taps given")
        places = {name: places[name] for name in names}
    sites = [(tap.name, list(tap.shape)) for tap in profile.taps]
    evaluator = _native.Evaluator(profile._native, profile.network, sites, effort, float(rdo), self_contained)
    device = _device(model)
    shapes = {tap.name: tap.shape for tap in profile.taps}

    def visit(tap: str, map: Tensor) -> Tensor:
        if tuple(map.shape[1:]) != shapes[tap]:
            raise InvalidArgumentError(f"tap {tap!r} has maps of shape {tuple(map.shape[1:])}: the profile has {shapes[tap]}")
        values = _values(map)
        decoded = np.empty_like(values)
        evaluator.code(tap, values.reshape(-1), decoded.reshape(-1))
        return torch.from_numpy(decoded).to(map)

    images, hits, hits_uncompressed = 0, np.zeros(2, int), np.zeros(2, int)
    with _Evaluating(model):
        for batch, labels in _batches(loader, device):
            if labels is None:
                raise InvalidArgumentError("the loader gave no labels: batches are (images, labels)")
            if uncompressed:
                with suspended(model):
                    hits_uncompressed += _hits(model(batch), labels)
            with tapped(model, places, visit):
                hits += _hits(model(batch), labels)
            images += len(batch)
    if images == 0:
        raise InvalidArgumentError("the loader gave no images")
    share = lambda count: 100.0 * int(count) / images
    rates = json.loads(evaluator.finish())
    return Evaluation(
        network=profile.network,
        weights=weights,
        dataset=dataset,
        images=images,
        taps="custom",
        top1_uncompressed=share(hits_uncompressed[0]) if uncompressed else None,
        top1=share(hits[0]),
        top5_uncompressed=share(hits_uncompressed[1]) if uncompressed else None,
        top5=share(hits[1]),
        **rates,
        skipped=[],
        seconds=time.perf_counter() - begun,
    )

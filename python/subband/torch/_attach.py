"""The codec at places of any network, by hooks on the outputs of its modules."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from .. import _settings
from .._errors import InvalidArgumentError
from .._profile import Profile
from ._layer import WaveletQuantize

Taps = str | Sequence[str] | Mapping[str, str] | Callable[[str, nn.Module], bool]
# Where the layers are kept in a model.
NAME = "subband_taps"


class _Hook:
    """Counts the calls of a module in one pass of the network, and sends its output through the tap of that call."""

    def __init__(self, module: str, taps: dict[str, Callable[[Tensor], Tensor]], holder: "TapLayers | None" = None):
        self.module, self.taps, self.holder, self.calls = module, taps, holder, 0

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        place = self.module if self.calls == 0 else f"{self.module}:{self.calls}"
        self.calls += 1
        tap = self.taps.get(place)
        if tap is None:
            return None
        if not isinstance(output, Tensor) or output.ndim != 4:
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InvalidArgumentError(f"module {self.module!r} gives {found}: a tap codes maps [N, C, H, W]")
        if self.holder is not None and self.holder.suspended:
            return None
        return tap(output)


class _Begin:
    """At the start of a pass, every module counts from the first call again."""

    def __init__(self, hooks: list[_Hook]):
        self.hooks = hooks

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        for hook in self.hooks:
            hook.calls = 0


class _Handles:
    """Hooks that were put in, to be taken out. Not copied with a model: the copy's hooks cannot be taken out by these."""

    def __init__(self, model: nn.Module, hooks: list[_Hook]):
        modules = dict(model.named_modules())
        self.handles = [model.register_forward_pre_hook(_Begin(hooks))]
        self.handles += [modules[hook.module].register_forward_hook(hook) for hook in hooks]

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


class TapLayers(nn.Module):
    """The codec layers of a model, by tap; what :func:`attach` puts into it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        self.places: dict[str, str] = {}
        """Module of each tap, with ``:1`` for its second call in a pass."""
        self.shapes: dict[str, tuple[int, int, int]] = {}
        self.hooks: list[_Hook] = []
        self.suspended = False

    def __getitem__(self, tap: str) -> WaveletQuantize:
        return self.layers[_key(tap)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def _key(tap: str) -> str:
    # Names of modules have no dots.
    return tap.replace(".", "/")


def _modules(model: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if name and not name.startswith(NAME)}


def places_of(model: nn.Module, taps: Taps) -> dict[str, str]:
    """Tap to place, for what a caller may say; "relu" and predicates stand for every call of the modules they choose."""
    modules = _modules(model)
    if isinstance(taps, str) and taps == "relu":
        taps = lambda name, module: isinstance(module, (nn.ReLU, nn.ReLU6))
    if callable(taps):
        chosen = {f"{name}:*": f"{name}:*" for name, module in modules.items() if taps(name, module)}
        if not chosen:
            raise InvalidArgumentError("no module was chosen: name modules, or give a predicate; functional calls have none")
        return chosen
    if isinstance(taps, str):
        taps = [taps]
    places = dict(taps) if isinstance(taps, Mapping) else {str(name): str(name) for name in taps}
    for tap, place in places.items():
        if place.split(":")[0] not in modules:
            raise InvalidArgumentError(f"tap {tap!r}: the model has no module {place.split(':')[0]!r}")
    if not places:
        raise InvalidArgumentError("taps is empty: name modules, or give a predicate")
    return places


@contextlib.contextmanager
def suspended(model: nn.Module) -> Iterator[None]:
    """The model without the codec."""
    holder = getattr(model, NAME, None)
    if holder is None:
        yield
        return
    holder.suspended, before = True, holder.suspended
    try:
        yield
    finally:
        holder.suspended = before


@contextlib.contextmanager
def tapped(model: nn.Module, places: Mapping[str, str], visit: Callable[[str, Tensor], Tensor | None]) -> Iterator[None]:
    """The model without its layers, ``visit(tap, map)`` being called at each place; what it returns goes on."""
    by_module: dict[str, dict[str, Callable[[Tensor], Tensor]]] = {}
    for tap, place in places.items():
        by_module.setdefault(place.split(":")[0], {})[place] = lambda map, tap=tap: visit(tap, map)
    handles = _Handles(model, [_Hook(module, taps) for module, taps in by_module.items()])
    try:
        with suspended(model):
            yield
    finally:
        handles.remove()


class _Measure:
    """Places in the order of the network, the shapes of their maps and their standard deviations."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.deviations: dict[str, float] = {}

    def visit(self, tap: str, map: Tensor) -> None:
        self.shapes[tap] = tuple(map.shape[1:])
        deviation = float(map.detach().double().std(correction=0))
        # A map that is constant takes any step.
        self.deviations[tap] = deviation if deviation > 0 else 1.0


class _EveryCall(dict):
    """The taps of a module of which every call is one; their names are found as calls are made."""

    def __init__(self, module: str, visit: Callable[[str, Tensor], None]):
        self.module, self.visit = module, visit

    def get(self, place: str, default: Any = None) -> Any:
        return lambda map: self.visit(place, map)


def _measure(model: nn.Module, places: dict[str, str], example: Any) -> tuple[dict[str, str], _Measure]:
    measure = _Measure()
    hooks, by_module = [], {}
    for tap, place in places.items():
        module, _, call = place.partition(":")
        if call == "*":
            hooks.append(_Hook(module, _EveryCall(module, measure.visit)))
        else:
            by_module.setdefault(module, {})[place] = lambda map, tap=tap: measure.visit(tap, map)
    hooks += [_Hook(module, taps) for module, taps in by_module.items()]
    handles = _Handles(model, hooks)
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(*example) if isinstance(example, (tuple, list)) else model.eval()(example)
    finally:
        model.train(training)
        handles.remove()
    found = {tap: places.get(tap, tap) for tap in measure.shapes}
    missed = [tap for tap, place in places.items() if tap not in found and not place.endswith(":*")]
    if missed:
        raise InvalidArgumentError(f"tap {missed[0]!r}: no call of it was seen in a pass of the example")
    return found, measure


def attach(
    model: nn.Module,
    taps: Taps = "relu",
    *,
    example: Any = None,
    profile: Profile | None = None,
    step: Any = None,
    step_scale: float = 0.5,
    **settings: Any,
) -> TapLayers:
    """Puts a :class:`WaveletQuantize` behind modules of ``model``, and returns the layers by tap.

    ``taps`` is "relu" (every call of every ``nn.ReLU`` and ``nn.ReLU6``), names of modules as ``named_modules`` has them, a mapping
    of tap to module, or a predicate of name and module. ``layer1.relu:1`` is the second call of a module in one pass.

    ``example`` is an input, or a tuple of them; it runs through the network once, without gradients, to find the maps. All steps of a
    tap start at ``step``, or at ``step_scale`` times the standard deviation of its maps. With a ``profile`` everything is as its
    taps say, and names of them that are no modules need a mapping. ``settings`` are those of :class:`WaveletQuantize`.

    The layers become a submodule of the model, and so part of its parameters, its ``state_dict`` and its device. To load such a
    ``state_dict``, attach first. ``torch.compile`` the model afterwards.

    Raises ``InvalidArgumentError`` for modules that are not there and outputs that are no maps.
    """
    if hasattr(model, NAME):
        raise InvalidArgumentError("the codec is attached already: detach it first")
    if profile is not None:
        if step is not None or settings:
            raise InvalidArgumentError("a profile says how taps are coded: leave out step and settings")
        names = [tap.name for tap in profile.taps]
        places = places_of(model, names if taps == "relu" else taps)
        unknown = set(places) - set(names)
        if unknown:
            raise InvalidArgumentError(f"the profile has no tap {sorted(unknown)[0]!r}: it has {', '.join(names)}")
        shapes = {tap.name: tap.shape for tap in profile.taps if tap.name in places}
        found = {name: places[name] for name in shapes}
        made = {name: _layer_of(profile, name) for name in found}
    else:
        if example is None:
            raise InvalidArgumentError("example is missing: an input of the network, to find the shapes of its maps")
        found, measure = _measure(model, places_of(model, taps), example)
        shapes = measure.shapes
        scale = _settings.number("step_scale", step_scale)
        made = {
            tap: WaveletQuantize(
                shapes[tap][0], step=scale * measure.deviations[tap] if step is None else step, **settings
            )
            for tap in found
        }
    holder = TapLayers()
    by_module: dict[str, dict[str, Any]] = {}
    for tap, layer in made.items():
        holder.layers[_key(tap)] = layer
        by_module.setdefault(found[tap].split(":")[0], {})[found[tap]] = layer
    holder.places, holder.shapes = found, {tap: tuple(shapes[tap]) for tap in found}
    holder.hooks = [_Hook(module, taps, holder) for module, taps in by_module.items()]
    _Handles(model, holder.hooks)
    reference = next(model.parameters(), None)
    if reference is not None:
        holder.to(reference.device)
    holder.train(model.training)
    model.add_module(NAME, holder)
    return holder


def _layer_of(profile: Profile, name: str) -> WaveletQuantize:
    tap = profile.tap(name)
    coding = tap.coding
    if coding["prescale"] is not None:
        raise InvalidArgumentError(f"tap {name!r} is pre-scaled to uint8: the layer has no such thing")
    return WaveletQuantize(
        tap.shape[0],
        step=tap.steps,
        wavelet=coding["wavelet"],
        levels=coding["levels"],
        rounding=coding["rounding"],
        reconstruction=coding["reconstruction"],
        nonnegative=coding["nonnegative"],
        mask=tap.mask,
    )


def attached(model: nn.Module) -> TapLayers:
    """The layers of a model. Raises ``InvalidArgumentError`` where there are none."""
    holder = getattr(model, NAME, None)
    if holder is None:
        raise InvalidArgumentError("the codec is not attached to the model")
    return holder


def detach(model: nn.Module) -> TapLayers:
    """Takes the layers out of ``model`` and returns them; the model is then what it was before."""
    holder = attached(model)
    ours = {id(hook) for hook in holder.hooks}
    for module in model.modules():
        for key, hook in list(module._forward_hooks.items()):
            if id(hook) in ours:
                del module._forward_hooks[key]
    for key, hook in list(model._forward_pre_hooks.items()):
        if isinstance(hook, _Begin) and any(id(inner) in ours for inner in hook.hooks):
            del model._forward_pre_hooks[key]
    delattr(model, NAME)
    return holder

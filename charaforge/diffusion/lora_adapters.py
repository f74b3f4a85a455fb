"""LoRAs in a bundle: beside the base weights, never fused into them; what acts is added to a layer's output.

A plain LoRA acts as `up(down(x))`. For the other kinds the change of the weight is computed when they begin
to act and forgotten when they cease to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.lora_format import LoraFile
from charaforge.diffusion.lora_names import Place, places
from charaforge.diffusion.lora_updates import LoraLayer, Update, fits
from charaforge.errors import ModelFileError
from charaforge.logs import get_logger

logger = get_logger(__name__)

_HINT = "choose a LoRA made for this base, or the base that it was made for"
_ATTRIBUTE = "charaforge_loras"


@dataclass(frozen=True)
class Strength:
    """How strongly a LoRA acts: 1 = as trained, 0 = not at all.

    Attributes:
        unet: in the UNet.
        text: in the text encoders.
        blocks: factors by block (BASE, IN00 …, MID, OUT00 …); blocks that are not named have 1.
    """

    unet: float
    text: float
    blocks: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def even(cls, weight: float) -> Strength:
        """The same everywhere."""
        return cls(weight, weight)

    def at(self, place: Place) -> float:
        """Return the weight at a layer."""
        return (self.text if place.in_text_encoder else self.unet) * self.blocks.get(place.block, 1.0)


def attach(bundle: Bundle, lora: LoraFile, adapter: str) -> None:
    """Put a LoRA beside the bundle's weights; it acts when `activate` names it.

    Args:
        bundle: the model.
        lora: what to attach.
        adapter: a name of its own among those attached.

    Raises:
        ModelFileError: no layer of the file is one of the model's, or a layer has another shape; it names the
            base that the LoRA was made for. The bundle is then as it was before.
    """
    known = {alias: place for place in places(bundle) for alias in place.aliases}
    found = {name: (known[name], update) for name, update in lora.layers.items() if name in known}
    if not found:
        raise ModelFileError(
            f"none of the {len(lora.layers)} layers of the LoRA fits {bundle.name!r}; it was made for "
            f"{lora.base}",
            _HINT,
        )
    if len(found) < len(lora.layers):
        left_out = sorted(lora.layers.keys() - found.keys())
        logger.warning("%d layers of the LoRA are not in %s: %s …", len(left_out), bundle.name, left_out[0])
    for name, (place, update) in found.items():
        _check_shape(bundle, lora, name, update, place)
    for place, update in found.values():
        _added(place).updates[adapter] = _placed(update, place.module.weight)
    activate(bundle, {})


def activate(bundle: Bundle, weights: Mapping[str, Strength | float]) -> None:
    """Let exactly these adapters act, in this order; all others have no effect."""
    strengths = {name: w if isinstance(w, Strength) else Strength.even(w) for name, w in weights.items()}
    for added in _adapted(bundle):
        added.activate({name: strength.at(added.place) for name, strength in strengths.items()})


def detach(bundle: Bundle, adapter: str) -> None:
    """Remove an adapter, and let none act; the base weights are untouched, as they always were."""
    activate(bundle, {})
    for added in _adapted(bundle):
        added.updates.pop(adapter, None)
        if not added.updates:
            added.hook.remove()
            delattr(added.place.module, _ATTRIBUTE)


def read_adapter(bundle: Bundle, adapter: str) -> dict[str, Update]:
    """Return the updates of an adapter by kohya's names, as they are attached."""
    held = [added for added in _adapted(bundle) if adapter in added.updates]
    return {added.place.name: added.updates[adapter] for added in held}


class _Added:
    """What LoRAs add to the output of one layer."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.updates: dict[str, Update] = {}
        self.hook = place.module.register_forward_hook(self)
        self._plain: list[tuple[LoraLayer, float]] = []
        self._change: Tensor | None = None

    @torch.no_grad()
    def activate(self, scales: Mapping[str, float]) -> None:
        """Let those act whose scale is not 0."""
        self._plain, self._change = [], None
        weight = self.place.module.weight
        change: Tensor | None = None
        for name, scale in scales.items():
            update = self.updates.get(name)
            if update is None or scale == 0.0:
                continue
            if isinstance(update, LoraLayer):
                self._plain.append((update, scale * update.alpha / update.rank))
            else:
                one = scale * update.delta(weight)
                change = one if change is None else change + one
        self._change = None if change is None else change.to(weight.dtype)

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        """Return the output with what is added; None leaves it as it is."""
        if not self._plain and self._change is None:
            return None
        x = inputs[0]
        for layer, scale in self._plain:
            down, up = (tensor.to(x) for tensor in (layer.down, layer.up))
            output = output + _apply(module, _apply(module, x, down), up, point=True) * scale
        if self._change is not None:
            output = output + _apply(module, x, self._change.to(x))
        return output


def _apply(module: nn.Module, x: Tensor, weight: Tensor, *, point: bool = False) -> Tensor:
    """Return what a layer like `module`, without bias, makes of x; `point`: as a 1 x 1 convolution."""
    if not isinstance(module, nn.Conv2d):
        return functional.linear(x, weight.flatten(1))
    if point:
        return functional.conv2d(x, weight.view(*weight.shape[:2], 1, 1))
    shaped = weight if weight.ndim == 4 else weight.view(-1, module.in_channels, *module.kernel_size)
    return functional.conv2d(x, shaped, None, module.stride, module.padding, module.dilation)


def _placed(update: Update, weight: Tensor) -> Update:
    """Return a plain LoRA on the device and in the type of its layer; others wait as they are."""
    if not isinstance(update, LoraLayer):
        return update
    return LoraLayer(update.down.to(weight), update.up.to(weight), update.alpha)


def _added(place: Place) -> _Added:
    held: _Added | None = getattr(place.module, _ATTRIBUTE, None)
    if held is None:
        held = _Added(place)
        setattr(place.module, _ATTRIBUTE, held)
    return held


def _adapted(bundle: Bundle) -> list[_Added]:
    """Return what carries updates, in the order of the layers."""
    models: tuple[nn.Module, ...] = (bundle.unet, *bundle.text_encoders)
    found = (getattr(module, _ATTRIBUTE, None) for model in models for module in model.modules())
    return [added for added in found if added is not None]


def _check_shape(bundle: Bundle, lora: LoraFile, name: str, update: Update, place: Place) -> None:
    """Raise ModelFileError when an update is not of the shape of its layer."""
    if not fits(update, place.module.weight):
        raise ModelFileError(
            f"layer {name} of the LoRA is for a weight {update.shape}, {bundle.name!r} has "
            f"{tuple(place.module.weight.shape)}; it was made for {lora.base}",
            _HINT,
        )

"""The difference of two models as a LoRA: what a fine-tuned model has learnt beyond its base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.lora_names import places
from charaforge.diffusion.lora_tools.low_rank import RankChoice, compress_whole
from charaforge.diffusion.lora_updates import LoraLayer
from charaforge.errors import ModelFileError, UsageError
from charaforge.logs import track


@dataclass(frozen=True)
class Wish:
    """What of the difference is wanted.

    Attributes:
        choice: ranks of linear layers and 1x1 convolutions.
        spatial: ranks of 3x3 convolutions; None leaves them out.
        text: whether the text encoders' difference is wanted.
        smallest: layers whose largest difference is below this are left out.
    """

    choice: RankChoice
    spatial: RankChoice | None = None
    text: bool = True
    smallest: float = 1e-6


@dataclass(frozen=True)
class Extracted:
    """A LoRA of a difference.

    Attributes:
        layers: kohya's name -> update.
        error: share of the Frobenius norm of the difference of these layers that is lost.
        left_out: share of the norm of the whole difference that lies in layers which have none.
    """

    layers: Mapping[str, LoraLayer]
    error: float
    left_out: float


@torch.no_grad()
def extract(tuned: Bundle, base: Bundle, wish: Wish) -> Extracted:
    """Return the LoRA that makes of `base` nearly `tuned`.

    Raises:
        ModelFileError: the models are of two families or shapes.
        UsageError: they do not differ in any layer that a LoRA could adapt.
    """
    _check(tuned, base)
    layers: dict[str, LoraLayer] = {}
    lost = whole = outside = 0.0
    for mine, theirs in track(
        list(zip(places(tuned), places(base), strict=True)), "comparing", unit="layers"
    ):
        change = mine.module.weight.float() - theirs.module.weight.float()
        size = float(change.square().sum())
        choice = _choice(mine.path, mine.module, mine.in_text_encoder, wish)
        if choice is None or float(change.abs().max()) < wish.smallest:
            outside += size
            continue
        found = compress_whole(change, choice)
        layers[mine.name] = found.layer
        lost, whole = lost + found.lost, whole + found.whole
    if not layers:
        raise UsageError(
            f"{tuned.name} and {base.name} do not differ in any layer that is extracted",
            "give another pair of models, or extract convolutions and text encoders too",
        )
    return Extracted(layers, (lost / whole) ** 0.5, (outside / (outside + whole)) ** 0.5)


def _choice(path: str, module: nn.Module, text: bool, wish: Wish) -> RankChoice | None:
    """Return the choice of a layer's rank; None for layers that LoRAs of kohya's scripts have not."""
    if text:
        own = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
        return wish.choice if wish.text and path.endswith(own) else None
    spatial = isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
    if "attentions" in path.split("."):
        return wish.choice
    inner = {"resnets", "downsamplers", "upsamplers"} & set(path.split("."))
    return (wish.spatial if spatial else wish.spatial and wish.choice) if inner else None


def _check(tuned: Bundle, base: Bundle) -> None:
    shapes = [{p.name: tuple(p.module.weight.shape) for p in places(each)} for each in (tuned, base)]
    if tuned.family != base.family or shapes[0] != shapes[1]:
        raise ModelFileError(
            f"{tuned.name} ({tuned.family}) and {base.name} ({base.family}) are not of one shape",
            "give a model and the base that it was fine-tuned from",
        )

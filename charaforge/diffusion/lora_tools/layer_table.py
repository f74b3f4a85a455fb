"""From any name of a layer to all that is known of it: its place in the model that a LoRA is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from charaforge.diffusion.lora_names import LoraTarget, Place, places
from charaforge.diffusion.lora_updates import Update, fits
from charaforge.diffusion.model_configs import kept_shapes
from charaforge.diffusion.parts import Family, TextEncoder
from charaforge.errors import ModelFileError


@dataclass(frozen=True)
class Skeleton:
    """A model without weights: all that names of layers depend on."""

    family: Family
    unet: UNet2DConditionModel
    text_encoders: tuple[TextEncoder, ...]


@cache
def published(family: Family) -> Skeleton:
    """Return the published model of a family, on the meta device: shapes, no weights."""
    shapes = kept_shapes(family)
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(dict(shapes["unet"]))
        encoders = tuple(_encoder(told) for told in shapes["text_encoders"])
    return Skeleton(family, unet, encoders)


def by_layer(layers: Mapping[str, Update], model: LoraTarget) -> list[tuple[Place, Update]]:
    """Return the place of every layer of a LoRA, in the order of the model.

    Args:
        layers: the file's name of a layer -> update.
        model: what the LoRA is for; its weights do not count.

    Raises:
        ModelFileError: the model has no such layer, or has it in another shape.
    """
    known = {alias: place for place in places(model) for alias in place.aliases}
    order = {place.name: number for number, place in enumerate(places(model))}
    _refuse_strangers(sorted(layers.keys() - known.keys()), len(layers), model)
    for name, update in layers.items():
        if not fits(update, known[name].module.weight):
            raise ModelFileError(
                f"layer {name} is for a weight {update.shape}, {model.family} has "
                f"{tuple(known[name].module.weight.shape)}",
                "give the LoRA's own base with --base",
            )
    found = [(known[name], update) for name, update in layers.items()]
    return sorted(found, key=lambda pair: order[pair[0].name])


def _refuse_strangers(names: Iterable[str], total: int, model: LoraTarget) -> None:
    names = list(names)
    if names:
        raise ModelFileError(
            f"{len(names)} of {total} layers are none of the {model.family} model's, for example {names[0]}",
            "give the base that the LoRA was made for with --base",
        )


def _encoder(told: Mapping[str, Any]) -> TextEncoder:
    config = CLIPTextConfig(**{key: value for key, value in told.items() if key != "architectures"})
    projects = "CLIPTextModelWithProjection" in told["architectures"]
    return CLIPTextModelWithProjection(config) if projects else CLIPTextModel(config)

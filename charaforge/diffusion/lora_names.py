"""How LoRA files call the layers of a model.

lora_unet_down_blocks_1_…           kohya, by diffusers' paths (SD1.x)
lora_unet_input_blocks_4_1_…        kohya, by the original layout (SDXL)
lora_te_ | lora_te1_ | lora_te2_    kohya, text encoders
unet.… | text_encoder.… | text_encoder_2.…    diffusers and peft, dotted paths
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn

from charaforge.diffusion.original_layout import unet_name
from charaforge.diffusion.parts import Family, TextEncoder

UNET_PREFIX = "lora_unet_"
TEXT_PREFIX = "lora_te_text_model_"
_TEXT_BLOCK = "BASE"


@dataclass(frozen=True)
class Place:
    """A layer that LoRAs can adapt.

    Attributes:
        name: what kohya's scripts call it in this family.
        aliases: all names that files use for it, `name` too.
        model: the UNet or text encoder that it is part of.
        path: where in it.
        module: the layer, linear or a convolution.
        block: by per-block weights' names: BASE (text encoders), IN00 …, MID, OUT00 …; "" at the UNet's ends.
    """

    name: str
    aliases: tuple[str, ...]
    model: nn.Module
    path: str
    module: nn.Linear | nn.Conv2d
    block: str

    @property
    def dotted(self) -> str:
        """Its path with its part, as diffusers and peft write it: `unet.…`, `text_encoder.text_model.…`."""
        return self.aliases[-2] if self.in_text_encoder else self.aliases[-1]

    @property
    def in_text_encoder(self) -> bool:
        """Whether it belongs to a text encoder."""
        return self.block == _TEXT_BLOCK


class LoraTarget(Protocol):
    """What LoRAs are for: a bundle, or a model of its shapes without weights."""

    @property
    def family(self) -> Family:
        """Of the model."""

    @property
    def unet(self) -> UNet2DConditionModel:
        """Predicts noise or velocity."""

    @property
    def text_encoders(self) -> tuple[TextEncoder, ...]:
        """One, or SDXL's two."""


def places(bundle: LoraTarget) -> Iterator[Place]:
    """Yield every layer that a LoRA can adapt, in the order of the models."""
    for path, module in bundle.unet.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            original = unet_name(path, bundle.unet.config)
            names = kohya_name(UNET_PREFIX, path), kohya_name(UNET_PREFIX, original)
            first = kohya_layer(bundle.family, "unet", path, bundle.unet.config)
            yield Place(first, (*names, f"unet.{path}"), bundle.unet, path, module, block_of(original))
    for number, encoder in enumerate(bundle.text_encoders, start=1):
        for path, module in encoder.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                aliases = _text_names(bundle, number, path.removeprefix("text_model."))
                yield Place(aliases[0], aliases, encoder, path, module, _TEXT_BLOCK)


def kohya_layer(family: Family, part: str, path: str, unet_config: Mapping[str, Any] | None = None) -> str:
    """Return what kohya's scripts call a layer of a family.

    Args:
        family: of the model.
        part: "unet", "text_encoder" or "text_encoder_2".
        path: dotted, within the part; of text encoders with or without `text_model.`.
        unet_config: of the UNet; SDXL's names of its layers follow from it, others do without.
    """
    if part == "unet":
        return kohya_name(UNET_PREFIX, unet_name(path, unet_config or {}) if family == "sdxl" else path)
    number = "" if family == "sd15" else part.removeprefix("text_encoder").removeprefix("_") or "1"
    return kohya_name(f"lora_te{number}_text_model_", path)


def unet_family(unet_config: Mapping[str, Any]) -> Family:
    """Return the family of a UNet: SDXL's is told sizes beside the time."""
    return "sdxl" if unet_config.get("addition_embed_type") == "text_time" else "sd15"


def layer_paths(bundle: LoraTarget) -> dict[str, tuple[nn.Module, str]]:
    """Return every layer that a LoRA can adapt: kohya's name -> (model it is part of, path within that)."""
    return {place.name: (place.model, place.path) for place in places(bundle)}


def kohya_name(prefix: str, path: str) -> str:
    """Return kohya's name of the layer at `path`, a dotted path within the UNet or the text encoder."""
    return prefix + path.removeprefix("text_model.").replace(".", "_")


def block_of(original: str) -> str:
    """Return the block of a UNet's layer, by its name in the original layout."""
    if original.startswith("middle_block."):
        return "MID"
    found = re.match(r"(in|out)put_blocks\.(\d+)\.", original)
    return f"{found[1].upper()}{int(found[2]):02}" if found else ""


def _text_names(bundle: LoraTarget, number: int, path: str) -> tuple[str, ...]:
    """Return the names of a text encoder's layer: kohya's of this family first."""
    kohya = [f"lora_te{number}_text_model_{path.replace('.', '_')}"]
    kohya += [f"lora_te{number}_{path.replace('.', '_')}"]
    if bundle.family == "sd15":
        kohya = [kohya_name(TEXT_PREFIX, path), *kohya]
    dotted = "text_encoder" if number == 1 else f"text_encoder_{number}"
    return (*kohya, f"{dotted}.text_model.{path}", f"{dotted}.{path}")

"""The keys of LoRA files: which layer, and which part of its update."""

from __future__ import annotations

import re

_KOHYA = re.compile(r"(?P<layer>(?:lora|lycoris)_\w+)\.(?P<part>.+)")
_DOTTED = re.compile(
    r"(?P<layer>(?:unet|text_encoder(?:_\d)?)\..+?)"
    r"\.(?P<part>lora_[AB](?:\.default)?\.weight|lora_magnitude_vector(?:\.default)?(?:\.weight)?"
    r"|lora(?:_linear_layer)?\.(?:down|up)\.weight|alpha|dora_scale)"
)
_PROCESSOR = re.compile(
    r"(?P<layer>(?:unet|text_encoder(?:_\d)?)\..+?)(?:\.processor)?\.(?P<to>to_[qkv]|to_out)_lora"
    r"\.(?P<part>(?:down|up)\.weight|alpha)"
)
_PARTS = {
    "lora_A.weight": "lora_down.weight",
    "lora_A.default.weight": "lora_down.weight",
    "lora_B.weight": "lora_up.weight",
    "lora_B.default.weight": "lora_up.weight",
    "lora.down.weight": "lora_down.weight",
    "lora.up.weight": "lora_up.weight",
    "lora_linear_layer.down.weight": "lora_down.weight",
    "lora_linear_layer.up.weight": "lora_up.weight",
    "lora_magnitude_vector": "dora_scale",
    "lora_magnitude_vector.weight": "dora_scale",
    "lora_magnitude_vector.default": "dora_scale",
    "lora_magnitude_vector.default.weight": "dora_scale",
    "down.weight": "lora_down.weight",
    "up.weight": "lora_up.weight",
}
_OLD_UNET = {"to_out": "to_out.0"}
_OLD_TEXT = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


def split_key(key: str) -> tuple[str, str] | None:
    """Return the layer and the part, the latter in kohya's and LyCORIS' words; None for a foreign key.

    Understood are kohya's keys, those of diffusers and peft (`unet.….lora_A.weight`), and the two older forms
    of diffusers (`….to_q.lora.down.weight`, `….processor.to_q_lora.down.weight`).
    """
    if found := _KOHYA.fullmatch(key):
        return found["layer"].replace("lycoris_", "lora_unet_", 1), found["part"]
    if found := _PROCESSOR.fullmatch(key):
        to = found["to"]
        names = _OLD_UNET if found["layer"].startswith("unet.") else _OLD_TEXT
        name = names.get(to, to)
        return f"{found['layer']}.{name}", _PARTS.get(found["part"], found["part"])
    if found := _DOTTED.fullmatch(key):
        return found["layer"], _PARTS.get(found["part"], found["part"])
    return None

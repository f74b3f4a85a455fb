"""Names of layers in the original layout of SD1.x and SDXL: that of checkpoints, and of kohya's SDXL LoRAs.

The rules follow from how the original code builds its nets: the UNet's blocks are one list, `input_blocks`
(conv_in, then each level's layers, then its downsampler) and `output_blocks` (each level's layers, one more
than on the way down, with the upsampler inside of the last); the VAE's decoder counts its levels from the
fine end; the second text encoder of SDXL is open_clip's. Functions take diffusers' dotted path, of a module
or of a tensor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
_OPEN_CLIP = (
    (r"^text_model\.embeddings\.token_embedding\.weight$", "token_embedding.weight"),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm", "ln_final"),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm1\b", ".ln_1"),
    (r"\.layer_norm2\b", ".ln_2"),
    (r"\.mlp\.fc1\b", ".mlp.c_fc"),
    (r"\.mlp\.fc2\b", ".mlp.c_proj"),
    (r"\.self_attn\.out_proj\b", ".attn.out_proj"),
    (r"^text_projection\.weight$", "text_projection"),
)


def unet_name(path: str, config: Mapping[str, Any]) -> str:
    """Return the original name of a UNet's layer.

    Args:
        path: diffusers' path, for example `down_blocks.1.attentions.0.proj_in`.
        config: the UNet's config; its block types and `layers_per_block` place the blocks.
    """
    for ours, theirs in _UNET_ENDS.items():
        if path == ours or path.startswith(f"{ours}."):
            return theirs + path.removeprefix(ours)
    if found := re.match(r"mid_block\.(resnets|attentions)\.(\d+)(.*)", path):
        kind, place, rest = found.groups()
        block = 2 * int(place) + (kind == "attentions")
        return f"middle_block.{block}{_inner(kind, rest)}"
    kinds = "resnets|attentions|downsamplers|upsamplers"
    found = re.match(rf"(down|up)_blocks\.(\d+)\.({kinds})\.(\d+)(.*)", path)
    if not found:
        return path
    way, level, kind, place, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    span = int(config["layers_per_block"]) + 1
    if kind == "downsamplers":
        return f"input_blocks.{(level + 1) * span}.0{rest.replace('.conv', '.op', 1)}"
    if kind == "upsamplers":
        attends = "CrossAttn" in config["up_block_types"][level]
        return f"output_blocks.{level * span + span - 1}.{2 if attends else 1}{rest}"
    block = level * span + place + (way == "down")
    side = "input" if way == "down" else "output"
    return f"{side}_blocks.{block}.{int(kind == 'attentions')}{_inner(kind, rest)}"


def vae_name(path: str, config: Mapping[str, Any]) -> str:
    """Return the original name of a VAE's layer; its attention is made of 1 x 1 convolutions there."""
    last = len(config["block_out_channels"]) - 1
    path = re.sub(r"^(encoder|decoder)\.conv_norm_out", r"\1.norm_out", path)
    path = path.replace(".conv_shortcut", ".nin_shortcut")
    path = re.sub(r"^encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.down.\1.block.", path)
    path = re.sub(r"^encoder\.down_blocks\.(\d+)\.downsamplers\.0", r"encoder.down.\1.downsample", path)
    path = re.sub(r"^decoder\.up_blocks\.(\d+)", lambda at: f"decoder.up.{last - int(at[1])}", path)
    path = path.replace(".upsamplers.0", ".upsample")
    path = re.sub(r"^(decoder\.up\.\d+)\.resnets\.", r"\1.block.", path)
    path = re.sub(r"\.mid_block\.resnets\.(\d+)", lambda at: f".mid.block_{int(at[1]) + 1}", path)
    found = re.match(r"(.*)\.mid_block\.attentions\.0\.(.*)", path)
    if not found:
        return path
    rest = found[2]
    for ours, theirs in _VAE_ATTENTION.items():
        rest = re.sub(rf"^{re.escape(ours)}\b", theirs, rest)
    return f"{found[1]}.mid.attn_1.{rest}"


def open_clip_name(path: str) -> str:
    """Return open_clip's name of a tensor of a CLIPTextModelWithProjection.

    Queries, keys and values are one tensor there: `q_proj.weight` gives `in_proj_weight`, as do the others.
    """
    for ours, theirs in _OPEN_CLIP:
        path = re.sub(ours, theirs, path)
    return re.sub(r"\.self_attn\.[qkv]_proj\.(weight|bias)$", r".attn.in_proj_\1", path)


def _inner(kind: str, rest: str) -> str:
    """Return the original name of a part of a resnet; attentions have the same names in both layouts."""
    if kind == "attentions":
        return rest
    head, _, tail = rest.removeprefix(".").partition(".")
    return f".{_RESNET.get(head, head)}{'.' if tail else ''}{tail}" if head else ""

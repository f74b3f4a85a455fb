"""IP-Adapters (Ye et al. 2023): a UNet attends to a picture as well, beside the words.

Format: `ip-adapter.safetensors` with `image_proj.*` (the picture's embedding to a few tokens) and
`ip_adapter.<n>.to_{k,v}_ip.weight` (keys and values of the n-th attention of the UNet, in the order of its
processors; cross-attentions have odd n), beside the folder `image_encoder/`, a CLIPVisionModelWithProjection.
The variant "plus", whose projection is a resampler over all patches, is told by its keys.

Nothing of the base is touched: the attention processors are exchanged for the time of a `attending` block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.embeddings import ImageProjection, IPAdapterPlusImageProjection
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection

from charaforge.diffusion.bundle import Bundle
from charaforge.errors import ModelFileError

ENCODER = "image_encoder"
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_CROSS = "attn2.processor"


@dataclass(frozen=True)
class IPAdapter:
    """A loaded adapter.

    Attributes:
        name: what it is called.
        encoder: looks at the picture.
        projection: makes tokens (B, n, D) of what the encoder gives.
        keys: for every cross-attention, in order: (inner, D) weight of the keys.
        values: the same of the values.
    """

    name: str
    encoder: CLIPVisionModelWithProjection
    projection: nn.Module
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @torch.inference_mode()
    def tokens(self, image: Image.Image) -> tuple[Tensor, Tensor]:
        """Return the tokens of a picture and those of no picture, each (1, n, D)."""
        config: Any = self.encoder.config
        side = int(config.image_size)
        pixels = prepare(image, side).to(self.encoder.device, self.encoder.dtype)
        if isinstance(self.projection, IPAdapterPlusImageProjection):
            seen, nothing = (
                self.encoder(one, output_hidden_states=True).hidden_states[-2]
                for one in (pixels, torch.zeros_like(pixels))
            )
        else:
            seen = self.encoder(pixels).image_embeds
            nothing = torch.zeros_like(seen)
        return self.projection(seen), self.projection(nothing)


@dataclass(frozen=True)
class ActiveReference:
    """A reference picture at work.

    Attributes:
        adapter: whose keys and values are used.
        tokens: (N, n, D) of the pictures, N as the UNet's batch (those of no picture first, with guidance).
        weight: how strongly it acts.
    """

    adapter: IPAdapter
    tokens: Tensor
    weight: float


def prepare(image: Image.Image, side: int) -> Tensor:
    """Bring the shorter side to `side` (bicubic), cut the middle, normalise as CLIP does: (1, 3, s, s)."""
    scale = side / min(image.size)
    size = max(side, round(image.width * scale)), max(side, round(image.height * scale))
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    unit = np.asarray(resized.crop((left, top, left + side, top + side)), np.float32) / 255
    normalised = (unit - np.asarray(CLIP_MEAN, np.float32)) / np.asarray(CLIP_STD, np.float32)
    return torch.from_numpy(np.ascontiguousarray(normalised.transpose(2, 0, 1)))[None]


@contextmanager
def attending(bundle: Bundle, references: Sequence[ActiveReference]) -> Iterator[None]:
    """Let the UNet attend to the references within the block; without any, nothing is exchanged."""
    acting = [reference for reference in references if reference.weight != 0.0]
    if not acting:
        yield
        return
    before: dict[str, Any] = dict(bundle.unet.attn_processors)
    crossing = [name for name in before if name.endswith(_CROSS)]
    exchanged = dict(before)
    for place, name in enumerate(crossing):
        exchanged[name] = _ReferenceAttention([_seen(reference, place) for reference in acting])
    bundle.unet.set_attn_processor(exchanged)
    try:
        yield
    finally:
        bundle.unet.set_attn_processor(before)


def load_ip_adapter(path: Path, name: str, bundle: Bundle) -> IPAdapter:
    """Load an adapter for a base, on its device and in its type.

    Args:
        path: a folder with one safetensors file and `image_encoder/`, or such a file beside that folder.
        name: what it is called in messages.
        bundle: the base that it is used with.

    Raises:
        ModelFileError: a part is missing or broken, or it was made for another base.
    """
    file, encoder_folder = _parts(path, name)
    try:
        weights = load_file(file)
        encoder = CLIPVisionModelWithProjection.from_pretrained(
            encoder_folder, dtype=bundle.dtype, use_safetensors=True, local_files_only=True
        )
        projection = bundle.unet._convert_ip_adapter_image_proj_to_diffusers(_under(weights, "image_proj."))
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelFileError(
            f"the IP-Adapter {name!r} cannot be loaded: {error}", "fetch its files again"
        ) from error
    if not isinstance(projection, ImageProjection | IPAdapterPlusImageProjection):
        raise ModelFileError(
            f"the IP-Adapter {name!r} is of the kind {type(projection).__name__}", "plain and plus ones work"
        )
    keys, values = (_per_attention(weights, kind, name, bundle) for kind in ("to_k_ip", "to_v_ip"))
    for module in (encoder, projection):
        module.requires_grad_(False).eval().to(bundle.device, bundle.dtype)
    return IPAdapter(name, encoder, projection, keys, values)


class _ReferenceAttention:
    """An attention processor: attention to the words, plus that to each reference times its weight."""

    def __init__(self, seen: Sequence[tuple[Tensor, Tensor, float]]) -> None:
        self._seen = seen  # keys (N, n, inner), values likewise, weight

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        def heads(flat: Tensor) -> Tensor:
            return torch.unflatten(flat, -1, (attn.heads, -1)).transpose(1, 2)

        query = heads(attn.to_q(hidden_states))
        key, value = heads(attn.to_k(encoder_hidden_states)), heads(attn.to_v(encoder_hidden_states))
        told = F.scaled_dot_product_attention(query, key, value)
        for keys, values, weight in self._seen:
            told = told + weight * F.scaled_dot_product_attention(query, heads(keys), heads(values))
        output: Tensor = attn.to_out[1](attn.to_out[0](told.transpose(1, 2).flatten(2)))
        return torch.div(output, attn.rescale_output_factor)


def _seen(reference: ActiveReference, place: int) -> tuple[Tensor, Tensor, float]:
    """Return keys, values and weight of a reference for the cross-attention at `place`."""
    key, value = reference.adapter.keys[place], reference.adapter.values[place]
    return reference.tokens @ key.T, reference.tokens @ value.T, reference.weight


def _parts(path: Path, name: str) -> tuple[Path, Path]:
    """Return the adapter's file and the folder of its image encoder."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    home = path if path.is_dir() else path.parent
    if len(files) != 1:
        raise ModelFileError(
            f"the IP-Adapter {name!r} has {len(files)} safetensors files", "leave one in its folder"
        )
    if not (home / ENCODER / "config.json").is_file():
        raise ModelFileError(
            f"the IP-Adapter {name!r} lacks its image encoder", f"put it into {home / ENCODER}"
        )
    return files[0], home / ENCODER


def _under(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def _per_attention(weights: dict[str, Tensor], kind: str, name: str, bundle: Bundle) -> tuple[Tensor, ...]:
    """Return the weights of a kind for every cross-attention of the UNet, in order."""
    modules = dict(bundle.unet.named_modules())
    crossing = [path for path in bundle.unet.attn_processors if path.endswith(_CROSS)]
    found = []
    for place, path in enumerate(crossing):
        weight = weights.get(f"ip_adapter.{2 * place + 1}.{kind}.weight")
        attention: Any = modules[path.removesuffix(".processor")]
        asked = (attention.inner_dim, attention.cross_attention_dim)
        if weight is None or tuple(weight.shape) != asked:
            has = "none" if weight is None else f"one of the shape {tuple(weight.shape)}"
            raise ModelFileError(
                f"the IP-Adapter {name!r} was made for another base than {bundle.name!r}: the attention "
                f"{path} needs a {kind} of {asked}, it has {has}",
                "choose an IP-Adapter made for this base",
            )
        found.append(weight.to(bundle.device, bundle.dtype))
    return tuple(found)

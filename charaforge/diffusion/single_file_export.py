"""Writes a model as one safetensors file in the original layout, which most programs read.

A model that has not the published shapes carries its configs and tokenizers in the header, so that our loader
reads it without a folder beside it; other programs know the full-size shapes only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.model_configs import HEADER_KEY, kept_shapes, tokenizer_files
from charaforge.diffusion.original_layout import open_clip_name, unet_name, vae_name
from charaforge.diffusion.single_file_kind import FIRST_ENCODER, SECOND_ENCODER, UNET, VAE
from charaforge.warehouse.atomic import replacing


def write_single_file(path: Path, bundle: Bundle, card: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Write a bundle as one file, whole or not at all, in the type of its weights.

    Args:
        path: where to, ending in `.safetensors`.
        bundle: what to write; LoRAs that are attached to it stay out.
        card: of the model; what renderers need of it (sizes, upscaler, licence) goes into the header.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in original_tensors(bundle)}
    zero_snr = bool(bundle.scheduler_config.get("rescale_betas_zero_snr"))
    if bundle.schedule.prediction == "v_prediction":
        tensors |= {key: torch.empty(0) for key in ("v_pred", "ztsnr")[: 1 + zero_snr]}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt", **_header(bundle), **_told(card)})


def original_tensors(bundle: Bundle) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of a bundle under its key in the original layout."""
    for key, value in bundle.unet.state_dict().items():
        yield UNET + unet_name(key, bundle.unet.config), value
    for key, value in bundle.vae.state_dict().items():
        yield VAE + vae_name(key, bundle.vae.config), _as_convolution(key, value)
    for key, value in bundle.text_encoders[0].state_dict().items():
        yield f"{FIRST_ENCODER[bundle.family]}text_model.{key.removeprefix('text_model.')}", value
    for encoder in bundle.text_encoders[1:]:
        for key, value in _joined(encoder.state_dict()):
            yield SECOND_ENCODER + key, value


def _as_convolution(key: str, value: Tensor) -> Tensor:
    """Return the weights of the VAE's attention as those of 1 x 1 convolutions."""
    attends = ".attentions." in key and ".to_" in key and value.ndim == 2
    return value[:, :, None, None] if attends else value


def _joined(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a text encoder as open_clip names and joins them."""
    for key, value in state.items():
        if ".q_proj." in key:
            parts = [state[key.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
            yield open_clip_name(key), torch.cat(parts)
        elif key == "text_projection.weight":
            yield open_clip_name(key), value.T
        elif ".k_proj." not in key and ".v_proj." not in key:
            yield open_clip_name(key), value


def _header(bundle: Bundle) -> dict[str, str]:
    prediction = "v" if bundle.schedule.prediction == "v_prediction" else "epsilon"
    version = "stable-diffusion-xl-v1-base" if bundle.family == "sdxl" else "stable-diffusion-v1"
    told = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": version,
        "modelspec.implementation": "sgm" if bundle.family == "sdxl" else "ldm",
        "modelspec.prediction_type": prediction,
        "modelspec.title": bundle.name,
    }
    return told if _is_published(bundle) else {**told, HEADER_KEY: json.dumps(_carried(bundle))}


def _told(card: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(card[key]) for key in _CARD_KEYS if key in card}


def _is_published(bundle: Bundle) -> bool:
    """Return whether the UNet and the VAE have the published shapes, and the words their vocabulary."""
    shapes = kept_shapes(bundle.family)
    pairs: tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...] = (
        (bundle.unet.config, shapes["unet"]),
        (bundle.vae.config, shapes["vae"]),
        *(
            (e.config.to_dict(), s)
            for e, s in zip(bundle.text_encoders, shapes["text_encoders"], strict=True)
        ),
    )
    free = {"_class_name", "architectures", "sample_size", "model_type", "pad_token_id", "eos_token_id"}
    return all(
        _plain(mine.get(key)) == _plain(value)
        for mine, theirs in pairs
        for key, value in theirs.items()
        if key not in free
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _carried(bundle: Bundle) -> dict[str, Any]:
    encoders = [encoder.config.to_dict() for encoder in bundle.text_encoders]
    kept = [{key: value for key, value in told.items() if key in _ENCODER_KEYS} for told in encoders]
    return {
        "family": bundle.family,
        "unet": _shape(bundle.unet.config),
        "vae": _shape(bundle.vae.config),
        "text_encoders": kept,
        "scheduler": dict(bundle.scheduler_config),
        "force_zeros_for_empty_prompt": bundle.zero_empty,
        "tokenizers": [tokenizer_files(tokenizer) for tokenizer in bundle.tokenizers],
    }


def _shape(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a diffusers config without the path that its model once had."""
    return {key: value for key, value in config.items() if key != "_name_or_path"}


_CARD_KEYS = ("native_side", "max_side", "upscaler", "license")
_ENCODER_KEYS = frozenset(kept_shapes("sd15")["text_encoders"][0]) - {"architectures", "model_type"}

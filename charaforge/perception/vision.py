"""Image encoders of the kinds CLIP, DINOv2 and SigLIP (1 and 2), from local folders in transformers' format.

A folder holds `config.json`, `model.safetensors` and, where the pictures' preparation differs from the usual
of its kind, `preprocessor_config.json` (size, image_mean, image_std, resample). SigLIP2's files of fixed
resolution call themselves "siglip"; its NaFlex ones ("siglip2") take patches of any aspect and are refused.
The whole picture is looked at: laid on white and squashed to the square; never cropped, crops cut off heads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors import SafetensorError

from charaforge.errors import ModelFileError
from charaforge.perception.batches import batches
from charaforge.perception.ccip import CLIP_MEAN, CLIP_STD
from charaforge.perception.flatten import on_white

_KINDS = {
    "clip": "clip",
    "clip_vision_model": "clip",
    "dinov2": "dinov2",
    "dinov2_with_registers": "dinov2",
    "siglip": "siglip",
    "siglip_vision_model": "siglip",
}
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_STATISTICS = {"clip": (CLIP_MEAN, CLIP_STD), "dinov2": _IMAGENET, "siglip": ((0.5,) * 3, (0.5,) * 3)}
_BICUBIC = int(Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class _Preparation:
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resample: Image.Resampling


class VisionEncoder:
    """An image encoder, opened once.

    Args:
        folder: holds its files.

    Attributes:
        kind: "clip", "dinov2" or "siglip".

    Raises:
        ModelFileError: a file is missing or broken, or the model is of another kind.
    """

    def __init__(self, folder: Path) -> None:
        config = _read(folder / "config.json")
        told = str(config.get("model_type", ""))
        if told not in _KINDS:
            raise ModelFileError(
                f"{folder} holds a model of type {told!r}", f"image encoders are {', '.join(sorted(_KINDS))}"
            )
        self.kind = _KINDS[told]
        self._model = _load(folder, told)
        self._preparation = _preparation(folder, self.kind, config)

    @property
    def preproc_id(self) -> str:
        """How pictures are prepared."""
        return f"{self.kind}-squash-{self._preparation.side}"

    @torch.inference_mode()
    def embed(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Embeddings float32 (N, D), L2-normalised: their products are cosines."""
        parts = []
        for group in batches(images):
            pixels = np.stack([_prepare(image, self._preparation) for image in group])
            parts.append(self._embed(torch.from_numpy(pixels)).float().numpy())
        raw = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
        return np.asarray(raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12), np.float32)

    def _embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """CLIP's projection; SigLIP's attention pooling; DINOv2's class token after the last norm."""
        output = self._model(pixel_values=pixels)
        if self.kind == "clip":
            return torch.as_tensor(output.image_embeds)
        if self.kind == "siglip":
            return torch.as_tensor(output.pooler_output)
        return torch.as_tensor(output.last_hidden_state[:, 0])


def _load(folder: Path, model_type: str) -> Any:
    import transformers

    classes = {
        "clip": "CLIPVisionModelWithProjection",
        "clip_vision_model": "CLIPVisionModelWithProjection",
        "dinov2": "Dinov2Model",
        "dinov2_with_registers": "Dinov2WithRegistersModel",
        "siglip": "SiglipVisionModel",
        "siglip_vision_model": "SiglipVisionModel",
    }
    try:
        model = getattr(transformers, classes[model_type]).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelFileError(
            f"the image encoder in {folder} cannot be opened: {error}",
            "it needs config.json and model.safetensors in transformers' format",
        ) from error
    return model.requires_grad_(False).eval()


def _preparation(folder: Path, kind: str, config: dict[str, Any]) -> _Preparation:
    inner = config.get("vision_config", config)
    side = int(inner.get("image_size", 224))
    path = folder / "preprocessor_config.json"
    told = _read(path) if path.is_file() else {}
    size = told.get("crop_size") or told.get("size")
    if isinstance(size, dict) and isinstance(size.get("height"), int):
        side = int(size["height"])
    mean, std = _STATISTICS[kind]
    return _Preparation(
        side,
        tuple(told.get("image_mean", mean)),
        tuple(told.get("image_std", std)),
        Image.Resampling(int(told.get("resample", _BICUBIC))),
    )


def _prepare(image: Image.Image, how: _Preparation) -> npt.NDArray[np.float32]:
    """Float32 (3, side, side)."""
    squashed = on_white(image).resize((how.side, how.side), how.resample)
    unit = np.asarray(squashed, np.float32) / 255
    normalised = (unit - np.asarray(how.mean, np.float32)) / np.asarray(how.std, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}", "fetch the model again") from error
    except ValueError as error:
        raise ModelFileError(f"{path} is not a JSON object", "fetch the model again") from error

"""A safety checker: CLIP's view of a picture, compared with concepts that shall not be shown.

Format of Stable Diffusion's safety checker: `config.json` (CLIPConfig), `model.safetensors` with the vision
model, its projection, `concept_embeds` (n, D) with thresholds `concept_embeds_weights` (n,), and the same for
`special_care_embeds`: where one of these is near, the thresholds of the others fall by 0.01. Beside them
`concepts.json`, a list of n names, may say what the concepts are. The whole picture is looked at, squashed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPConfig, CLIPVisionModelWithProjection

from charaforge.errors import ModelFileError
from charaforge.perception.ccip import prepare

_CARE = 0.01
_TENSORS = (
    "concept_embeds",
    "concept_embeds_weights",
    "special_care_embeds",
    "special_care_embeds_weights",
)


@dataclass(frozen=True)
class Concept:
    """A concept that was seen, and by how much its similarity exceeds the threshold."""

    name: str
    excess: float


class SafetyChecker:
    """A safety checker, opened once."""

    def __init__(self, folder: Path) -> None:
        """Open the checker in a folder.

        Raises:
            ModelFileError: a file is missing or broken.
        """
        try:
            config: Any = CLIPConfig.from_pretrained(folder, local_files_only=True)
            config.vision_config.projection_dim = config.projection_dim
            state = load_file(folder / "model.safetensors")
            self._concepts = {name: state.pop(name).float() for name in _TENSORS}
            self._model = CLIPVisionModelWithProjection(config.vision_config)
            self._model.load_state_dict(_renamed(state, self._model.state_dict()))
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise ModelFileError(
                f"the safety checker in {folder} cannot be opened: {error}",
                "it needs config.json and model.safetensors in the format of Stable Diffusion's checker",
            ) from error
        self._model.requires_grad_(False).eval()
        self._side = int(config.vision_config.image_size)
        self._names = _names(folder / "concepts.json", len(self._concepts["concept_embeds"]))

    @torch.inference_mode()
    def check(self, image: Image.Image) -> list[Concept]:
        """Return the concepts that a picture shows, the clearest first; nothing where it may be shown."""
        pixels = torch.from_numpy(prepare(image, self._side))[None]
        seen: Tensor = self._model(pixels).image_embeds
        care = _excess(seen, self._concepts, "special_care_embeds")
        excess = _excess(seen, self._concepts, "concept_embeds")
        if (care > 0).any():
            excess = excess + _CARE
        found = [Concept(name, float(by)) for name, by in zip(self._names, excess, strict=True) if by > 0]
        return sorted(found, key=lambda concept: -concept.excess)


def _excess(seen: Tensor, concepts: dict[str, Tensor], kind: str) -> Tensor:
    """Return by how much the cosine to each concept of a kind exceeds its threshold, (n,)."""
    cosine = torch.cosine_similarity(seen, concepts[kind], dim=-1)
    return cosine - concepts[f"{kind}_weights"]


def _renamed(state: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under the names that the model has, without the buffers that it makes itself."""
    found = {}
    for key, value in state.items():
        names = [key, key.removeprefix("vision_model."), f"vision_model.{key}"]
        names.append(key.removeprefix("vision_model.").removeprefix("vision_model."))
        known = next((name for name in names if name in expected), None)
        if known is not None:
            found[known] = value.float()
        elif not key.endswith("position_ids"):
            raise KeyError(key)
    return found


def _names(path: Path, count: int) -> list[str]:
    if not path.is_file():
        return [f"concept {number}" for number in range(1, count + 1)]
    try:
        names = [str(name) for name in json.loads(path.read_text(encoding="utf-8"))]
    except ValueError as error:
        raise ModelFileError(f"{path} is no JSON list of names", "restore it or delete it") from error
    if len(names) != count:
        raise ModelFileError(f"{path} has {len(names)} names for {count} concepts", "one name per concept")
    return names

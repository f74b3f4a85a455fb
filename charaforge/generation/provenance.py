"""What a picture says about how it was made.

The *recipe* is all that decides the pixels: request, weights, versions. It goes into the PNG, so that equal
work gives equal files. The *run* is what else is worth knowing (batch size, threads, device); it goes into
the sidecar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from PIL import Image

from charaforge import __version__
from charaforge.generation.lora_shelf import ActiveLora
from charaforge.generation.models import LoadedBase, LoadedUpscaler
from charaforge.generation.sizes import RenderSize
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.infotext import infotext

FORMAT = 1
PACKAGES = ("torch", "diffusers", "transformers", "tokenizers", "peft", "numpy", "pillow", "onnxruntime")


@dataclass(frozen=True)
class GeneratedImage:
    """One picture.

    Attributes:
        image: RGB, of exactly the size that was asked for.
        request: what was asked for: one picture, with its seed; the prompts as they were rendered.
        recipe: what decides the pixels, as JSON values; it stands in the PNG.
        run: how it was rendered, as JSON values; it stands in the sidecar only.
        parameters: A1111's text about it.
    """

    image: Image.Image
    request: GenerationRequest
    recipe: dict[str, Any]
    run: dict[str, Any]
    parameters: str

    @property
    def provenance(self) -> dict[str, Any]:
        """Recipe and run in one."""
        return {**self.recipe, "run": self.run}


@dataclass(frozen=True)
class Setting:
    """What the pictures of one micro-batch have in common.

    Attributes:
        base: the base model.
        loras: the LoRAs that act.
        size: what the diffusion model renders.
        upscaler: what enlarges it, where something does.
    """

    base: LoadedBase
    loras: Sequence[ActiveLora]
    size: RenderSize
    upscaler: LoadedUpscaler | None


def describe_image(
    image: Image.Image, asked: GenerationRequest, rendered: GenerationRequest, setting: Setting, batch: int
) -> GeneratedImage:
    """Put a picture together with its provenance.

    Args:
        image: the finished picture.
        asked: the request for this picture, with its seed.
        rendered: the same with its placeholders filled.
        setting: models and sizes.
        batch: size of the micro-batch that it was rendered in.
    """
    bundle, enlarged = setting.base.bundle, setting.upscaler
    loras = {lora.use.name: lora for lora in setting.loras}
    recipe: dict[str, Any] = {
        "format": FORMAT,
        "request": asked.plain(),
        "rendered": {"prompt": rendered.prompt, "negative": rendered.negative},
        "model": {"name": bundle.name, "sha256": bundle.sha256},
        "loras": [{**lora.use.model_dump(), "sha256": lora.file.sha256} for lora in setting.loras],
        "native": {"width": setting.size.width, "height": setting.size.height},
        "upscaler": {"name": enlarged.name, "sha256": enlarged.sha256} if enlarged else None,
        "versions": _versions(),
    }
    hashes = {name: lora.file.tensors_sha256 for name, lora in loras.items()}
    run = {
        "micro_batch": batch,
        "device": bundle.device.type,
        "dtype": str(bundle.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
    return GeneratedImage(
        image, rendered, recipe, run, infotext(rendered, bundle.sha256, hashes, __version__)
    )


@cache
def _versions() -> dict[str, str]:
    return {"charaforge": __version__, **{name: version(name) for name in PACKAGES}}

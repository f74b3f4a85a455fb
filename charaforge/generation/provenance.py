"""What a picture says about how it was made.

The *recipe* is all that decides the pixels: request, weights, versions. It goes into the PNG, so that equal
work gives equal files. Input files stand in it by their content (`sha256:<hex>`), see `input_files`. The
*run* is what else is worth knowing (batch size, rung of the memory ladder, threads, device); it goes into the
sidecar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from PIL import Image

from charaforge import __version__
from charaforge.generation.lora_shelf import ActiveLora
from charaforge.generation.models import LoadedBase, LoadedUpscaler, LoadedVae
from charaforge.generation.sizes import RenderSize
from charaforge.generation.tools import LoadedTool
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.infotext import infotext

FORMAT = 2
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
    """What the pictures of one run have in common.

    Attributes:
        base: the base model.
        loras: the LoRAs that act.
        size: what the diffusion model renders.
        upscaler: what enlarges it, where something does.
        between: what enlarges the first of two passes, where a net does.
        controls: a ControlNet for each control of the request, None where its strength is 0.
        adapters: an IP-Adapter for each reference of the request, None where its weight is 0.
    """

    base: LoadedBase
    loras: Sequence[ActiveLora]
    size: RenderSize
    upscaler: LoadedUpscaler | None
    between: LoadedUpscaler | None = None
    controls: tuple[LoadedTool | None, ...] = ()
    adapters: tuple[LoadedTool | None, ...] = ()


@dataclass(frozen=True)
class Made:
    """A picture that is finished but not yet described.

    Attributes:
        image: the picture.
        asked: the request for it, with its seed and its files named by content.
        rendered: the same with wildcards, LoRA tags and placeholders resolved.
        tools: name -> sha256 of what else decided its pixels, a pose estimator for example.
        embeddings: the same of the textual inversions that its prompts name.
        micro_batch: size of the micro-batch that it was rendered in.
        rung: of the memory ladder.
    """

    image: Image.Image
    asked: GenerationRequest
    rendered: GenerationRequest
    micro_batch: int
    rung: int = 0
    tools: Mapping[str, str] = field(default_factory=dict)
    embeddings: Mapping[str, str] = field(default_factory=dict)


def describe_image(made: Made, setting: Setting) -> GeneratedImage:
    """Put a picture together with its provenance."""
    bundle = setting.base.bundle
    nets = [*setting.controls, *setting.adapters]
    recipe: dict[str, Any] = {
        "format": FORMAT,
        "request": made.asked.plain(),
        "rendered": {"prompt": made.rendered.prompt, "negative": made.rendered.negative},
        "model": {"name": bundle.name, "sha256": bundle.sha256},
        "vae": _named(setting.base.vae),
        "loras": [{**lora.use.model_dump(), "sha256": lora.file.sha256} for lora in setting.loras],
        "native": {"width": setting.size.width, "height": setting.size.height},
        "upscaler": _named(setting.upscaler),
        "hires_upscaler": _named(setting.between),
        "nets": {net.name: net.sha256 for net in nets if net is not None} | {**made.tools, **made.embeddings},
        "versions": versions(),
    }
    hashes = {lora.use.name: lora.file.tensors_sha256 for lora in setting.loras}
    run = {
        "micro_batch": made.micro_batch,
        "memory_rung": made.rung,
        "device": bundle.device.type,
        "dtype": str(bundle.dtype).removeprefix("torch."),
        **machine(),
    }
    text = infotext(made.rendered, bundle.sha256, hashes, __version__, made.embeddings)
    return GeneratedImage(made.image, made.rendered, recipe, run, text)


def machine() -> dict[str, Any]:
    """Return what of this process decides the last bits of a float."""
    return {
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


@cache
def versions() -> dict[str, str]:
    """Return the versions of all that decides pixels."""
    return {"charaforge": __version__, **{name: version(name) for name in PACKAGES}}


def _named(net: LoadedUpscaler | LoadedVae | None) -> dict[str, str] | None:
    return None if net is None else {"name": net.name, "sha256": net.sha256}

"""One micro-batch from prepared inputs to finished pictures: the passes, in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.controlnet import ActiveControl, map_tensor
from charaforge.diffusion.ip_adapter import ActiveReference
from charaforge.generation.canvas import Canvas
from charaforge.generation.denoise import OnStep, Start, denoise
from charaforge.generation.memory import only
from charaforge.generation.micro_batches import MicroBatch
from charaforge.generation.picture_inputs import PictureInputs
from charaforge.generation.pixels import decode, encode
from charaforge.generation.provenance import Setting
from charaforge.generation.seeds import first_noise, generators
from charaforge.generation.sizes import fit
from charaforge.generation.wording import Words, guide
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.inputs import LATENT_UPSCALE

TICKS = 1000
"""A whole picture in the progress that `paint` tells, whatever its passes are."""


@dataclass(frozen=True)
class Draft:
    """One picture that is to be rendered, in words.

    Attributes:
        asked: the request for it, with its seed.
        rendered: the same with its words settled.
        words: its encoded prompts.
    """

    asked: GenerationRequest
    rendered: GenerationRequest
    words: Words


@dataclass(frozen=True)
class Job(Draft):
    """A draft with what it is made from beside words.

    Attributes:
        inputs: files, read and made ready.
    """

    inputs: PictureInputs


def paint(setting: Setting, batch: MicroBatch[Job], rung: int, on_step: OnStep) -> Iterator[Image.Image]:
    """Render a micro-batch; yield the pictures that were asked for, of the size asked for, no padding.

    Args:
        setting: models and sizes.
        batch: the pictures.
        rung: of the memory ladder.
        on_step: told of (ticks done, TICKS).
    """
    first = batch.items[0].rendered
    if first.init is not None and first.init.denoise == 0.0:  # nothing is redrawn
        yield from (_canvas(job).original for job in batch.items)
        return
    latents = _Passes(setting, batch.padded, rung, on_step).run()
    bundle = setting.base.bundle
    with only(bundle, "vae", rung):
        for place, job in enumerate(batch.items):
            yield _finished(decode(bundle, latents[place : place + 1]), job, setting)


class _Passes:
    """The one or two denoising passes of a micro-batch."""

    def __init__(self, setting: Setting, jobs: Sequence[Job], rung: int, on_step: OnStep) -> None:
        self._setting = setting
        self._jobs = jobs
        self._requests = [job.rendered for job in jobs]
        self._rung = rung
        self._on_step = on_step
        self._bundle: Bundle = setting.base.bundle

    def run(self) -> Tensor:
        """Return the latents of the last pass, (B, C, h, w)."""
        size, hires = self._setting.size, self._requests[0].hires
        latents = self._pass(0, size.begun, self._requests[0].steps, self._start())
        if hires is None or size.first is None:
            return latents
        start = Start(self._enlarged(latents), hires.denoise)
        return self._pass(1, (size.width, size.height), hires.steps or self._requests[0].steps, start)

    def _pass(self, number: int, size: tuple[int, int], steps: int, start: Start | None) -> Tensor:
        """Denoise once, at a size (width, height)."""
        request = self._requests[0]
        passes = 2 if self._setting.size.first else 1
        draws = generators(self._requests)
        with only(self._bundle, "unet", self._rung):
            return denoise(
                self._bundle,
                guide=guide(self._bundle, [job.words for job in self._jobs], request.guidance_scale, size),
                noise=first_noise(self._requests, draws, self._shape(size)),
                draws=draws,
                sampler=request.scheduler,
                steps=steps,
                start=start,
                controls=self._controls(number),
                references=self._references(),
                on_step=lambda done, total: self._on_step(
                    round(TICKS * (number + done / total) / passes), TICKS
                ),
            )

    def _shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        factor = self._bundle.latent_factor
        return self._bundle.latent_channels, size[1] // factor, size[0] // factor

    def _start(self) -> Start | None:
        """Return what img2img and inpainting start from."""
        init = self._requests[0].init
        if init is None:
            return None
        canvases = [_canvas(job) for job in self._jobs]
        with only(self._bundle, "vae", self._rung):
            kept = torch.cat([encode(self._bundle, canvas.kept) for canvas in canvases])
            work = [encode(self._bundle, canvas.work) for canvas in canvases] if init.fill == "blur" else None
        latents = torch.cat(work) if work else kept
        masks = [canvas.latent_mask(self._bundle.latent_factor) for canvas in canvases]
        if masks[0] is None:
            return Start(latents, init.denoise)
        mask = torch.stack([torch.from_numpy(one)[None] for one in masks if one is not None]).to(latents)
        if init.fill == "noise":
            draws = [torch.Generator("cpu").manual_seed(request.seed ^ 1) for request in self._requests]
            noise = torch.stack([torch.randn(tuple(kept.shape[1:]), generator=draw) for draw in draws])
            latents = mask * noise.to(latents) + (1 - mask) * latents
        return Start(latents, init.denoise, mask, kept)

    def _enlarged(self, latents: Tensor) -> Tensor:
        """Return the latents of the first pass at the size of the second."""
        hires, size = self._requests[0].hires, self._setting.size
        if hires is None or hires.upscaler == LATENT_UPSCALE:
            _, height, width = self._shape((size.width, size.height))
            return F.interpolate(latents.float(), (height, width), mode="bilinear").to(latents.dtype)
        larger = []
        with only(self._bundle, "vae", self._rung):
            for place in range(len(latents)):
                image = decode(self._bundle, latents[place : place + 1])
                if self._setting.between is not None:
                    image = self._setting.between.net.upscale([image])[0]
                image = image.resize((size.width, size.height), Image.Resampling.LANCZOS)
                larger.append(encode(self._bundle, image))
        return torch.cat(larger)

    def _controls(self, number: int) -> list[ActiveControl]:
        asked = enumerate(zip(self._requests[0].controls, self._setting.controls, strict=True))
        return [
            ActiveControl(
                tool.net,
                map_tensor([job.inputs.maps[place][number] for job in self._jobs], self._bundle),
                control.strength,
                control.start,
                control.end,
            )
            for place, (control, tool) in asked
            if tool is not None
        ]

    def _references(self) -> list[ActiveReference]:
        found = []
        for place, (reference, tool) in enumerate(
            zip(self._requests[0].references, self._setting.adapters, strict=True)
        ):
            if tool is None:
                continue
            looked: dict[str, tuple[Tensor, Tensor]] = {}  # equal pictures are looked at once
            for job in self._jobs:
                file = _reference_file(job, place)
                if file not in looked:
                    looked[file] = tool.net.tokens(job.inputs.references[place])
            told = [looked[_reference_file(job, place)] for job in self._jobs]
            tokens = torch.cat([seen for seen, _ in told])
            if self._requests[0].guidance_scale != 1.0:
                tokens = torch.cat([*(nothing for _, nothing in told), tokens])
            found.append(ActiveReference(tool.net, tokens, reference.weight))
        return found


def _reference_file(job: Job, place: int) -> str:
    return job.inputs.names[job.rendered.references[place].image]


def _canvas(job: Job) -> Canvas:
    if job.inputs.canvas is None:
        raise ValueError("a request with a picture to start from has a canvas")
    return job.inputs.canvas


def _finished(image: Image.Image, job: Job, setting: Setting) -> Image.Image:
    """Bring a decoded picture to the size of what it fills, and put it in its place."""
    canvas = job.inputs.canvas
    size = (job.asked.width, job.asked.height) if canvas is None else canvas.box_size
    if setting.upscaler is not None and (size[0] > image.width or size[1] > image.height):
        image = setting.upscaler.net.upscale([image])[0]
    image = fit(image, *size)
    return image if canvas is None else canvas.finish(image)

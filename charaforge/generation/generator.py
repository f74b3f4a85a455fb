"""Renders requests: models by name, prompts and pictures one at a time, denoising in micro-batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from charaforge.diffusion.prompts import encode_prompt
from charaforge.generation.denoise import OnStep, decode, denoise
from charaforge.generation.micro_batches import MicroBatch, micro_batches
from charaforge.generation.models import ModelShelf
from charaforge.generation.provenance import GeneratedImage, Setting, describe_image
from charaforge.generation.sizes import fit, render_size
from charaforge.logs import get_logger
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.placeholders import fill_placeholders
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

logger = get_logger(__name__)

UPSCALER = "mini-upscaler"  # where a card names none


def _ignore(done: int, total: int) -> None:
    """Take no notice of progress."""


class Generator:
    """Renders pictures; it keeps its models between calls and is used by one thread at a time.

    Args:
        warehouse: where the models are.
        registry: finds them by name; by default that of the warehouse.
        device: where to render; by default a CUDA device where there is one, else the CPU.
    """

    def __init__(
        self, warehouse: Warehouse, registry: Registry | None = None, device: torch.device | str | None = None
    ) -> None:
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._models = ModelShelf(registry or Registry(warehouse), torch.device(chosen))

    def generate(self, request: GenerationRequest, on_step: OnStep = _ignore) -> list[GeneratedImage]:
        """Render all pictures of one request, see `generate_many`."""
        return list(self.generate_many([request], on_step))

    def generate_many(
        self, requests: Sequence[GenerationRequest], on_step: OnStep = _ignore
    ) -> Iterator[GeneratedImage]:
        """Render requests and yield their pictures in order.

        Neighbours that differ only in prompts and seeds are rendered together, so sort them if you can.

        Args:
            requests: what to render; a random seed is drawn first and recorded.
            on_step: called after every step with (steps done, steps in all), counted per picture; it stops
                the work by raising.

        Raises:
            UnknownNameError: a model or LoRA is not there.
            ModelFileError: a model or LoRA cannot be loaded, or does not fit.
            GenerationError: the model gave no usable picture.
        """
        singles = [single for request in requests for single in request.seeded().singles()]
        progress = _Progress(on_step, total=sum(single.steps for single in singles))
        for batch in micro_batches(singles):
            yield from self._render(batch, progress)
            progress.done += sum(single.steps for single in batch.requests)

    def _render(self, batch: MicroBatch, progress: _Progress) -> Iterator[GeneratedImage]:
        """Render one micro-batch and yield the pictures that were asked for, without the padding."""
        setting, rendered = self._prepare(batch)
        first = batch.requests[0]
        latents = denoise(
            setting.base.bundle,
            prompts=self._encode(setting, [request.prompt for request in rendered], batch.size),
            negatives=self._encode(setting, [request.negative for request in rendered], batch.size),
            seeds=[request.seed for request in batch.padded],
            width=setting.size.width,
            height=setting.size.height,
            sampler=first.scheduler,
            steps=first.steps,
            guidance=first.guidance,
            on_step=progress.of(len(batch.requests) * first.steps),
        )
        for place, (asked, done) in enumerate(zip(batch.requests, rendered, strict=True)):
            image = decode(setting.base.bundle, latents[place : place + 1])
            if setting.upscaler is not None:
                image = fit(setting.upscaler.net.upscale([image])[0], asked.width, asked.height)
            yield describe_image(image, asked, done, setting, batch.size)

    def _prepare(self, batch: MicroBatch) -> tuple[Setting, list[GenerationRequest]]:
        """Load what the batch needs, and fill its placeholders."""
        first = batch.requests[0]
        base = self._models.base(first.model)
        loras = base.loras.use(first.loras)
        size = render_size(first.width, first.height, base.card)
        upscaler = self._models.upscaler(str(base.card.get("upscaler", UPSCALER))) if size.enlarged else None
        values: dict[str, str] = {}
        for lora in reversed(loras):  # the first LoRA that knows a placeholder fills it
            values |= lora.file.placeholders
        rendered = [_filled(request, values) for request in batch.requests]
        return Setting(base, loras, size, upscaler), rendered

    def _encode(self, setting: Setting, prompts: Sequence[str], size: int) -> Tensor:
        """Return the hidden states of the prompts, (size, 77, D): each encoded alone, equal ones once."""
        states = {prompt: encode_prompt(setting.base.bundle, prompt) for prompt in dict.fromkeys(prompts)}
        stacked = [states[prompt] for prompt in prompts]
        return torch.cat(stacked + stacked[-1:] * (size - len(stacked)))


@dataclass
class _Progress:
    """Counts steps over all micro-batches."""

    report: OnStep
    total: int
    done: int = field(default=0)

    def of(self, share: int) -> OnStep:
        """Return what to call within a micro-batch that stands for `share` steps."""
        return lambda step, steps: self.report(self.done + share * step // steps, self.total)


def _filled(request: GenerationRequest, values: dict[str, str]) -> GenerationRequest:
    """Return the request with its placeholders filled or dropped, the latter with a warning."""
    prompt, lost = fill_placeholders(request.prompt, values)
    negative, lost_too = fill_placeholders(request.negative, values)
    for name in dict.fromkeys(lost + lost_too):
        logger.warning("[%s] is left out of the prompt: no LoRA of the request knows it", name)
    return request.model_copy(update={"prompt": prompt, "negative": negative})

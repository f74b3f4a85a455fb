"""Names in a request that nothing in the warehouse answers to: all of them told before anything is queued."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from charaforge.errors import CharaForgeError, UnknownNameError
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.inputs import LANCZOS, LATENT_UPSCALE
from charaforge.requests.prompts import settle
from charaforge.warehouse.registry import Registry


def unknown_names(
    request: GenerationRequest, registry: Registry, own_control: bool = False
) -> list[dict[str, Any]]:
    """Return a fault `{field, message, value}` for each name that is not known.

    Wildcards are tried as one seed draws them; what others draw is told by the job.

    Args:
        request: what was asked for, as the library reads it.
        registry: the models.
        own_control: whether its first control is that of the route, named by the field `control_model`.

    Raises:
        ModelFileError: what is named is there, but as a pickle or broken.
    """
    faults = []
    for field, kind, name in _names(request, own_control):
        try:
            registry.get(name, kind)
        except UnknownNameError as error:
            faults.append({"field": field, "message": error.sentence, "value": name})
    try:
        settled = settle(request.model_copy(update={"seed": 0}), registry.warehouse.wildcards)
        for use in settled.loras[len(request.loras) :]:
            registry.get(use.name, "lora")
    except CharaForgeError as error:
        faults.append({"field": "prompt", "message": error.sentence, "value": request.prompt[:80]})
    return faults


def _names(request: GenerationRequest, own_control: bool) -> Iterator[tuple[str, str, str]]:
    """Yield field, kind and name of everything that a request names."""
    yield "model", "base", request.model
    if request.vae is not None:
        yield "vae", "vae", request.vae
    for place, use in enumerate(request.loras):
        yield f"lora_ids.{place}", "lora", use.name
    if request.hires is not None and request.hires.upscaler not in (LATENT_UPSCALE, LANCZOS):
        yield "hires.upscaler", "upscaler", request.hires.upscaler
    for place, control in enumerate(request.controls):
        if control.model is not None:
            listed = f"controls.{place - own_control}.model"
            yield "control_model" if own_control and place == 0 else listed, "controlnet", control.model
    for place, reference in enumerate(request.references):
        if reference.model is not None:
            yield f"ip_adapter.{place}.model", "ipadapter", reference.model

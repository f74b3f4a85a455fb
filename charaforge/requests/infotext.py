"""A1111's `parameters` text: what image viewers and other tools read from a PNG.

Grammar as in A1111's `infotext_utils`: the prompt, a line `Negative prompt: …`, and one line of `Key: value`
pairs in the order of its `processing.create_infotext`; a value with a comma, a colon or a line end is written
as a JSON string. `infotext_reading` reads it back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from charaforge.requests.generation import GenerationRequest
from charaforge.requests.grammar_loras import lora_tag
from charaforge.requests.inputs import Hires, InitImage
from charaforge.requests.samplers import find_sampler

_FILLS = {"original": "", "noise": "latent noise", "blur": "fill"}


def infotext(
    request: GenerationRequest,
    model_hash: str,
    lora_hashes: Mapping[str, str],
    version: str,
    embedding_hashes: Mapping[str, str] | None = None,
) -> str:
    """Return the `parameters` text of one picture.

    Args:
        request: the request of that picture, settled; LoRAs are written into the prompt as
            `<lora:name:weight>`.
        model_hash: sha256 of the model's weights; its first 10 hex digits are written.
        lora_hashes: name -> sha256 of each LoRA; the first 12 hex digits are written.
        version: version of CharaForge.
        embedding_hashes: name -> sha256 of each textual inversion in the prompts, written as those of LoRAs.
    """
    used = "".join(f" {lora_tag(lora)}" for lora in request.loras)
    lines = [f"{request.prompt}{used}".strip()]
    if request.negative:
        lines.append(f"Negative prompt: {request.negative}")
    sampler = find_sampler(request.scheduler)
    width, height = _first_size(request)
    pairs = {
        "Steps": f"{request.steps}",
        "Sampler": sampler.solver.label,
        "Schedule type": sampler.schedule_label,
        "CFG scale": _number(request.guidance_scale),
        "Seed": f"{request.seed}",
        "Size": f"{width}x{height}",
        "Model hash": model_hash[:10],
        "Model": request.model,
        "VAE": request.vae or "",
        **_variation(request),
        **_denoising(request),
        "Clip skip": f"{request.clip_skip}" if request.clip_skip > 1 else "",
        "RNG": "CPU",
        **(_mask(request.init) if request.init is not None else {}),
        **(_hires(request, request.hires) if request.hires is not None else {}),
        "Lora hashes": _hashes(lora_hashes),
        "TI hashes": _hashes(embedding_hashes or {}),
        "Version": f"CharaForge {version}",
    }
    lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in pairs.items() if value))
    return "\n".join(lines)


def _hashes(sha256s: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {sha256[:12]}" for name, sha256 in sha256s.items())


def _first_size(request: GenerationRequest) -> tuple[int, int]:
    """Return what A1111 calls the size: with hires that of the first pass, in whole steps of 8 pixels."""
    scale = 1.0 if request.hires is None else request.hires.scale
    width, height = (max(8, round(side / scale / 8) * 8) for side in (request.width, request.height))
    return width, height


def _variation(request: GenerationRequest) -> dict[str, str]:
    varied = request.variation
    if varied is None or varied.strength == 0.0:
        return {}
    return {"Variation seed": f"{varied.seed}", "Variation seed strength": _number(varied.strength)}


def _denoising(request: GenerationRequest) -> dict[str, str]:
    redrawn = request.hires or request.init
    return {} if redrawn is None else {"Denoising strength": _number(redrawn.denoise)}


def _mask(init: InitImage) -> dict[str, str]:
    if init.mask is None:
        return {}
    area = {"Inpaint area": "Only masked", "Masked area padding": f"{init.padding}"}
    return {
        "Mask blur": f"{init.mask_blur}",
        "Masked content": _FILLS[init.fill],
        **(area if init.area == "masked" else {}),
    }


def _hires(request: GenerationRequest, hires: Hires) -> dict[str, str]:
    """Return what is said of the second pass; its size in pixels where the scale alone does not give it."""
    width, height = _first_size(request)
    exact = (width * hires.scale, height * hires.scale) == (request.width, request.height)
    return {
        "Hires upscale": _number(hires.scale),
        "Hires resize": "" if exact else f"{request.width}x{request.height}",
        "Hires steps": f"{hires.steps}" if hires.steps else "",
        "Hires upscaler": {"latent": "Latent", "lanczos": "Lanczos"}.get(hires.upscaler, hires.upscaler),
    }


def _number(number: float) -> str:
    return repr(float(number)).removesuffix(".0")


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(sign in value for sign in ",:\n") else value

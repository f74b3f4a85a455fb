"""A1111's `parameters` text: what image viewers and other tools read from a PNG.

Grammar as in A1111's `infotext_utils`: the prompt, a line `Negative prompt: …`, and one line of `Key: value`
pairs; a value with a comma, a colon or a line end is written as a JSON string.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from charaforge.requests.generation import GenerationRequest
from charaforge.requests.samplers import find_sampler


def infotext(
    request: GenerationRequest, model_hash: str, lora_hashes: Mapping[str, str], version: str
) -> str:
    """Return the `parameters` text of one picture.

    Args:
        request: the request of that picture; LoRAs are written into the prompt as `<lora:name:weight>`.
        model_hash: sha256 of the model's weights; its first 10 hex digits are written.
        lora_hashes: name -> sha256 of each LoRA; the first 12 hex digits are written.
        version: version of CharaForge.
    """
    used = "".join(f" <lora:{lora.name}:{lora.weight:g}>" for lora in request.loras)
    lines = [f"{request.prompt}{used}".strip()]
    if request.negative:
        lines.append(f"Negative prompt: {request.negative}")
    pairs = {
        "Steps": f"{request.steps}",
        "Sampler": find_sampler(request.scheduler).label,
        "CFG scale": f"{request.guidance:g}",
        "Seed": f"{request.seed}",
        "Size": f"{request.width}x{request.height}",
        "Model hash": model_hash[:10],
        "Model": request.model,
        "Lora hashes": ", ".join(f"{name}: {lora_hashes[name][:12]}" for name in lora_hashes),
        "RNG": "CPU",
        "Version": f"CharaForge {version}",
    }
    lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in pairs.items() if value))
    return "\n".join(lines)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(sign in value for sign in ",:\n") else value

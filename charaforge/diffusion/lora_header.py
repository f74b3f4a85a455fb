"""The header of a LoRA file: kohya's `ss_*` keys, modelspec 1.0.1, and our own.

`ss_base_model_version` decides where A1111 lists a LoRA: "sdxl_…" is SDXL, anything else with a header SD1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from charaforge.diffusion.parts import Family

PLACEHOLDER_KEY = "charaforge.placeholders"
BASE_VERSIONS: Mapping[Family, str] = {"sd15": "sd_v1", "sdxl": "sdxl_base_v1-0"}
ARCHITECTURES: Mapping[Family, str] = {
    "sd15": "stable-diffusion-v1/lora",
    "sdxl": "stable-diffusion-xl-v1-base/lora",
}
_IMPLEMENTATIONS: Mapping[Family, str] = {
    "sd15": "diffusers",
    "sdxl": "https://github.com/Stability-AI/generative-models",  # whose names of layers the file has
}


def describe(
    *,
    title: str,
    base_name: str,
    base_sha256: str,
    side: int,
    prediction: str,
    rank: int,
    alpha: float,
    placeholders: Mapping[str, str],
    family: Family = "sd15",
    module: str = "networks.lora",
    extra: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Return the header of a LoRA, in kohya's and modelspec's keys; every value is text.

    Args:
        title: name of the LoRA.
        base_name: registry name of the model that it was trained on.
        base_sha256: fingerprint of that model.
        side: training resolution in pixels.
        prediction: "epsilon" or "v_prediction".
        rank: rank of its layers.
        alpha: alpha of its layers.
        placeholders: what fills the placeholders of prompts; "character" is the trigger phrase.
        family: of that model.
        module: kohya's network module; "lycoris.kohya" for the kinds that are LyCORIS'.
        extra: further keys; values that are no text are written as JSON, None is left out.
    """
    told: dict[str, Any] = {
        "ss_base_model_version": BASE_VERSIONS[family],
        "ss_network_alpha": f"{alpha:g}",
        "ss_network_dim": f"{rank}",
        "ss_network_module": module,
        "ss_new_sd_model_hash": base_sha256,
        "ss_output_name": title,
        "ss_resolution": f"({side}, {side})",
        "ss_sd_model_hash": base_sha256[:10],
        "ss_sd_model_name": base_name,
        "ss_v2": "False",
        "modelspec.architecture": ARCHITECTURES[family],
        "modelspec.implementation": _IMPLEMENTATIONS[family],
        "modelspec.prediction_type": "v" if prediction == "v_prediction" else "epsilon",
        "modelspec.resolution": f"{side}x{side}",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.title": title,
        "modelspec.trigger_phrase": placeholders.get("character", ""),
        PLACEHOLDER_KEY: {name: text for name, text in placeholders.items() if text},
    }
    told |= dict(extra or {})
    return {key: as_text(value) for key, value in told.items() if value is not None}


def as_text(value: object) -> str:
    """Return a value of a header: text as it is, anything else as JSON with sorted keys."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)

"""What InvokeAI and SwarmUI say of a picture, as a request."""

from __future__ import annotations

import re
from typing import Any

from charaforge.requests.inspect_findings import MAX_READ, Findings, dicts

_WEIGHTED = re.compile(r"\(([^()]*)\)(\d*\.?\d+|\++|-+)")
_PLUS = re.compile(r"([^\W_][\w-]*?)(\++)(?=[\s,.)]|$)")
_INVOKE = {
    "steps": "steps",
    "cfg_scale": "guidance",
    "seed": "seed",
    "width": "width",
    "height": "height",
}
_INVOKE_SAID = frozenset(
    {"generation_mode", "positive_prompt", "negative_prompt", "scheduler", "model", "vae", "loras"}
    | {"clip_skip", "app_version", "rand_device", *_INVOKE}
)
_SWARM = {"steps": "steps", "cfgscale": "guidance", "seed": "seed", "width": "width", "height": "height"}
_SWARM_SAID = frozenset(
    {"prompt", "negativeprompt", "model", "sampler", "scheduler", "loras", "loraweights", "vae"}
    | {"clipstopatlayer", "variationseed", "variationseedstrength", "images", "aspectratio"}
    | {"swarm_version", "automaticvae", *_SWARM}
)
COMFY_SAMPLERS = {
    "euler_ancestral": "euler_a",
    "dpm_2": "dpm2",
    "uni_pc_bh2": "unipc",
    "dpmpp_sde_gpu": "dpmpp_sde",
    "dpmpp_2m_sde_gpu": "dpmpp_2m_sde",
    "dpmpp_3m_sde_gpu": "dpmpp_3m_sde",
}
"""ComfyUI's names, which SwarmUI uses too, that differ from ours."""
COMFY_SCHEDULES = {"ddim_uniform": "automatic"}


def read_invoke(said: dict[str, Any]) -> Findings:
    """Return what `invokeai_metadata` says."""
    findings = Findings()
    findings.put_prompts(_from_compel(said.get("positive_prompt")), _from_compel(said.get("negative_prompt")))
    for key, name in _INVOKE.items():
        findings.put(name, said.get(key))
    solver, karras = re.subn(r"_k$", "", str(said.get("scheduler") or ""))
    findings.put_sampler(solver.replace("kdpm_2", "dpm2"), "karras" if karras else "")
    findings.put_name("model", _model_name(said.get("model")))
    findings.put_name("vae", _model_name(said.get("vae")))
    skipped = said.get("clip_skip")
    if isinstance(skipped, int) and skipped:
        findings.put("clip_skip", skipped + 1)  # it counts the layers that are left out
    for one in dicts(said.get("loras")):
        findings.add_lora(_model_name(one.get("model") or one.get("lora")), one.get("weight", 1.0))
    if said.get("rand_device", "cpu") != "cpu":
        findings.miss(f"rand_device: {said['rand_device']}: the noise of this seed differs here")
    if "img2img" in str(said.get("generation_mode")) or "inpaint" in str(said.get("generation_mode")):
        findings.miss(f"generation_mode: {said['generation_mode']}: the picture it began with is not in it")
    _miss_others(findings, said, _INVOKE_SAID)
    return findings


def read_swarm(said: dict[str, Any]) -> Findings:
    """Return what `sui_image_params` says."""
    findings = Findings()
    findings.put_prompts(said.get("prompt"), said.get("negativeprompt"))
    for key, name in _SWARM.items():
        findings.put(name, said.get(key))
    sampler, schedule = str(said.get("sampler") or ""), str(said.get("scheduler") or "")
    findings.put_sampler(COMFY_SAMPLERS.get(sampler, sampler), COMFY_SCHEDULES.get(schedule, schedule))
    findings.put_name("model", said.get("model"))
    vae = said.get("vae")
    findings.put_name("vae", None if vae in ("None", "Automatic") else vae)
    names, weights = _listed(said.get("loras")), _listed(said.get("loraweights"))
    for place, name in enumerate(names):
        findings.add_lora(name, weights[place] if place < len(weights) else 1.0)
    layer = said.get("clipstopatlayer")
    findings.put("clip_skip", str(layer).lstrip("-") if layer is not None else None)
    if said.get("variationseed") is not None:
        strength = said.get("variationseedstrength", 0)
        findings.put("variation", {"seed": said["variationseed"], "strength": strength})
    _miss_others(findings, said, _SWARM_SAID)
    return findings


def _miss_others(findings: Findings, said: dict[str, Any], known: frozenset[str]) -> None:
    for key, value in said.items():
        if key not in known and value not in (None, "", False, [], {}):
            findings.miss(f"{key}: {str(value)[:80]}")


def _model_name(model: object) -> object:
    """Return the name of a model, which older versions write as it stands or as `model_name`."""
    return model.get("name") or model.get("model_name") if isinstance(model, dict) else model


def _listed(value: object) -> list[str]:
    """Return a list that may be written as one text."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return [str(part).strip() for part in parts if str(part).strip()]


def _from_compel(prompt: object) -> str:
    """Return a prompt with InvokeAI's weights, `word++` and `(words)1.3`, written as A1111 writes them."""

    def weighted(match: re.Match[str]) -> str:
        told = match[2]
        weight = 1.1 ** len(told) if "+" in told else 0.9 ** len(told) if "-" in told else float(told)
        return f"({match[1]}:{weight:g})"

    if not isinstance(prompt, str) or len(prompt) > MAX_READ:
        return str(prompt or "")
    text = _WEIGHTED.sub(weighted, prompt)
    return _PLUS.sub(lambda match: f"({match[1]}:{1.1 ** len(match[2]):g})", text)

"""A1111's text as a request; Forge, SD.Next and many others write it too."""

from __future__ import annotations

import re
from collections.abc import Callable

from charaforge.requests.infotext_reading import read_infotext
from charaforge.requests.inputs import LATENT_UPSCALE
from charaforge.requests.inspect_findings import Findings
from charaforge.requests.samplers import (
    EXPONENTIAL,
    KARRAS,
    OWN,
    UNIFORM,
    Sampler,
    find_a1111_sampler,
    find_sampler,
)

_SIZE = re.compile(r"\s*(\d{1,6})\s*[xX]\s*(\d{1,6})\s*")
_PLAIN = {"Steps": "steps", "CFG scale": "guidance", "Seed": "seed", "Clip skip": "clip_skip"}
_SAID = frozenset(  # of no effect, or done with elsewhere
    {"Model hash", "VAE hash", "Lora hashes", "TI hashes", "Hashes", "Version", "User", "Created Date"}
    | {"Hires steps", "Hires upscaler", "Hires resize", "Denoising strength", "Variation seed strength"}
    | {"Schedule type", "Size", "Init image hash", "Civitai resources", "Civitai metadata"}
)
_REGISTERED = re.compile(r"[A-Za-z0-9._-]{1,128}")
_BUILT_IN = frozenset(  # A1111's upscalers that look like names of a registry
    {"None", "Nearest", "Lanczos", "LDSR", "ScuNET", "ESRGAN_4x", "SwinIR_4x", "BSRGAN"}
)
_BEFORE_SCHEDULES = re.compile(r"v?1\.[0-8](\.\d+)?(\b.*)?")  # versions of A1111
_MASKED = ("Mask blur", "Masked content", "Inpaint area", "Masked area padding")


def read_a1111(text: str) -> Findings:
    """Return what an infotext says."""
    info = read_infotext(text)
    values = dict(info.values)
    findings = Findings()
    findings.put_prompts(info.prompt, info.negative)
    for key, name in _PLAIN.items():
        findings.put(name, values.pop(key, None))
    findings.put_sampler(values.pop("Sampler", ""), values.get("Schedule type", ""), _solvers(values))
    findings.put_name("model", values.pop("Model", None))
    vae = values.pop("VAE", "")
    findings.put_name("vae", "" if vae in ("None", "Automatic") else vae)
    _put_variation(findings, values)
    _put_size(findings, values)
    _put_noise(findings, values)
    for key, value in values.items():
        if key not in _SAID:
            findings.miss(f"{key}: {value}")
    return findings


def _solvers(values: dict[str, str]) -> Callable[[str, str], Sampler]:
    """Return how the version of A1111 that wrote the text names samplers."""
    if not _BEFORE_SCHEDULES.fullmatch(values.get("Version", "")):
        return find_a1111_sampler

    def before(name: str, schedule: str) -> Sampler:
        told = find_sampler(name, schedule)
        preset = told.schedule is OWN and told.solver.automatic in (KARRAS, EXPONENTIAL)
        return Sampler(told.solver, UNIFORM) if preset else find_a1111_sampler(name, schedule)

    return before


def _put_variation(findings: Findings, values: dict[str, str]) -> None:
    seed = values.pop("Variation seed", None)
    if seed is not None:
        strength = values.get("Variation seed strength", "0")
        findings.put("variation", {"seed": seed, "strength": strength})


def _put_size(findings: Findings, values: dict[str, str]) -> None:
    """Set the size and the second pass; A1111's size is that of the first."""
    size = _SIZE.fullmatch(values.get("Size", ""))
    scale = _positive(values.pop("Hires upscale", ""))
    resize = _SIZE.fullmatch(values.get("Hires resize", ""))
    denoise = values.get("Denoising strength")
    if size is None:
        return
    width, height = int(size[1]), int(size[2])
    if resize is not None:
        last = (int(resize[1]) or width, int(resize[2]) or height)
        scale = scale or max(last[0] / max(width, 1), last[1] / max(height, 1))
    elif scale is not None:
        last = (round(width * scale / 8) * 8, round(height * scale / 8) * 8)
    else:
        last = (width, height)
    findings.put("width", last[0])
    findings.put("height", last[1])
    if scale is not None:
        findings.first_size = (width, height)
        findings.put("hires", _hires(findings, scale, values, denoise))
    elif denoise is not None:
        findings.miss(f"Denoising strength: {denoise}: the picture it was drawn over is not in the file")
        masked = [f"{key}: {values.pop(key)}" for key in _MASKED if key in values]
        if masked:
            findings.miss(f"{', '.join(masked)}: the mask is not in the file")


def _hires(
    findings: Findings, scale: float, values: dict[str, str], denoise: str | None
) -> dict[str, object]:
    told: dict[str, object] = {"scale": scale, "upscaler": _upscaler(findings, values.get("Hires upscaler"))}
    if denoise is not None:
        told["denoise"] = denoise
    if "Hires steps" in values:
        told["steps"] = values["Hires steps"]
    return told


def _upscaler(findings: Findings, name: str | None) -> str:
    """Return what enlarges here; the nearest of ours where it is not the same."""
    known = {"latent": LATENT_UPSCALE, "lanczos": "lanczos"}
    if name is None or name.lower() in known:
        return known[(name or LATENT_UPSCALE).lower()]
    if _REGISTERED.fullmatch(name) and name not in _BUILT_IN:
        return name
    nearest = LATENT_UPSCALE if name.lower().startswith("latent") else "lanczos"
    findings.miss(f"Hires upscaler: {name}: not offered, {nearest} enlarges instead")
    return nearest


def _put_noise(findings: Findings, values: dict[str, str]) -> None:
    """Note where the noise was drawn in another way, so that the seed gives another picture here."""
    source = values.pop("RNG", "GPU")
    if source != "CPU" and "seed" in findings.told:
        findings.miss(f"RNG: {source}: the noise of this seed was drawn in another way, the picture differs")


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0.0 < number < 1000.0 else None

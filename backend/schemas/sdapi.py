"""A1111's bodies. A field that asks for something that is not offered here is a fault, never passed over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from charaforge.config.settings import default_model
from charaforge.errors import UsageError
from charaforge.requests.generation import MAX_SIDE, SIDE_STEP
from charaforge.requests.grammar_loras import slug
from charaforge.requests.inputs import LATENT_UPSCALE
from charaforge.requests.samplers import find_a1111_sampler

MAX_PICTURES = 16  # of one call
Side = Annotated[int, Field(ge=64, le=MAX_SIDE)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]

_FILLS = ("blur", "original", "noise")  # by A1111's number; its 3, "latent nothing", is not offered
_UPSCALERS = {"latent": LATENT_UPSCALE, "lanczos": "lanczos"}
_HASH = re.compile(r"\s*\[[0-9a-fA-F]{4,64}\]\s*$")
_OF_NO_EFFECT = frozenset(  # on the pixels, or alone
    {"save_images", "send_images", "do_not_save_samples", "do_not_save_grid", "include_init_images"}
    | {"override_settings_restore_afterwards", "force_task_id", "comments", "seed_enable_extras"}
    | {"refiner_switch_at", "image_cfg_scale", "script_args", "mask_blur_x", "mask_blur_y", "mask_round"}
)
_SAYING_NOTHING: tuple[Any, ...] = (None, "", False, 0, -1, [], {})
_DEFAULTS = {"s_noise": 1.0, "initial_noise_multiplier": 1.0, "script_name": "None"}
_SETTINGS = frozenset({"sd_model_checkpoint", "sd_vae", "CLIP_stop_at_last_layers"})
_SETTINGS_OF_NO_EFFECT = frozenset(
    {"samples_save", "grid_save", "return_grid", "samples_format", "live_previews_enable"}
)
FIELDS = {
    **{"negative": "negative_prompt", "guidance": "cfg_scale", "count": "batch_size"},
    **{"model": "override_settings.sd_model_checkpoint", "vae": "override_settings.sd_vae"},
    **{"clip_skip": "override_settings.CLIP_stop_at_last_layers", "scheduler": "sampler_name"},
    **{"hires.scale": "hr_scale", "hires.steps": "hr_second_pass_steps", "hires.upscaler": "hr_upscaler"},
    **{"hires.denoise": "denoising_strength", "init.denoise": "denoising_strength"},
    **{"init.mask_blur": "mask_blur", "init.padding": "inpaint_full_res_padding"},
    **{"variation.seed": "subseed", "variation.strength": "subseed_strength"},
}
"""Field of our request -> A1111's name for it, in messages."""


class Text2Image(BaseModel):
    """Body of /sdapi/v1/txt2img; `null` is the default everywhere."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, protected_namespaces=())

    prompt: str = ""
    negative_prompt: str = ""
    seed: int = -1
    subseed: int = -1
    subseed_strength: float = 0.0
    sampler_name: str = ""
    sampler_index: str = "Euler"
    scheduler: str = ""
    batch_size: int = Field(1, ge=1, le=MAX_PICTURES)
    n_iter: int = Field(1, ge=1, le=MAX_PICTURES)
    steps: int = 20
    cfg_scale: float = 7.0
    width: Side = 512
    height: Side = 512
    denoising_strength: Share = 0.5
    enable_hr: bool = False
    hr_scale: float = Field(2.0, ge=0.0, le=4.0)
    hr_upscaler: str = "Latent"
    hr_resize_x: int = Field(0, ge=0, le=MAX_SIDE)
    hr_resize_y: int = Field(0, ge=0, le=MAX_SIDE)
    hr_second_pass_steps: int = 0
    override_settings: dict[str, Any] = Field(default_factory=dict)
    alwayson_scripts: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _null_is_the_default(cls, value: Any) -> Any:
        given = value if isinstance(value, dict) else {}
        return {key: one for key, one in given.items() if one is not None} if given else value

    def request(self) -> dict[str, Any]:
        """Return the values of the library's request, unchecked.

        Raises:
            UsageError: a field asks for something that is not offered, or for an unknown sampler.
        """
        self._refuse()
        told: dict[str, Any] = {
            "prompt": self.prompt,
            "negative": self.negative_prompt,
            "model": self._model(),
            "vae": self._vae(),
            "clip_skip": self._setting("CLIP_stop_at_last_layers") or 1,
            "width": self.width,
            "height": self.height,
            "steps": self.steps,
            "seed": self.seed,
            "scheduler": find_a1111_sampler(self.sampler_name or self.sampler_index, self.scheduler).name,
            "guidance": self.cfg_scale,
            "count": self.batch_size * self.n_iter,
        }
        if self.subseed_strength:
            told["variation"] = {"seed": self.subseed, "strength": self.subseed_strength}
        return told | self.parts()

    def parts(self) -> dict[str, Any]:
        """Return the second pass, and the size that it ends with."""
        if not self.enable_hr:
            return {}
        wide, high = self._hires_size()
        scale = self.hr_scale
        if self.hr_resize_x or self.hr_resize_y:
            scale = max(wide / self.width, high / self.height)
        second = {
            "scale": scale,
            "steps": self.hr_second_pass_steps,
            "denoise": self.denoising_strength,
            "upscaler": _UPSCALERS.get(self.hr_upscaler.lower(), self.hr_upscaler),
        }
        return {"width": _stepped(wide), "height": _stepped(high), "hires": second}

    def _hires_size(self) -> tuple[float, float]:
        """Return width and height after the second pass, not yet rounded."""
        across, down = self.hr_resize_x, self.hr_resize_y
        if not across and not down:
            return self.width * self.hr_scale, self.height * self.hr_scale
        wide = across or self.width * down / self.height
        high = down or self.height * across / self.width
        if abs(wide / self.width - high / self.height) * max(self.width, self.height) > SIDE_STEP:
            raise UsageError(
                f"hr_resize_x {across} and hr_resize_y {down} have another aspect than {self.width} x "
                f"{self.height}",
                "give one of them, or both in the aspect of width and height",
            )
        return wide, high

    def _model(self) -> str:
        """Return the registry name of `sd_model_checkpoint`: "file.safetensors [hash]", or the name alone."""
        told = str(self._setting("sd_model_checkpoint") or "")
        return slug(_HASH.sub("", told)) if told else default_model()

    def _vae(self) -> str | None:
        told = str(self._setting("sd_vae") or "")
        return None if told in ("", "None", "Automatic") else slug(_HASH.sub("", told))

    def _setting(self, name: str) -> Any:
        return self.override_settings.get(name)

    def _refuse(self) -> None:
        """Refuse what asks for something that is not offered."""
        if self.alwayson_scripts:
            raise UsageError(
                f"alwayson_scripts {sorted(self.alwayson_scripts)[:10]} are not offered here",
                "ControlNet: POST /api/v1/controlnet/pose, depth, canny or lineart",
            )
        refused = [*self._refused_fields(), *self._refused_settings()]
        if refused:
            raise UsageError(f"not offered here: {'; '.join(refused[:20])}", "leave it out")

    def _refused_fields(self) -> Iterator[str]:
        for name, value in (self.model_extra or {}).items():
            without_pass = name.startswith("hr_") and not self.enable_hr
            silent = value in _SAYING_NOTHING or value == _DEFAULTS.get(name)
            if not (silent or without_pass or name in _OF_NO_EFFECT or self.is_idle(name, value)):
                yield f"{name[:60]} {str(value)[:60]!r}"

    def is_idle(self, name: str, value: Any) -> bool:
        """Return whether a field that is not known asks for what is done anyway."""
        same = {"hr_sampler_name": self.sampler_name or self.sampler_index, "hr_scheduler": self.scheduler}
        same |= {"hr_prompt": self.prompt, "hr_negative_prompt": self.negative_prompt}
        inherited = ("Use same sampler", "Use same scheduler", "Use same checkpoint")
        return (name in same and value == same[name]) or (name.startswith("hr_") and value in inherited)

    def _refused_settings(self) -> Iterator[str]:
        for name, value in self.override_settings.items():
            idle = name in _SETTINGS | _SETTINGS_OF_NO_EFFECT or (name == "randn_source" and value == "CPU")
            if not idle and value is not None:
                yield f"override_settings.{name[:60]} {str(value)[:60]!r}"


class Image2Image(Text2Image):
    """Body of /sdapi/v1/img2img."""

    init_images: list[str] = Field(min_length=1, max_length=1)
    mask: str = ""
    mask_blur: int = 4
    inpainting_fill: int = Field(0, ge=0, le=3)
    inpainting_mask_invert: int = Field(0, ge=0, le=1)
    inpaint_full_res: bool = True
    inpaint_full_res_padding: int = 0
    resize_mode: int = Field(0, ge=0, le=3)
    denoising_strength: Share = 0.75

    def parts(self) -> dict[str, Any]:
        """Return how the picture is redrawn; the service adds the files, `image` and `mask`.

        Raises:
            UsageError: `resize_mode` or `inpainting_fill` names a way that is not offered.
        """
        if self.resize_mode > 1:
            raise UsageError(
                f"resize_mode {self.resize_mode} is not offered", "give 0 (resize) or 1 (crop and resize)"
            )
        told: dict[str, Any] = {"denoise": self.denoising_strength}
        if self.mask:
            if self.inpainting_fill == len(_FILLS):
                raise UsageError(
                    "inpainting_fill 3 (latent nothing) is not offered",
                    "give 0 (fill), 1 (original) or 2 (latent noise)",
                )
            told |= {"mask_blur": self.mask_blur, "fill": _FILLS[self.inpainting_fill]}
            if self.inpaint_full_res:
                told |= {"area": "masked", "padding": self.inpaint_full_res_padding}
        return {"init": told}

    def is_idle(self, name: str, value: Any) -> bool:
        """Return whether a field that is not known asks for what is done anyway."""
        return name.startswith("hr_") or super().is_idle(name, value)


class PngInfo(BaseModel):
    """Body of /sdapi/v1/png-info."""

    image: str


def _stepped(side: float) -> int:
    return round(side / SIDE_STEP) * SIDE_STEP

"""A1111's bodies, as far as they mean something here; other fields are ignored, as its clients expect."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from charaforge.config.settings import default_model
from charaforge.errors import UsageError
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.inputs import Hires, InitImage, Variation
from charaforge.requests.samplers import DEFAULT_SAMPLER, find_sampler

MAX_PICTURES = 16  # of one call


class Text2Image(BaseModel):
    """Body of /sdapi/v1/txt2img."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, protected_namespaces=())

    prompt: str = ""
    negative_prompt: str = ""
    seed: int = -1
    subseed: int = -1
    subseed_strength: float = 0.0
    sampler_name: str | None = None
    sampler_index: str | None = None
    scheduler: str | None = None
    batch_size: int = Field(1, ge=1, le=MAX_PICTURES)
    n_iter: int = Field(1, ge=1, le=MAX_PICTURES)
    steps: int = 20
    cfg_scale: float = 7.0
    width: int = 512
    height: int = 512
    denoising_strength: float = 0.5
    enable_hr: bool = False
    hr_scale: float = 2.0
    hr_second_pass_steps: int = 0
    override_settings: dict[str, Any] = Field(default_factory=dict)
    alwayson_scripts: dict[str, Any] = Field(default_factory=dict)

    def request(self, init: InitImage | None = None) -> GenerationRequest:
        """Return the library's request.

        Raises:
            UsageError: it asks for a script, or an unknown sampler.
            pydantic.ValidationError: a value is out of range.
        """
        if self.alwayson_scripts:
            raise UsageError(
                f"alwayson_scripts {sorted(self.alwayson_scripts)} are not offered here",
                "ControlNet: POST /api/v1/controlnet/pose, depth, canny or lineart",
            )
        name = self.sampler_name or self.sampler_index or DEFAULT_SAMPLER
        hires = self.enable_hr and init is None
        return GenerationRequest(
            prompt=self.prompt,
            negative=self.negative_prompt,
            model=str(self.override_settings.get("sd_model_checkpoint") or default_model()),
            vae=self.override_settings.get("sd_vae") or None,
            clip_skip=self.override_settings.get("CLIP_stop_at_last_layers", 1),
            width=round(self.width * self.hr_scale) if hires else self.width,
            height=round(self.height * self.hr_scale) if hires else self.height,
            steps=self.steps,
            seed=self.seed,
            scheduler=find_sampler(name, self.scheduler or "").name,
            guidance=self.cfg_scale,
            variation=Variation(seed=self.subseed, strength=self.subseed_strength)
            if self.subseed_strength
            else None,
            hires=Hires(scale=self.hr_scale, steps=self.hr_second_pass_steps, denoise=self.denoising_strength)
            if hires
            else None,
            init=init,
            count=self.batch_size * self.n_iter,
        )


class Image2Image(Text2Image):
    """Body of /sdapi/v1/img2img."""

    init_images: list[str] = Field(min_length=1, max_length=1)
    mask: str | None = None
    mask_blur: int = 4
    inpaint_full_res: bool = False
    denoising_strength: float = 0.75


class PngInfo(BaseModel):
    """Body of /sdapi/v1/png-info."""

    image: str

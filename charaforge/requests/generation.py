"""A generation request: everything that decides the pixels, beside the weights and the versions."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from charaforge.config.model import StrictModel
from charaforge.config.settings import default_model
from charaforge.errors import PromptError, UnknownNameError
from charaforge.requests.grammar import check_prompt
from charaforge.requests.inputs import (
    MAX_CONTROLS,
    MAX_REFERENCES,
    Control,
    Hires,
    InitImage,
    Reference,
    Variation,
)
from charaforge.requests.samplers import DEFAULT_SAMPLER, find_sampler

MAX_SIDE = 2048
SIDE_STEP = 8
MAX_SEED = 2**32 - 1
MAX_COUNT = 64
MAX_LORAS = 8
MAX_PROMPT = 8192
MAX_GUIDANCE = 30.0
DEFAULT_GUIDANCE = 5.0
"""Where neither the request nor the model's card says one."""

Prompt = Annotated[str, Field(max_length=MAX_PROMPT)]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
LoraName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}(@\d{1,9})?$")]
LoraBlock = Annotated[str, Field(pattern=r"^(BASE|MID|IN(0\d|1[01])|OUT(0\d|1[01]))$")]
LoraFactor = Annotated[float, Field(ge=-4.0, le=4.0)]


class LoraUse(StrictModel):
    """One LoRA and how strongly it acts."""

    name: LoraName = Field(description="registry name; a checkpoint is <id>@<step>")
    weight: float = Field(1.0, ge=-4.0, le=4.0, description="1 = as trained, 0 = not at all")
    te_weight: float | None = Field(
        None, ge=-4.0, le=4.0, description="the same in the text encoders; absent: as weight"
    )
    blocks: dict[LoraBlock, LoraFactor] = Field(
        default_factory=dict,
        description="factors on the weight, by block: BASE (text encoders), IN00 … IN11, MID, OUT00 … OUT11",
    )

    @staticmethod
    def values(text: str) -> dict[str, str]:
        """Return the values, still unchecked, of `NAME` or `NAME:WEIGHT`."""
        name, colon, weight = text.rpartition(":")
        return {"name": name, "weight": weight} if colon else {"name": weight}


class PictureRequest(StrictModel):
    """One picture, but for its LoRAs: what the library's request and the service's bodies have in common."""

    prompt: Prompt = Field(description="what to show")
    negative: Prompt = Field("", description="what not to show")
    model: ModelName = Field(default_factory=default_model, description="registry name of the base model")
    width: int = Field(512, ge=64, le=MAX_SIDE, multiple_of=SIDE_STEP, description="pixels")
    height: int = Field(512, ge=64, le=MAX_SIDE, multiple_of=SIDE_STEP, description="pixels")
    steps: int = Field(20, ge=1, le=150, description="denoising steps")
    seed: int = Field(-1, ge=-1, le=MAX_SEED, description="of the first picture; -1 = random, recorded")
    scheduler: str = Field(DEFAULT_SAMPLER, description="sampler, by our name, A1111's or diffusers'")
    wildcard_seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="decides what wildcards stand for; absent: as the seed decides"
    )
    guidance: float | None = Field(
        None,
        gt=0.0,
        le=MAX_GUIDANCE,
        description="scale of classifier-free guidance; 1 = off; absent: the model's own, or 5",
    )
    clip_skip: int = Field(
        1, ge=1, le=12, description="text encoder layers counted from the end, as A1111 counts: 1 = the last"
    )
    vae: ModelName | None = Field(None, description="registry name of another VAE; absent: the model's own")
    variation: Variation | None = Field(None, description="a second seed mixed in")
    hires: Hires | None = Field(None, description="a second pass at a larger size")
    controls: tuple[Control, ...] = Field((), max_length=MAX_CONTROLS, description="ControlNets, all at once")

    @field_validator("scheduler")
    @classmethod
    def _known_sampler(cls, name: str) -> str:
        try:
            return find_sampler(name).name
        except UnknownNameError as error:
            raise ValueError(f"{error.message}; {error.hint}") from None

    @field_validator("prompt", "negative")
    @classmethod
    def _readable(cls, text: str) -> str:
        if "\0" in text:
            raise ValueError("a prompt cannot hold the character NUL")
        try:
            check_prompt(text)
        except PromptError as error:
            raise ValueError(f"{error.message}; {error.hint}") from None
        return text


class GenerationRequest(PictureRequest):
    """Pictures of one prompt: all that decides their pixels, beside weights, versions and input files."""

    loras: tuple[LoraUse, ...] = Field((), max_length=MAX_LORAS, description="LoRAs, all at once")
    init: InitImage | None = Field(None, description="the picture to start from: img2img, inpainting")
    references: tuple[Reference, ...] = Field(
        (), max_length=MAX_REFERENCES, description="IP-Adapter references, all at once"
    )
    count: int = Field(
        1,
        ge=1,
        le=MAX_COUNT,
        description="pictures; the seed, or with a variation its seed, grows by 1 from one to the next",
    )

    @field_validator("loras")
    @classmethod
    def _each_lora_once(cls, loras: tuple[LoraUse, ...]) -> tuple[LoraUse, ...]:
        names = [lora.name for lora in loras]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the same LoRA more than once: {', '.join(twice)}")
        return loras

    @model_validator(mode="after")
    def _seeds_end_in_range(self) -> Self:
        if self.seed + self.count - 1 > MAX_SEED:
            raise ValueError(f"seed + count - 1 goes beyond {MAX_SEED}")
        return self

    @model_validator(mode="after")
    def _hires_without_init(self) -> Self:
        if self.hires is not None and self.init is not None:
            raise ValueError("hires makes a first picture of words alone; with init, ask for the larger size")
        return self

    @property
    def guidance_scale(self) -> float:
        """The guidance that is used."""
        return DEFAULT_GUIDANCE if self.guidance is None else self.guidance

    def guided(self, recommended: object) -> Self:
        """Return the request with a guidance: its own, else the recommended one, else the default.

        Args:
            recommended: what the card of the model says, whatever that is.
        """
        if self.guidance is not None:
            return self
        chosen = DEFAULT_GUIDANCE
        if isinstance(recommended, int | float) and 0 < recommended <= MAX_GUIDANCE:
            chosen = float(recommended)
        return self.model_copy(update={"guidance": chosen})

    def seeded(self) -> Self:
        """Return the request with seeds drawn where they were -1 (also that of a variation)."""
        drawn: dict[str, Any] = {}
        if self.seed < 0:
            drawn["seed"] = secrets.randbelow(MAX_SEED + 2 - self.count)
        if self.variation is not None and self.variation.seed < 0:
            second = secrets.randbelow(MAX_SEED + 2 - self.count)
            drawn["variation"] = self.variation.model_copy(update={"seed": second})
        return self.model_copy(update=drawn) if drawn else self

    def singles(self) -> list[Self]:
        """Return one request per picture: count 1, and the seed of that picture.

        Raises:
            ValueError: the seed has not been drawn yet.
        """
        if self.seed < 0:
            raise ValueError("draw the seed first, with seeded()")
        return [self.model_copy(update=self._of_picture(step)) for step in range(self.count)]

    def _of_picture(self, step: int) -> dict[str, Any]:
        chosen = None if self.wildcard_seed is None else (self.wildcard_seed + step) % (MAX_SEED + 1)
        told: dict[str, Any] = {"seed": self.seed + step, "wildcard_seed": chosen, "count": 1}
        varied = self.variation
        if varied is not None and varied.strength > 0.0 and varied.seed >= 0:
            second = (varied.seed + step) % (MAX_SEED + 1)
            told |= {"seed": self.seed, "variation": varied.model_copy(update={"seed": second})}
        return told

    def plain(self) -> dict[str, Any]:
        """Return the request as JSON values, keys in the order of the fields."""
        return self.model_dump(mode="json")

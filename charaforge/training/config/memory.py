"""The keys of a training configuration that save memory or time without changing what is learnt."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from charaforge.config import StrictModel

BasePrecision = Literal["auto", "fp32", "bf16", "fp16", "int8", "nf4"]
"""How the frozen weights of the UNet are kept."""


class MemorySettings(StrictModel):
    """Memory and speed."""

    gradient_checkpointing: bool | Literal["auto"] = Field(
        "auto", description="compute activations twice instead of keeping them; auto: only where needed"
    )
    base_precision: BasePrecision = Field(
        "auto",
        description="format in which the frozen UNet is kept; auto: the one it computes in. int8 and nf4 "
        "need bitsandbytes and change what the base says a little",
    )
    activation_offload: bool = Field(
        False, description="keep activations in the computer's memory instead of the GPU's"
    )
    compile_blocks: bool = Field(
        False, description="compile each block of the UNet; minutes before the first step, then faster"
    )
    channels_last: bool | Literal["auto"] = Field(
        "auto", description="layout of convolutions; auto: where it is known to be faster"
    )
    fast_layers: bool = Field(
        True, description="compute LoRA layers in fewer operations; the same up to rounding"
    )

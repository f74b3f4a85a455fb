"""The keys of a training configuration that say what is trained: the adapter's kind, place and size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from charaforge.config import StrictModel

NetworkType = Literal["lora", "loha", "lokr"]
BlockRank = Annotated[int, Field(ge=0, le=512)]
BlockAlpha = Annotated[float, Field(gt=0)]
BlockFactor = Annotated[float, Field(gt=0, le=1000)]


class AdapterSettings(StrictModel):
    """The adapter."""

    network_type: NetworkType = Field(
        "lora", description="lora (with use_dora: DoRA, with conv_rank: LoCon), loha or lokr"
    )
    rank: int = Field(16, ge=1, le=512)
    alpha: float | None = Field(None, gt=0, description="strength is alpha / rank; default: rank / 2")
    conv_rank: int = Field(0, ge=0, le=512, description="rank on the 3x3 convolutions of resnets; 0: none")
    conv_alpha: float | None = Field(None, gt=0, description="default: conv_rank * alpha / rank")
    use_rslora: bool = Field(False, description="strength is alpha / sqrt(rank) instead")
    use_dora: bool = Field(False, description="train the length of each row of a weight beside its direction")
    lokr_factor: int = Field(
        -1, ge=-1, le=512, description="lokr: size of the left Kronecker factor; -1: about the root"
    )
    lokr_decompose_both: bool = Field(False, description="lokr: a low rank for the left factor too")
    network_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of values between down and up set to 0"
    )
    rank_dropout: float = Field(0.0, ge=0, lt=1, description="share of ranks left out, for each picture")
    module_dropout: float = Field(0.0, ge=0, lt=1, description="share of layers left out, for each picture")
    train_layers: Literal["attention", "attention_mlp", "full"] = Field(
        "attention_mlp",
        description="attention: queries to outputs only; attention_mlp: all of the transformers, as kohya's "
        "scripts do; full: resnets and samplers too, conv_rank then is rank where it is not given",
    )
    train_unet: bool = Field(True, description="train the UNet")
    text_encoder_train: bool = Field(False, description="train the text encoder too; of SDXL, both")
    text_encoder_2_train: bool | None = Field(
        None, description="SDXL's second text encoder; default: as text_encoder_train"
    )
    text_encoder_2_learning_rate: float | None = Field(
        None, gt=0, le=10, description="default: that of the first text encoder"
    )
    block_ranks: dict[str, BlockRank] = Field(
        {}, description="rank by block: IN00 …, MID, OUT00 …, or IN and OUT for all; 0 leaves a block out"
    )
    block_alphas: dict[str, BlockAlpha] = Field({}, description="alpha by block, as block_ranks")
    block_lr_factors: dict[str, BlockFactor] = Field(
        {}, description="factor on learning_rate by block, as block_ranks"
    )
    lora_plus_ratio: float = Field(
        1.0, ge=1, le=256, description="LoRA+: the learning rate of `up` is this many times that of `down`"
    )
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="the LoRA is a running mean of the weights, e.g. 0.999; 0: the last ones"
    )
    scale_weight_norms: float = Field(
        0.0, ge=0, description="largest Frobenius norm of a layer's change of its weight; 0: no limit"
    )

    @model_validator(mode="after")
    def _what_goes_together(self) -> Self:
        faults = list(_contradictions(self))
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def network_alpha(self) -> float:
        """Alpha of linear layers and 1x1 convolutions."""
        return self.alpha or self.rank / 2

    @property
    def network_conv_rank(self) -> int:
        """Rank of 3x3 convolutions, 0 where they are not trained."""
        return self.conv_rank or (self.rank if self.train_layers == "full" else 0)

    @property
    def network_conv_alpha(self) -> float:
        """Alpha of 3x3 convolutions: as strong as the rest where it is not given."""
        return self.conv_alpha or self.network_conv_rank * self.network_alpha / self.rank

    @property
    def trained_parts(self) -> tuple[str, ...]:
        """What is trained of "unet", "text_encoder" and "text_encoder_2"; of SD1.5, without the last."""
        second = self.text_encoder_train if self.text_encoder_2_train is None else self.text_encoder_2_train
        told = {"unet": self.train_unet, "text_encoder": self.text_encoder_train, "text_encoder_2": second}
        return tuple(part for part, trained in told.items() if trained)


def _contradictions(settings: AdapterSettings) -> list[str]:
    """Return what cannot go together, one sentence each."""
    lycoris = settings.network_type != "lora"
    told: Mapping[str, bool] = {
        f"use_dora works with network_type: lora, not {settings.network_type}": lycoris and settings.use_dora,
        f"network_dropout does not exist for {settings.network_type}; use rank_dropout or module_dropout": (
            lycoris and settings.network_dropout > 0
        ),
        f"lora_plus_ratio works with network_type: lora, not {settings.network_type}": (
            lycoris and settings.lora_plus_ratio != 1
        ),
        "lokr_factor: 0 divides nothing; give -1 or at least 1": settings.lokr_factor == 0,
        "nothing is trained; set train_unet or text_encoder_train": not settings.trained_parts,
        "block_ranks, block_alphas, block_lr_factors are about the UNet; train_unet: false leaves it out": (
            not settings.train_unet
            and bool(settings.block_ranks or settings.block_alphas or settings.block_lr_factors)
        ),
    }
    return [sentence for sentence, holds in told.items() if holds]

"""The keys of a training configuration that say what is trained: the adapter's kind, place and size."""

from __future__ import annotations

from pydantic import Field

from charaforge.config import StrictModel


class AdapterSettings(StrictModel):
    """The adapter."""

    rank: int = Field(16, ge=1, le=512)
    alpha: float | None = Field(None, gt=0, description="strength is alpha / rank; default: rank / 2")
    conv_rank: int = Field(0, ge=0, le=512, description="rank on the 3x3 convolutions of resnets; 0: none")
    conv_alpha: float | None = Field(None, gt=0, description="default: conv_rank * alpha / rank")
    text_encoder_train: bool = Field(False, description="train the text encoder too")

    @property
    def network_alpha(self) -> float:
        """Alpha of linear layers and 1x1 convolutions."""
        return self.alpha or self.rank / 2

    @property
    def network_conv_alpha(self) -> float:
        """Alpha of 3x3 convolutions: as strong as the rest where it is not given."""
        return self.conv_alpha or self.conv_rank * self.network_alpha / self.rank

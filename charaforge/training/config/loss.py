"""The keys of a training configuration that say what the loss is: noise, time steps, weights."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from charaforge.config import StrictModel

_WEIGHTS = ("min_snr_gamma", "debiased_estimation_loss", "scale_v_pred_loss_like_noise_pred")


class LossSettings(StrictModel):
    """Noise, time steps and their weights in the loss; names as in kohya's scripts where they have one."""

    prediction_type: Literal["auto", "epsilon", "v_prediction"] = Field(
        "auto", description="what the base predicts; auto: what its files say"
    )
    zero_terminal_snr: Literal["auto"] | bool = Field(
        "auto", description="whether its last timestep is pure noise; auto: what its files say"
    )
    loss_type: Literal["l2", "huber", "smooth_l1"] = "l2"
    huber_schedule: Literal["constant", "exponential", "snr"] = Field(
        "snr", description="how the threshold of huber and smooth_l1 changes over the timesteps"
    )
    huber_c: float = Field(0.1, gt=0, le=10, description="threshold of huber and smooth_l1")
    min_snr_gamma: float | None = Field(None, gt=0, le=100, description="5 is usual, 8 for SDXL")
    debiased_estimation_loss: bool = False
    scale_v_pred_loss_like_noise_pred: bool = Field(
        False, description="weights the loss of a v-prediction base as that of a noise-prediction one"
    )
    noise_offset: float = Field(0.0, ge=0, le=1, description="0.0357 is usual; 0: none")
    adaptive_noise_scale: float = Field(
        0.0, ge=-1, le=1, description="added to noise_offset for each unit of the latents' absolute mean"
    )
    noise_offset_random_strength: bool = Field(False, description="anything from 0 to noise_offset")
    multires_noise_iterations: int = Field(0, ge=0, le=16, description="6 is usual; 0: none")
    multires_noise_discount: float = Field(0.3, gt=0, lt=1)
    ip_noise_gamma: float = Field(
        0.0, ge=0, le=1, description="noise that the target does not know of; 0.1 is usual, 0: none"
    )
    ip_noise_gamma_random_strength: bool = Field(False, description="anything from 0 to ip_noise_gamma")
    timestep_sampling: Literal["uniform", "sigmoid", "logit_normal"] = "uniform"
    sigmoid_scale: float = Field(1.0, gt=0, le=10, description="of sigmoid: how far it spreads")
    logit_mean: float = Field(0.0, ge=-5, le=5, description="of logit_normal: above 0 is noisier")
    logit_std: float = Field(1.0, gt=0, le=10, description="of logit_normal: how far it spreads")
    timestep_shift: float = Field(1.0, gt=0, le=10, description="above 1: noisier timesteps come more often")
    min_timestep: int = Field(0, ge=0, lt=1000)
    max_timestep: int = Field(1000, gt=0, le=1000, description="the first one that is not trained")
    normalize_masked_area: bool = Field(
        False, description="a picture counts as much however little of it its mask shows"
    )

    @model_validator(mode="after")
    def _one_weight(self) -> Self:
        given = [key for key in _WEIGHTS if getattr(self, key)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} would weight the loss twice; give one of them")
        return self

    @model_validator(mode="after")
    def _one_prediction(self) -> Self:
        if self.prediction_type == "epsilon" and self.zero_terminal_snr is True:
            raise ValueError(
                "prediction_type: epsilon and zero_terminal_snr: true contradict each other: in pure noise a "
                "prediction of the noise says nothing about the picture; use v_prediction, or auto for both"
            )
        if self.prediction_type == "epsilon" and self.scale_v_pred_loss_like_noise_pred:
            raise ValueError(
                "scale_v_pred_loss_like_noise_pred is for v-prediction; prediction_type is epsilon"
            )
        return self

    @model_validator(mode="after")
    def _one_noise(self) -> Self:
        if self.multires_noise_iterations and self.noise_offset:
            raise ValueError(
                "noise_offset and multires_noise_iterations both lay slow noise over the pictures; "
                "give one of them"
            )
        for key, needed in (
            ("adaptive_noise_scale", "noise_offset"),
            ("noise_offset_random_strength", "noise_offset"),
            ("ip_noise_gamma_random_strength", "ip_noise_gamma"),
        ):
            if getattr(self, key) and not getattr(self, needed):
                raise ValueError(f"{key} does nothing without {needed}; give both or none")
        return self

    @model_validator(mode="after")
    def _some_timesteps(self) -> Self:
        if self.min_timestep >= self.max_timestep:
            raise ValueError(
                f"min_timestep {self.min_timestep} and max_timestep {self.max_timestep} leave no timestep; "
                "the second must be larger"
            )
        return self

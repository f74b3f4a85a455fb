"""What a single-file checkpoint is, by the keys in it: its family, and what it predicts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from charaforge.diffusion.parts import Family
from charaforge.errors import ModelFileError

UNET = "model.diffusion_model."
VAE = "first_stage_model."
FIRST_ENCODER: Mapping[Family, str] = {
    "sd15": "cond_stage_model.transformer.",
    "sdxl": "conditioner.embedders.0.transformer.",
}
SECOND_ENCODER = "conditioner.embedders.1.model."
_FOREIGN = {
    "cond_stage_model.model.": "a Stable Diffusion 2.x model",
    "conditioner.embedders.0.model.": "an SDXL refiner",
    "model.diffusion_model.double_blocks.": "a Flux model",
    "double_blocks.": "a Flux model",
    "model.diffusion_model.joint_blocks.": "a Stable Diffusion 3 model",
    "control_model.": "a ControlNet",
    "lora_unet_": "a LoRA",
    "lora_te": "a LoRA",
    "image_proj.": "an IP-Adapter",
    "decoder.conv_in": "a VAE",
    "down_blocks.": "a part of a diffusers folder",
    "edm_mean": "a model of the EDM kind",
    "edm_vpred.": "a model of the EDM kind",
}


def family_of_keys(keys: Collection[str], file: Path) -> Family:
    """Return the family of a checkpoint in the original layout.

    Raises:
        ModelFileError: it is something else; the message says what, where the keys tell.
    """
    for prefix, kind in _FOREIGN.items():
        if any(key.startswith(prefix) for key in keys):
            raise ModelFileError(
                f"{file} is {kind}, no base model of the families sd15 and sdxl", "choose another base model"
            )
    for family, prefix in FIRST_ENCODER.items():
        if any(key.startswith(prefix) for key in keys) and any(key.startswith(UNET) for key in keys):
            _check_whole(keys, family, file)
            return family
    raise ModelFileError(
        f"{file} is no base model: it lacks the keys of a UNet ({UNET}…) or of a text encoder",
        "a single file holds UNet, VAE and text encoders in the original layout of SD1.x or SDXL",
    )


def scheduler_of(
    config: Mapping[str, Any], keys: Collection[str], metadata: Mapping[str, str]
) -> Mapping[str, Any]:
    """Return the config of the noise schedule, changed where the file says that the model predicts velocity.

    A file says so by an empty tensor `v_pred`, and by `ztsnr` that its schedule ends in pure noise (as
    ComfyUI reads it), or in modelspec's header.
    """
    if "v_pred" in keys or metadata.get("modelspec.prediction_type", "").startswith("v"):
        return predicting(config, "v_prediction", "ztsnr" in keys)
    return config


def predicting(config: Mapping[str, Any], prediction: str, zero_terminal_snr: bool) -> Mapping[str, Any]:
    """Return a noise schedule's config for another prediction.

    Args:
        config: in diffusers' keys.
        prediction: "epsilon" or "v_prediction".
        zero_terminal_snr: whether the last timestep is pure noise; sampling then begins at it.
    """
    told = {**config, "prediction_type": prediction, "rescale_betas_zero_snr": zero_terminal_snr}
    return {**told, "timestep_spacing": "trailing"} if zero_terminal_snr else told


def _check_whole(keys: Collection[str], family: Family, file: Path) -> None:
    needed = [VAE, SECOND_ENCODER] if family == "sdxl" else [VAE]
    lacking = [prefix for prefix in needed if not any(key.startswith(prefix) for key in keys)]
    if lacking:
        raise ModelFileError(
            f"{file} is an incomplete {family} model: it has no {' and no '.join(lacking)}… keys",
            "use a checkpoint with VAE and text encoders in it",
        )

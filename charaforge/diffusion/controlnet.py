"""ControlNets (Zhang et al. 2023): what they add to a UNet, from maps, several at once.

Loaded are diffusers folders and single safetensors files, the latter with diffusers' keys or those of the
original code (`control_model.…`); a single file has no config, so it takes the shapes of the base that it is
used with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from diffusers.models.controlnets.controlnet import ControlNetModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from charaforge.diffusion.bundle import Bundle
from charaforge.errors import ModelFileError

_ORIGINAL = ("control_model.", "input_blocks.", "zero_convs.")
_ORIGINAL_LAYERS = 2  # of every published original checkpoint


@dataclass(frozen=True)
class ActiveControl:
    """A ControlNet at work.

    Attributes:
        net: the network.
        map: (B, 3, H, W) what it follows, 0 to 1, of the size of the pictures.
        strength: scale of what it adds.
        start: share of the steps from which on it acts.
        end: share of the steps until which it acts.
    """

    net: ControlNetModel
    map: Tensor
    strength: float
    start: float
    end: float

    def acts(self, step: int, steps: int) -> bool:
        """Return whether it acts in this step, counted from 0; the rule is diffusers'."""
        return self.strength > 0.0 and step / steps >= self.start and (step + 1) / steps <= self.end


def residuals(
    controls: Sequence[ActiveControl],
    latents: Tensor,
    timestep: Tensor,
    states: Tensor,
    added: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what the UNet's forward takes for the controls: the sum of what each of them adds.

    Args:
        controls: those that act in this step.
        latents: (N, C, h, w) as the UNet sees them; N is B, or 2B with guidance.
        timestep: of the step.
        states: (N, L, D) what the UNet attends to.
        added: SDXL's pooled states and sizes.

    Returns:
        Nothing where no control acts, so that the UNet then gives exactly what it gives alone.
    """
    down: list[Tensor] = []
    middle: Tensor | None = None
    for control in controls:
        maps = control.map.repeat(len(latents) // len(control.map), 1, 1, 1)
        told, last = control.net(
            latents,
            timestep,
            encoder_hidden_states=states,
            controlnet_cond=maps,
            conditioning_scale=control.strength,
            added_cond_kwargs=added,
            return_dict=False,
        )
        down = [one + two for one, two in zip(down, told, strict=True)] if down else list(told)
        middle = last if middle is None else middle + last
    if middle is None:
        return {}
    return {"down_block_additional_residuals": tuple(down), "mid_block_additional_residual": middle}


def load_controlnet(path: Path, name: str, bundle: Bundle) -> ControlNetModel:
    """Load a ControlNet for a base, on its device and in its type.

    Args:
        path: a diffusers folder, or a single safetensors file.
        name: what it is called in messages.
        bundle: the base that it is used with.

    Raises:
        ModelFileError: it cannot be read, or was made for another base.
    """
    try:
        known = (path / "config.json").is_file()
        net = _from_folder(path, bundle) if known else _from_file(path, bundle)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelFileError(
            f"the ControlNet {name!r} cannot be loaded for {bundle.name!r}: {reason}",
            "choose a ControlNet made for this base, or fetch its files again",
        ) from error
    _check_base(net, name, bundle)
    module: nn.Module = net
    module.requires_grad_(False).eval().to(bundle.device)
    return net


def _from_folder(folder: Path, bundle: Bundle) -> ControlNetModel:
    told: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "torch_dtype": bundle.dtype}
    net: ControlNetModel = ControlNetModel.from_pretrained(folder, **told)
    return net


def _from_file(path: Path, bundle: Bundle) -> ControlNetModel:
    """Load a single file, or the only safetensors file of a folder without a config."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if len(files) != 1:
        raise ValueError(f"{path} holds {len(files)} safetensors files and no config.json")
    weights = load_file(files[0])
    net: ControlNetModel = ControlNetModel.from_unet(bundle.unet, load_weights_from_unet=False)
    if any(key.startswith(_ORIGINAL) for key in weights):
        told = {**net.config, "layers_per_block": _ORIGINAL_LAYERS}
        weights = convert_controlnet_checkpoint(weights, told)
    net.load_state_dict({key: value.to(bundle.dtype) for key, value in weights.items()})
    nn.Module.to(net, dtype=bundle.dtype)
    return net


def _check_base(net: ControlNetModel, name: str, bundle: Bundle) -> None:
    """Raise ModelFileError when its inputs or outputs are not of the shapes of the base's."""
    keys = ["in_channels", "block_out_channels"]
    if any(path.endswith("attn2") for path, _ in net.named_modules()):  # else it takes no notice of the words
        keys.append("cross_attention_dim")
    for key in keys:
        mine, theirs = net.config.get(key), bundle.unet.config.get(key)
        if _comparable(mine) != _comparable(theirs):
            raise ModelFileError(
                f"the ControlNet {name!r} was made for another base: its {key} is {mine}, that of "
                f"{bundle.name!r} is {theirs}",
                "choose a ControlNet made for this base",
            )


def _comparable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value


def map_tensor(maps: Sequence[Any], bundle: Bundle) -> Tensor:
    """Return B maps, uint8 (H, W, 3), as (B, 3, H, W), 0 to 1, where and of the type that the UNet is."""
    stacked = torch.stack([torch.from_numpy(np.array(one)).permute(2, 0, 1) for one in maps])
    return stacked.to(bundle.device, torch.float32).div(255.0).to(bundle.dtype)

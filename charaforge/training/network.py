"""The LoRA inside the model: peft layers that compute in the base's format, float32 weights beside them.

W' = W + alpha / rank * up @ down (Hu et al. 2021, "LoRA"). As in kohya's networks, linear layers and 1x1
convolutions take `rank`; 3x3 convolutions of resnets and samplers are included when `conv_rank` > 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from charaforge.training.config import TrainingConfig
from charaforge.training.randomness import derived_seed

_ADAPTER = "default"
_CONVOLUTIONAL = ("resnets", "downsamplers", "upsamplers")
_TEXT_LAYERS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


@dataclass(frozen=True)
class TrainedLayer:
    """One trained layer.

    Attributes:
        part: "unet" or "text_encoder".
        module: dotted path of the base layer inside its part.
        alpha: strength is alpha / rank.
        down: (rank, in, kh, kw) or (rank, in), float32, trained.
        up: (out, rank, 1, 1) or (out, rank), float32, trained.
    """

    part: str
    module: str
    alpha: float
    down: Tensor
    up: Tensor


class Adapter:
    """All LoRA layers of a run.

    Args:
        unet: gets peft layers put in; its base weights are frozen.
        text_encoder: the same, or None to leave the text encoder alone.
        config: ranks, alphas, seed.
        dtype: format in which the layers compute; the parts are in it already.
    """

    def __init__(
        self, unet: nn.Module, text_encoder: nn.Module | None, config: TrainingConfig, dtype: torch.dtype
    ) -> None:
        self.layers: list[TrainedLayer] = []
        self._live: list[nn.Parameter] = []
        self._masters: list[Tensor] = []
        self._insert(unet, "unet", unet_targets(unet, config), config, dtype)
        if text_encoder is not None:
            self._insert(text_encoder, "text_encoder", text_targets(text_encoder, config), config, dtype)

    def parameters(self, part: str) -> list[Tensor]:
        """Return the float32 weights of one part, for the optimiser."""
        return [weight for layer in self.layers if layer.part == part for weight in (layer.down, layer.up)]

    @property
    def size(self) -> int:
        """Number of trained weights."""
        return sum(weight.numel() for weight in self._masters)

    def gather_gradients(self) -> list[Tensor]:
        """Move the gradients to the float32 weights, clearing them in the model; return them."""
        for live, master in zip(self._live, self._masters, strict=True):
            master.grad = torch.zeros_like(master) if live.grad is None else live.grad.float()
            if live is not master:
                live.grad = None
        return [master.grad for master in self._masters if master.grad is not None]

    def clear_gradients(self) -> None:
        """Forget all gradients."""
        for weight in (*self._live, *self._masters):
            weight.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """Write the float32 weights into the model."""
        for live, master in zip(self._live, self._masters, strict=True):
            if live is not master:
                live.copy_(master)

    def state(self) -> dict[str, Tensor]:
        """Return the float32 weights by name."""
        return {name: weight.detach().cpu().clone() for name, weight in self._named()}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take weights that `state` returned, and publish them."""
        for name, weight in self._named():
            weight.copy_(state[name])
        self.publish()

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for layer in self.layers:
            yield f"{layer.part}.{layer.module}.down", layer.down
            yield f"{layer.part}.{layer.module}.up", layer.up

    def _insert(
        self,
        part: nn.Module,
        name: str,
        targets: Mapping[str, tuple[int, float]],
        config: TrainingConfig,
        dtype: torch.dtype,
    ) -> None:
        part.requires_grad_(False)
        inject_adapter_in_model(
            LoraConfig(
                r=config.rank,
                lora_alpha=config.network_alpha,  # type: ignore[arg-type]  # a float works and is meant to
                target_modules=list(targets),
                rank_pattern={module: rank for module, (rank, _) in targets.items()},
                alpha_pattern={module: alpha for module, (_, alpha) in targets.items()},
            ),
            part,
            _ADAPTER,
        )
        for module, (_, alpha) in targets.items():
            layer = part.get_submodule(module)
            down, up = (getattr(layer, side)[_ADAPTER].weight for side in ("lora_A", "lora_B"))
            _initialise(down, up, derived_seed(config.seed, "init", name, module))
            self.layers.append(
                TrainedLayer(name, module, alpha, self._own(down, dtype), self._own(up, dtype))
            )

    def _own(self, live: nn.Parameter, dtype: torch.dtype) -> Tensor:
        """Return the float32 weight that is trained: the layer's own one, or a copy it is rounded from."""
        master: Tensor = live
        if dtype != torch.float32:
            master = nn.Parameter(live.detach().float())
            live.data = live.data.to(dtype)
        self._live.append(live)
        self._masters.append(master)
        return master


def unet_targets(unet: nn.Module, config: TrainingConfig) -> dict[str, tuple[int, float]]:
    """Return the layers of a UNet that are trained: dotted path -> (rank, alpha)."""
    plain = (config.rank, config.network_alpha)
    wide = (config.conv_rank, config.network_conv_alpha)
    blocks = {"attentions", *(_CONVOLUTIONAL if config.conv_rank else ())}
    targets = {}
    for path, module in unet.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not blocks.isdisjoint(path.split(".")):
            spatial = isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
            targets[path] = wide if spatial else plain
    return targets


def text_targets(encoder: nn.Module, config: TrainingConfig) -> dict[str, tuple[int, float]]:
    """Return the layers of a CLIP text encoder that are trained: dotted path -> (rank, alpha)."""
    paths = (p for p, m in encoder.named_modules() if isinstance(m, nn.Linear) and p.endswith(_TEXT_LAYERS))
    return dict.fromkeys(paths, (config.rank, config.network_alpha))


@torch.no_grad()
def _initialise(down: Tensor, up: Tensor, seed: int) -> None:
    """Draw `down` as kaiming_uniform(a = sqrt 5), set `up` to zero: the model begins unchanged."""
    generator = torch.Generator("cpu").manual_seed(seed)
    bound = 1.0 / math.sqrt(down[0].numel())
    drawn = torch.rand(down.shape, generator=generator, dtype=torch.float32)
    down.copy_((2.0 * drawn - 1.0) * bound)
    up.zero_()

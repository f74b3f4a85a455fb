"""What lies in one trained layer: peft's own layer around the base's, its weights by the names of files.

    LoRA, LoCon    W' = W + s B A                              (Hu et al. 2021; rsLoRA: Kalajdzievski 2023)
    DoRA           W' = m (W + s B A) / |W + s B A|            (Liu et al. 2024; |.| of each output's row)
    LoHa           W' = W + s (A1 B1) * (A2 B2)                (Hyeon-Woo et al. 2021)
    LoKr           W' = W + s kron(C1, C2), C = A B or whole   (Yeh et al. 2023)

s is alpha / rank, or alpha / sqrt(rank) with rsLoRA. In DoRA no gradient flows through |.|, as its authors
propose (section 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig
from peft.tuners.loha import layer as loha
from peft.tuners.lokr import layer as lokr
from peft.tuners.lora import layer as lora
from peft.utils.integrations import dequantize_module_weight
from torch import Tensor, nn

from charaforge.diffusion.lora_updates import (
    DoraLayer,
    HadamardLayer,
    KroneckerLayer,
    LoraLayer,
    Update,
)
from charaforge.errors import UsageError
from charaforge.training.adapters.targets import Target
from charaforge.training.config import TrainingConfig
from charaforge.training.randomness import derived_seed

ADAPTER = "default"
DOWN, UP, MAGNITUDE = "lora_down.weight", "lora_up.weight", "dora_scale"
_ZERO_AT_FIRST = frozenset({UP, "hada_w2_b", "lokr_w2", "lokr_w2_b"})
_HADAMARD = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
_KRONECKER = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")


@dataclass(frozen=True)
class TrainedLayer:
    """One trained layer.

    Attributes:
        target: where it is and what it is called.
        scale: s of the equations.
        shape: of the base weight.
        weights: what is trained, float32, by the names that files use.
    """

    target: Target
    scale: float
    shape: tuple[int, ...]
    weights: Mapping[str, Tensor] = field(repr=False)

    @property
    def part(self) -> str:
        """Which part of the model it is in: "unet", "text_encoder" or "text_encoder_2"."""
        return self.target.part

    @property
    def module(self) -> str:
        """Dotted path of the base layer inside its part."""
        return self.target.path

    @property
    def down(self) -> Tensor:
        """A of a LoRA: (rank, in, kh, kw) or (rank, in)."""
        return self.weights[DOWN]

    @property
    def up(self) -> Tensor:
        """B of a LoRA: (out, rank, 1, 1) or (out, rank)."""
        return self.weights[UP]

    @property
    def alpha(self) -> float:
        """The alpha that gives every loader the strength of training: loaders scale by alpha / rank."""
        return self.scale * self.target.rank

    def update(self, weights: Mapping[str, Tensor] | None = None) -> Update:
        """Return the layer's update as files hold it.

        Args:
            weights: what to take instead of its own.
        """
        held = {name: w.detach() for name, w in (self.weights if weights is None else weights).items()}
        if DOWN in held:
            inner = LoraLayer(held[DOWN], held[UP], self.alpha)
            return DoraLayer(inner, self._rows(held[MAGNITUDE])) if MAGNITUDE in held else inner
        if _HADAMARD[0] in held:
            a1, b1, a2, b2 = (held[name] for name in _HADAMARD)
            return HadamardLayer(a1, b1, a2, b2, None, None, self.alpha)
        left, right = (_side(held, f"lokr_w{number}") for number in (1, 2))
        return KroneckerLayer(left, right, self.alpha)

    def _rows(self, magnitude: Tensor) -> Tensor:
        """Return a magnitude as LyCORIS stores it along the outputs: (out, 1) or (out, 1, 1, 1)."""
        return magnitude.reshape(self.shape[0], *[1] * (len(self.shape) - 1))


def insert(part: nn.Module, target: Target, config: TrainingConfig) -> Any:
    """Put peft's layer around the layer at `target`, its weights drawn; return peft's layer.

    Raises:
        UsageError: the base layer is kept in a format that this kind of adapter cannot be put around.
    """
    base = part.get_submodule(target.path)
    wrapped = _wrapped(base, target, config)
    wrapped.scaling[ADAPTER] = _scale(target, config, live_weights(wrapped))
    parent, _, name = target.path.rpartition(".")
    setattr(part.get_submodule(parent), name, wrapped)
    return wrapped


def live_weights(layer: Any) -> dict[str, nn.Parameter]:
    """Return the weights of peft's layer by the names that files use, in a fixed order."""
    found: dict[str, nn.Parameter]
    if hasattr(layer, "lora_A"):
        found = {DOWN: layer.lora_A[ADAPTER].weight, UP: layer.lora_B[ADAPTER].weight}
        if ADAPTER in layer.lora_magnitude_vector:
            found[MAGNITUDE] = layer.lora_magnitude_vector[ADAPTER].weight
        return found
    names = _HADAMARD if isinstance(layer, loha.LoHaLayer) else _KRONECKER
    held = {name: getattr(layer, name) for name in names}
    return {name: weights[ADAPTER] for name, weights in held.items() if ADAPTER in weights}


def scale_of(layer: Any) -> float:
    """Return s of the equations, of peft's layer."""
    return float(layer.scaling[ADAPTER])


def weight_shape(layer: Any) -> tuple[int, ...]:
    """Return the shape of the base weight below peft's layer, as it is when it is not quantised."""
    base = layer.get_base_layer()
    if isinstance(base, nn.Conv2d):
        return tuple(base.weight.shape)
    return (int(base.out_features), int(base.in_features))


@torch.no_grad()
def initialise(layer: Any, target: Target, weights: Mapping[str, Tensor], seed: int) -> None:
    """Draw the weights of a layer from (seed, part, path, name): the model begins unchanged.

    Uniform within ± 1 / sqrt(inputs), which is kaiming_uniform(a = sqrt 5), and one factor zero. A DoRA's
    magnitude is the length of the base weight's rows, in float32 whatever the base is kept in.
    """
    for name, weight in weights.items():
        if name == MAGNITUDE:
            base = dequantize_module_weight(layer.get_base_layer())
            weight.copy_(torch.linalg.vector_norm(base.float().flatten(1), dim=1).view_as(weight))
        elif name in _ZERO_AT_FIRST:
            weight.zero_()
        else:
            place = (target.part, target.path, *(() if name == DOWN else (name,)))
            generator = torch.Generator("cpu").manual_seed(derived_seed(seed, "init", *place))
            drawn = torch.rand(weight.shape, generator=generator, dtype=torch.float32)
            weight.copy_((2.0 * drawn - 1.0) / math.sqrt(weight[0].numel()))


def _wrapped(base: nn.Module, target: Target, config: TrainingConfig) -> Any:
    spatial = isinstance(base, nn.Conv2d)
    if config.network_type == "lora":
        settings = LoraConfig(use_dora=config.use_dora)
        kind = lora.Conv2d if spatial else _linear_class(base)
        return kind(base, ADAPTER, config=settings, r=target.rank, lora_alpha=target.alpha)
    if type(base).__name__ == "Linear4bit":
        raise UsageError(
            f"{config.network_type} cannot be put around {target.path}, whose weight is packed in 4 bits",
            "use network_type: lora, or base_precision: int8 or bf16",
        )
    if config.network_type == "loha":
        around = loha.Conv2d if spatial else loha.Linear
        return around(base, ADAPTER, config=LoHaConfig(), r=target.rank, alpha=target.alpha)
    factors = LoKrConfig(
        decompose_both=config.lokr_decompose_both, decompose_factor=config.lokr_factor, init_weights="lycoris"
    )
    beside = lokr.Conv2d if spatial else lokr.Linear
    return beside(base, ADAPTER, config=factors, r=target.rank, alpha=target.alpha)


def _linear_class(base: nn.Module) -> Any:
    """Return peft's class for a linear layer, of which bitsandbytes has two quantised kinds."""
    kind = type(base).__name__
    if kind not in ("Linear4bit", "Linear8bitLt"):
        return lora.Linear
    from peft.tuners.lora import bnb

    return getattr(bnb, kind)


def _scale(target: Target, config: TrainingConfig, weights: Mapping[str, Tensor]) -> float:
    """Return s; 1 where both factors of a LoKr are whole: it has no rank, and no loader scales it."""
    if {"lokr_w1", "lokr_w2"} <= weights.keys():
        return 1.0
    return target.alpha / (math.sqrt(target.rank) if config.use_rslora else target.rank)


def _side(held: Mapping[str, Tensor], name: str) -> tuple[Tensor, ...]:
    return (held[name],) if name in held else (held[f"{name}_a"], held[f"{name}_b"])

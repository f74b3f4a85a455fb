"""The adapter inside the model: peft layers that compute in the base's format, float32 weights beside them.

What the layers are is said in `adapters.layers`, which layers there are in `adapters.targets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from charaforge.errors import UsageError
from charaforge.training.adapters.average import Average
from charaforge.training.adapters.dropout import Dropout
from charaforge.training.adapters.layers import (
    UP,
    TrainedLayer,
    initialise,
    insert,
    live_weights,
    scale_of,
    weight_shape,
)
from charaforge.training.adapters.norms import limit_norm
from charaforge.training.adapters.targets import Target, text_targets, unet_targets
from charaforge.training.config import TrainingConfig

_TEXT_PARTS = ("text_encoder", "text_encoder_2")


@dataclass(frozen=True)
class ParameterGroup:
    """Weights that learn at one rate.

    Attributes:
        part: "unet", "text_encoder" or "text_encoder_2".
        block: of the UNet, where blocks have rates of their own; else "".
        role: "up" where LoRA+ gives those a rate of their own; else "".
        rate_factor: on the learning rate of the part.
        weights: float32.
    """

    part: str
    block: str
    role: str
    rate_factor: float
    weights: list[Tensor]


class Adapter:
    """All trained layers of a run.

    Args:
        unet: gets peft layers put in if it is trained; its base weights are frozen in any case.
        text_encoders: the model's, one or two; those that are trained get layers too.
        config: what is trained, and how.
        dtype: format in which the layers compute; the parts are in it already, or are quantised.

    Raises:
        UsageError: the configuration does not fit the model.
    """

    def __init__(
        self, unet: nn.Module, text_encoders: Sequence[nn.Module], config: TrainingConfig, dtype: torch.dtype
    ) -> None:
        self.layers: list[TrainedLayer] = []
        self._config = config
        self._dropout = Dropout(config)
        self._live: list[nn.Parameter] = []
        self._masters: list[Tensor] = []
        for model in (unet, *text_encoders):
            model.requires_grad_(False)
        encoders = dict(zip(_TEXT_PARTS, text_encoders, strict=False))
        if "unet" in config.trained_parts:
            for target in unet_targets(unet, config):
                self._add(unet, target, dtype)
        for part in _trained_encoders(config, len(text_encoders)):
            for target in text_targets(encoders[part], part, unet.config, config):  # type: ignore[arg-type]
                self._add(encoders[part], target, dtype)
        if not self.layers:
            raise UsageError("nothing is trained", "set train_unet or text_encoder_train")
        names = [name for name, _ in self._named()]
        decay = config.ema_decay
        self._average = Average(names, self._masters, decay) if decay else None

    def parameters(self, part: str) -> list[Tensor]:
        """Return the float32 weights of one part."""
        return [w for layer in self.layers if layer.part == part for w in layer.weights.values()]

    def groups(self) -> list[ParameterGroup]:
        """Return all float32 weights, grouped by learning rate, for the optimiser; the order is fixed."""
        found: dict[tuple[str, str, str], ParameterGroup] = {}
        for layer in self.layers:
            block = layer.target.block if self._config.block_lr_factors and layer.part == "unet" else ""
            for name, weight in layer.weights.items():
                role = "up" if name == UP and self._config.lora_plus_ratio != 1 else ""
                factor = layer.target.rate_factor * (self._config.lora_plus_ratio if role else 1.0)
                group = ParameterGroup(layer.part, block, role, factor, [])
                found.setdefault((layer.part, block, role), group).weights.append(weight)
        return list(found.values())

    @property
    def size(self) -> int:
        """Number of trained weights."""
        return sum(weight.numel() for weight in self._masters)

    def gather_gradients(self) -> list[Tensor]:
        """Move the gradients to the float32 weights, clearing them in the model; return them."""
        for live, master in zip(self._live, self._masters, strict=True):
            master.grad = torch.zeros_like(master) if live.grad is None else live.grad.to(master.dtype)
            if live is not master:
                live.grad = None
        return [master.grad for master in self._masters if master.grad is not None]

    def clear_gradients(self) -> None:
        """Forget all gradients."""
        for weight in (*self._live, *self._masters):
            weight.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """Write the float32 weights into the model after a step of the optimiser.

        Norms are limited before, and the running mean follows.
        """
        if self._config.scale_weight_norms:
            for layer in self.layers:
                limit_norm(layer, self._config.scale_weight_norms)
        if self._average:
            self._average.follow()
        self._write(self._masters)

    def dropping(self, pictures: Sequence[tuple[int, int]]) -> AbstractContextManager[None]:
        """Let dropouts act in the passes of these pictures, see `Dropout.during`; outside none acts."""
        return self._dropout.during(pictures)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the model compute with the weights that are exported: the running mean, where there is one."""
        if self._average is None:
            yield
            return
        kept = [live.detach().clone() for live in self._live]
        try:
            self._write(self._average.values)
            yield
        finally:
            self._write(kept)

    def exported(self) -> Iterator[tuple[TrainedLayer, dict[str, Tensor]]]:
        """Yield every layer with the weights that its file gets: their running mean, where there is one."""
        values = iter(self._average.values if self._average else self._masters)
        for layer in self.layers:
            yield layer, {name: next(values).detach() for name in layer.weights}

    def state(self) -> dict[str, Tensor]:
        """Return everything that has to be saved to go on exactly: float32 weights and their running mean."""
        told = {name: weight.detach().cpu().clone() for name, weight in self._named()}
        return told | dict(self._average.state()) if self._average else told

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take what `state` returned, and let the model compute with it."""
        for name, weight in self._named():
            weight.copy_(state[name])
        if self._average:
            self._average.load(state)
        self._write(self._masters)

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for layer in self.layers:
            for name, weight in layer.weights.items():
                yield f"{layer.part}.{layer.module}.{name}", weight

    @torch.no_grad()
    def _write(self, values: Sequence[Tensor]) -> None:
        """Write values into the model."""
        for live, value in zip(self._live, values, strict=True):
            if live is not value:
                live.copy_(value)

    def _add(self, model: nn.Module, target: Target, dtype: torch.dtype) -> None:
        layer = insert(model, target, self._config)
        held = live_weights(layer)
        weights = {name: self._own(live, dtype) for name, live in held.items()}
        initialise(layer, target, weights, self._config.seed)
        for name, live in held.items():
            live.data.copy_(weights[name])
        self.layers.append(TrainedLayer(target, scale_of(layer), weight_shape(layer), weights))
        self._dropout.watch(layer, target)

    def _own(self, live: nn.Parameter, dtype: torch.dtype) -> Tensor:
        """Return the float32 weight that is trained: the layer's own one, or a copy it is rounded from."""
        live.data = live.data.to(dtype)
        master: Tensor = live
        if dtype.itemsize < torch.float32.itemsize:
            master = nn.Parameter(live.detach().float())
        self._live.append(live)
        self._masters.append(master)
        return master


def _trained_encoders(config: TrainingConfig, count: int) -> list[str]:
    """Return the text encoders that are trained, of those that the model has."""
    if config.text_encoder_2_train and count < 2:
        raise UsageError("text_encoder_2_train: the base has one text encoder", "leave the key out")
    return [part for part in _TEXT_PARTS[:count] if part in config.trained_parts]

"""The optimiser: by its name, or any class by its import path; one group of weights per learning rate."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from charaforge.errors import UsageError
from charaforge.training.config import TrainingConfig

Groups = Sequence[dict[str, Any]]
Options = dict[str, Any]

_BETAS = (0.9, 0.99)
_BITSANDBYTES = frozenset({"adamw8bit", "lion", "lion8bit"})


def choose_optimizer(config: TrainingConfig) -> tuple[str, str]:
    """Return the optimiser's name and a warning, "" unless another than was asked for is used.

    Raises:
        UsageError: its package is not installed.
    """
    asked = config.asked_optimizer
    installed = importlib.util.find_spec("bitsandbytes") is not None
    if asked is None:
        return ("adamw8bit" if installed else "adamw"), ""
    if asked == "adamw8bit" and not installed:
        return "adamw", "8-bit Adam needs the package bitsandbytes; this run uses AdamW with 32-bit state"
    if asked in _BITSANDBYTES and not installed:
        raise UsageError(f"optimizer: {asked} needs bitsandbytes", "pip install bitsandbytes, or use adamw")
    if "." in asked:
        _by_path(asked)
    if asked == "prodigy":
        return asked, _prodigy_warning(config)
    return asked, ""


def build_optimizer(name: str, groups: Groups, config: TrainingConfig) -> torch.optim.Optimizer:
    """Build an optimiser.

    Args:
        name: as `choose_optimizer` says.
        groups: each with "params", float32 weights, and "lr", their peak learning rate; it is kept as the
            group's "peak_rate", which `set_rate` scales.
        config: betas, epsilon, decay and `optimizer_args`, which go before all else.

    Raises:
        UsageError: the class does not take these arguments.
    """
    told = [{**group, "peak_rate": group["lr"]} for group in groups]
    make = _MAKERS.get(name) or _by_path(name)
    options = _options(name, config)
    try:
        return make(told, **options)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise UsageError(
            f"optimizer {name} does not take these arguments ({given}): {error}",
            "change optimizer_args, adam_betas or adam_epsilon",
        ) from error


def _options(name: str, config: TrainingConfig) -> Options:
    """Return the arguments of the optimiser's class: the configuration's, as far as it has them."""
    options: Options = {"weight_decay": config.weight_decay}
    if name in ("adamw", "adamw8bit", "lion", "lion8bit"):
        options["betas"] = config.adam_betas or _BETAS
    elif config.adam_betas:
        options["betas"] = config.adam_betas
    if config.adam_epsilon:
        options["eps"] = (config.adam_epsilon, 1e-3) if name == "adafactor" else config.adam_epsilon
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in config.optimizer_args.items()}
    return options | given


def _by_path(path: str) -> Callable[..., torch.optim.Optimizer]:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UsageError(
            f"optimizer {path}: {error}", f"install the package that has it (perhaps: pip install {package})"
        ) from error
    except AttributeError as error:
        raise UsageError(
            f"optimizer {path}: {module} has no {name}", "check the name of the class"
        ) from error
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        raise UsageError(f"optimizer {path} is no torch.optim.Optimizer", "give the path of such a class")
    return found


def _prodigy_warning(config: TrainingConfig) -> str:
    if config.learning_rate >= 0.1:
        return ""
    return (
        f"prodigy finds the rate by itself and multiplies it by learning_rate, which is "
        f"{config.learning_rate:g}: 1 is usual"
    )


def _adamw(groups: Groups, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, fused=True, **options)


def _bitsandbytes(kind: str) -> Callable[..., torch.optim.Optimizer]:
    """Return the maker of a bitsandbytes optimiser that does not wait for the device after every weight."""

    def make(groups: Groups, **options: Any) -> torch.optim.Optimizer:
        bitsandbytes: Any = importlib.import_module("bitsandbytes")
        base: Any = getattr(bitsandbytes.optim, kind)
        return type(kind, (_NoWaiting, base), {})(groups, **options)  # type: ignore[no-any-return]

    return make


class _NoWaiting:
    """bitsandbytes' step without its synchronisation with the device after each of hundreds of tensors."""

    state: Mapping[Any, Any]
    param_groups: list[dict[str, Any]]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move all weights that have a gradient."""
        optimizer: Any = self
        for number, group in enumerate(self.param_groups):
            for place, weight in enumerate(group["params"]):
                if weight.grad is not None:
                    if not self.state[weight]:
                        optimizer.init_state(group, weight, number, place)
                    optimizer.update_step(group, weight, number, place)


def _prodigy(groups: Groups, **options: Any) -> torch.optim.Optimizer:
    if importlib.util.find_spec("prodigyopt") is None:
        raise UsageError("optimizer: prodigy needs prodigyopt", "pip install prodigyopt, or use adamw")
    highest = max(group["lr"] for group in groups)
    one_rate = [{**group, "lr": highest, "peak_rate": highest} for group in groups]
    prodigy: torch.optim.Optimizer = importlib.import_module("prodigyopt").Prodigy(one_rate, **options)
    return prodigy


def _adafactor(groups: Groups, **options: Any) -> torch.optim.Optimizer:
    from transformers import Adafactor

    fixed = {"scale_parameter": False, "relative_step": False, "warmup_init": False}
    return Adafactor(groups, **(fixed | options))


_MAKERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adamw8bit": _bitsandbytes("AdamW8bit"),
    "lion": _bitsandbytes("Lion"),
    "lion8bit": _bitsandbytes("Lion8bit"),
    "prodigy": _prodigy,
    "adafactor": _adafactor,
}

"""Every optimiser learns, is kept to the bit, tells what it lacks; the rate follows the published curves."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from charaforge.errors import ConfigError, UsageError
from charaforge.training.optimizer import build_optimizer, choose_optimizer
from charaforge.training.optimizer_state import describe_state, restore_state
from charaforge.training.rates import rate_factor, set_rate
from tests.training.conftest import MakeConfig

NAMES = ("adamw", "adamw8bit", "prodigy", "adafactor", "lion", "lion8bit", "torch.optim.NAdam")


def weights() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape)) for shape in ((64, 96), (7, 5), (3,))]


def built(config: Any, held: list[torch.Tensor]) -> torch.optim.Optimizer:
    groups = [
        {"params": held[:2], "lr": config.learning_rate},
        {"params": held[2:], "lr": config.learning_rate},
    ]
    return build_optimizer(choose_optimizer(config)[0], groups, config)


def step(optimizer: torch.optim.Optimizer, held: list[torch.Tensor], factor: float) -> float:
    loss = sum((weight - 3.0).square().sum() for weight in held)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[union-attr]
    set_rate(optimizer, factor)
    optimizer.step()
    return float(loss.detach())  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_and_goes_on_to_the_bit_after_a_stop(make_config: MakeConfig, name: str) -> None:
    """§5-3: resume; also what lives in groups (Prodigy's estimate) and 8-bit state."""
    rate = 1.0 if name == "prodigy" else 1e-2
    config = make_config(optimizer=name, learning_rate=rate, weight_decay=0.0)
    whole, torn = weights(), weights()
    steady, first = built(config, whole), built(config, torn)
    losses = [step(steady, whole, 1.0 - n / 40) for n in range(30)]
    assert losses[-1] < losses[0]
    optimizer = first
    for number in range(30):
        if number in (11, 23):
            tensors, told = describe_state(optimizer)
            held = [torch.nn.Parameter(weight.detach().clone()) for weight in torn]
            optimizer, torn = built(config, held), held
            step(optimizer, [torch.nn.Parameter(w.detach().clone()) for w in held], 1.0)
            restore_state(optimizer, tensors, json.loads(json.dumps(told)))
        step(optimizer, torn, 1.0 - number / 40)
    assert all(torch.equal(a, b) for a, b in zip(whole, torn, strict=True))


def test_eight_bits_are_kept_as_eight_bits(make_config: MakeConfig) -> None:
    held = weights()
    optimizer = built(make_config(optimizer="adamw8bit"), held)
    step(optimizer, held, 1.0)
    tensors, _ = describe_state(optimizer)
    assert tensors["0.state1"].dtype == torch.uint8
    assert tensors["1.state1"].dtype == torch.float32  # too small to be worth it


def test_8_bit_adam_is_the_default_and_the_same_by_either_key(make_config: MakeConfig) -> None:
    assert choose_optimizer(make_config()) == ("adamw8bit", "")
    assert choose_optimizer(make_config(use_8bit_adam=True)) == ("adamw8bit", "")
    assert choose_optimizer(make_config(use_8bit_adam=False)) == ("adamw", "")


def test_without_bitsandbytes_adamw_takes_its_place_and_says_so_where_it_was_asked_for(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """§5-11: bitsandbytes is missing on many machines."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert choose_optimizer(make_config()) == ("adamw", "")
    name, warning = choose_optimizer(make_config(use_8bit_adam=True))
    assert name == "adamw"
    assert "needs the package bitsandbytes" in warning
    with pytest.raises(UsageError, match="lion8bit needs bitsandbytes") as caught:
        choose_optimizer(make_config(optimizer="lion8bit"))
    assert "pip install bitsandbytes" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("came_pytorch.CAME", "No module named 'came_pytorch'"),
        ("torch.optim.Adamm", "has no Adamm"),
        ("torch.nn.Linear", "is no torch.optim.Optimizer"),
    ],
)
def test_an_import_path_that_leads_nowhere_is_refused_before_anything_is_done(
    make_config: MakeConfig, path: str, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        choose_optimizer(make_config(optimizer=path))


def test_arguments_reach_the_class_and_wrong_ones_are_told(make_config: MakeConfig) -> None:
    held = weights()
    config = make_config(
        optimizer="torch.optim.NAdam", adam_betas=[0.8, 0.9], optimizer_args={"momentum_decay": 0.1}
    )
    group = built(config, held).param_groups[0]
    assert (group["betas"], group["momentum_decay"]) == ((0.8, 0.9), 0.1)
    with pytest.raises(UsageError, match=r"does not take these arguments .*momentumm=1") as caught:
        built(make_config(optimizer="adamw", optimizer_args={"momentumm": 1}), held)
    assert "optimizer_args" in caught.value.hint


def test_prodigy_gets_one_rate_and_a_word_about_a_small_one(make_config: MakeConfig) -> None:
    config = make_config(optimizer="prodigy", learning_rate=1e-4)
    assert "1 is usual" in choose_optimizer(config)[1]
    held = weights()
    groups = [{"params": held[:1], "lr": 1.0}, {"params": held[1:], "lr": 0.2}]
    optimizer = build_optimizer("prodigy", groups, config)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 1.0]


def test_an_unknown_name_brings_the_nearest(make_config: MakeConfig) -> None:
    with pytest.raises((ValueError, ConfigError), match="did you mean 'adamw8bit'"):
        make_config(optimizer="adamw8bits")


def test_the_rate_warms_up_and_falls_as_the_published_curves_do(make_config: MakeConfig) -> None:
    def rates(*steps: int, **changes: Any) -> list[float]:
        config = make_config(max_train_steps=110, lr_warmup_steps=10, **changes)
        return [rate_factor(config, n) for n in steps]

    assert rates(0, 10, 60, 110) == pytest.approx([0.1, 1.0, 0.5, 0.0])
    assert rates(9, 10, 109, lr_scheduler="constant") == [1.0, 1.0, 1.0]
    assert rates(10, 35, 110, lr_scheduler="linear") == pytest.approx([1.0, 0.75, 0.0])
    assert rates(10, 60, 110, lr_scheduler="rex") == pytest.approx([1.0, 0.5 / 0.75, 0.0])
    restarts = rates(10, 35, 59, 60, 85, lr_scheduler="cosine_with_restarts", lr_scheduler_cycles=2)
    last = 0.5 * (1 + math.cos(math.pi * 0.98))
    assert restarts == pytest.approx([1.0, 0.5, last, 1.0, 0.5])
    assert rate_factor(make_config(max_train_steps=200, lr_warmup_share=0.05), 4) == pytest.approx(0.5)

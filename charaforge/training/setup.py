"""Everything a loop needs, built once: base, pictures, adapter, optimiser, latents, captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn

from charaforge.diffusion.noise import NoiseSchedule
from charaforge.training.base import Base
from charaforge.training.batches import Deck
from charaforge.training.cache import TensorCache
from charaforge.training.config import TrainingConfig
from charaforge.training.dataset import Dataset
from charaforge.training.latents import LatentEncoder, Latents
from charaforge.training.loss import Objective
from charaforge.training.network import Adapter
from charaforge.training.optimizer import build_optimizer, choose_optimizer
from charaforge.training.precision import compute_dtype, dtype_name
from charaforge.training.processes import Processes
from charaforge.training.validation import Validation
from charaforge.training.words import CachedWords, LiveWords, Words


@dataclass(frozen=True)
class Plan:
    """What a run will do, decided before anything is computed.

    Attributes:
        dtype: format in which base and adapter compute.
        optimizer: see `choose_optimizer`.
        warnings: what is not done as asked, one line each.
    """

    dtype: torch.dtype
    optimizer: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """A run that has been checked and can begin.

    Attributes:
        config: what was asked for.
        plan: how it will be computed.
        base: what it is trained for; float32, untouched.
        dataset: what it learns from.
        processes: who takes part.
    """

    config: TrainingConfig
    plan: Plan
    base: Base
    dataset: Dataset
    processes: Processes


@dataclass(frozen=True)
class Setup:
    """The parts of a run.

    Attributes:
        config: what was asked for.
        processes: who else takes part.
        unet: with the adapter in it.
        schedule: of the base.
        objective: what is minimised.
        adapter: what is trained.
        optimizer: over the adapter's float32 weights.
        deck: what batches are drawn from.
        latents: of the training pictures, on the device of the run.
        words: their captions.
        validation: the loss on held-out pictures.
    """

    config: TrainingConfig
    processes: Processes
    unet: nn.Module
    schedule: NoiseSchedule
    objective: Objective
    adapter: Adapter
    optimizer: torch.optim.Optimizer
    deck: Deck
    latents: Latents
    words: Words
    validation: Validation


def make_plan(config: TrainingConfig, processes: Processes) -> Plan:
    """Decide number format and optimiser from what was asked for and what the machine can do."""
    dtype, told = compute_dtype(config.mixed_precision, processes.device)
    optimizer, also_told = choose_optimizer(config)
    return Plan(dtype, optimizer, tuple(line for line in (told, also_told) if line))


def identity(run: Prepared) -> dict[str, Any]:
    """Return everything that decides what a run computes; only a state with an equal one is gone on with."""
    free = {"output_dir", "save_every_steps", "sample_prompts", "dataset_meta", "train_data_dir", "model_id"}
    return {
        **run.config.model_dump(mode="json", exclude=free),
        "base": run.base.bundle.sha256,
        "pictures": run.dataset.fingerprint(),
        "resolution": run.base.resolution,
        "computed in": dtype_name(run.plan.dtype),
        "optimizer": run.plan.optimizer,
        "device": run.processes.device.type,
        "processes": run.processes.count,
    }


def build(run: Prepared, cache: TensorCache) -> Setup:
    """Compute latents and captions, then turn the base into what is trained."""
    config, dtype, bundle, device = run.config, run.plan.dtype, run.base.bundle, run.processes.device
    encoder = LatentEncoder(bundle, cache)
    latents = Latents(run.dataset.train, encoder, device, config.prior_loss_weight)
    held_out = [encoder.latent(sample).to(device) for sample in run.dataset.held_out]
    words = _words(run, cache)
    words_learn = config.trained_parts != ("unet",)
    encoders = [_cast(encoder, dtype) for encoder in bundle.text_encoders] if words_learn else []
    unet = _prepared(bundle.unet, dtype)
    adapter = Adapter(unet, encoders, config, dtype)
    return Setup(
        config=config,
        processes=run.processes,
        unet=unet,
        schedule=bundle.schedule,
        objective=Objective(config, bundle.schedule),
        adapter=adapter,
        optimizer=build_optimizer(run.plan.optimizer, _groups(adapter, config), config),
        deck=Deck.of(run.dataset.train),
        latents=latents,
        words=words,
        validation=Validation(run.dataset.held_out, held_out, bundle.schedule, config.seed),
    )


def _groups(adapter: Adapter, config: TrainingConfig) -> list[dict[str, Any]]:
    """Return the adapter's weights, one group for each learning rate, with its peak."""
    text = config.text_learning_rate
    second = config.text_encoder_2_learning_rate or text
    rates = {"unet": config.learning_rate, "text_encoder": text, "text_encoder_2": second}
    return [{"params": g.weights, "lr": rates[g.part] * g.rate_factor} for g in adapter.groups()]


def _words(run: Prepared, cache: TensorCache) -> Words:
    if run.config.trained_parts != ("unet",):
        return LiveWords(run.base.bundle, run.dataset.train, run.config)
    data = run.dataset
    return CachedWords(run.base.bundle, data.train, data.held_out, run.config, cache, run.plan.dtype)


def _prepared(unet: UNet2DConditionModel, dtype: torch.dtype) -> nn.Module:
    """Return the UNet in the format it computes in, laid out as that is fastest."""
    ready = _cast(unet, dtype)
    if unet.device.type == "cpu" and dtype == torch.bfloat16:
        ready.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        unet.set_attn_processor(AttnProcessor())  # faster than fused attention in bf16 on a CPU
    return ready


def _cast(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Cast every parameter in place; the models' own `to` would warn."""
    for parameter in module.parameters():
        parameter.data = parameter.data.to(dtype)
    return module

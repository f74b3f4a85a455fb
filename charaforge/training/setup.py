"""Everything a loop needs, built once: base, pictures, adapter, optimiser, latents, captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from charaforge.diffusion.noise import NoiseSchedule
from charaforge.generation.heap import trim
from charaforge.training.arrangement import cast, finish, place
from charaforge.training.base import Base
from charaforge.training.batches import Deck
from charaforge.training.cache import TensorCache
from charaforge.training.config import TrainingConfig
from charaforge.training.config.publishing import PublishingSettings
from charaforge.training.dataset import Dataset
from charaforge.training.latents import LatentEncoder, Latents
from charaforge.training.loss import Objective
from charaforge.training.network import Adapter
from charaforge.training.optimizer import build_optimizer, choose_optimizer
from charaforge.training.precision import compute_dtype, dtype_name
from charaforge.training.processes import Processes
from charaforge.training.residency import release
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
    offload = ""
    if config.activation_offload and processes.device.type == "cpu":
        offload = "activation_offload does nothing on a CPU"
    return Plan(dtype, optimizer, tuple(line for line in (told, also_told, offload) if line))


def identity(run: Prepared) -> dict[str, Any]:
    """Return everything that decides what a run computes; only a state with an equal one is gone on with."""
    files = {"output_dir", "dataset_meta", "train_data_dir", "model_id"}
    shown = {"sample_prompts", "sample_negative", "sample_every_steps", "tensorboard", "wandb_project"}
    kept = {"save_every_steps", "keep_last", "max_rollbacks", "log_every_steps"}
    memory = {"gradient_checkpointing", "activation_offload"}
    free = files | shown | kept | memory | set(PublishingSettings.model_fields)
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
    """Compute latents and captions, then turn the base into what is trained.

    The base comes loaded into the computer's memory. VAE, text encoders and UNet come to the device one after
    the other; what is not needed any more goes before the next comes.
    """
    config, dtype, bundle, device = run.config, run.plan.dtype, run.base.bundle, run.processes.device
    nn.Module.to(bundle.vae, device)
    encoder = LatentEncoder(bundle, cache)
    latents = Latents(run.dataset.train, encoder, device, config.prior_loss_weight)
    held_out = [encoder.latent(sample).to(device) for sample in run.dataset.held_out]
    release(bundle.vae)
    for text_encoder in bundle.text_encoders:
        nn.Module.to(text_encoder, device)
    words = _words(run, cache)
    words_learn = config.trained_parts != ("unet",)
    if not words_learn:
        release(*bundle.text_encoders)
    encoders = [cast(encoder, dtype) for encoder in bundle.text_encoders] if words_learn else []
    unet = bundle.unet
    place(unet, config, dtype, device)
    adapter = Adapter(unet, encoders, config, dtype)
    finish(unet, config, checkpointing=_checkpointing(run))
    trim()
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


def _checkpointing(run: Prepared) -> bool:
    """Return whether activations are computed twice: as told, or if they would not fit into the GPU."""
    told, device = run.config.gradient_checkpointing, run.processes.device
    if told != "auto":
        return told
    if device.type != "cuda":
        return False
    from charaforge.training.footprint.estimate import Estimator

    free, _ = torch.cuda.mem_get_info(device)
    sizes = [sample.size for sample in run.dataset.train]
    largest = max(sizes, key=lambda size: size[0] * size[1])
    estimator = Estimator(run.base.bundle, run.config, run.plan.dtype, run.plan.optimizer, largest)
    weights = estimator.footprint(run.config.train_batch_size, checkpointing=True).weights
    return estimator.needs_checkpointing(free + weights, run.config.train_batch_size)


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

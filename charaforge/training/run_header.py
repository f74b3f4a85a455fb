"""What the header of a trained LoRA says: every key that kohya's scripts write and this trainer knows.

Two equal runs write equal files; hence no times, unless `save_times` asks for them, and a session id that
follows from the settings.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charaforge import __version__
from charaforge.diffusion.lora_header import describe
from charaforge.training.config import TrainingConfig
from charaforge.training.dataset import Dataset
from charaforge.training.precision import dtype_name
from charaforge.training.randomness import derived_seed
from charaforge.training.setup import Plan, Prepared
from charaforge.warehouse.recommended import HINT_KEY, usage_hint

_MODULES = {"lora": "networks.lora", "loha": "lycoris.kohya", "lokr": "lycoris.kohya"}
_SAME_NAMES = (
    "adaptive_noise_scale",
    "clip_skip",
    "debiased_estimation_loss",
    "huber_c",
    "huber_schedule",
    "ip_noise_gamma",
    "ip_noise_gamma_random_strength",
    "keep_tokens",
    "loss_type",
    "max_timestep",
    "max_token_length",
    "min_snr_gamma",
    "min_timestep",
    "multires_noise_discount",
    "multires_noise_iterations",
    "noise_offset",
    "noise_offset_random_strength",
    "prior_loss_weight",
    "scale_weight_norms",
    "seed",
    "timestep_sampling",
)
_OTHER_NAMES = {
    "ss_caption_dropout_rate": "caption_dropout",
    "ss_caption_tag_dropout_rate": "tag_dropout",
    "ss_flip_aug": "flip_aug",
    "ss_gradient_accumulation_steps": "gradient_accumulation_steps",
    "ss_gradient_checkpointing": "gradient_checkpointing",
    "ss_learning_rate": "learning_rate",
    "ss_lr_scheduler": "lr_scheduler",
    "ss_max_grad_norm": "max_grad_norm",
    "ss_max_train_steps": "max_train_steps",
    "ss_network_dropout": "network_dropout",
    "ss_shuffle_caption": "shuffle_tags",
    "ss_training_comment": "comment",
    "ss_weighted_captions": "weighted_tags",
}


def run_header(run: Prepared) -> dict[str, str]:
    """Return the metadata of a run's LoRA files in kohya's and modelspec's keys, without the step."""
    config, dataset, base = run.config, run.dataset, run.base
    return describe(
        title=config.lora_id,
        base_name=base.bundle.name,
        base_sha256=base.bundle.sha256,
        side=base.resolution,
        prediction=base.bundle.schedule.prediction,
        rank=config.rank,
        alpha=config.network_alpha,
        placeholders={"character": dataset.character},
        family=base.bundle.family,
        module=_MODULES[config.network_type],
        extra={
            **_about_settings(config),
            "ss_zero_terminal_snr": str(base.bundle.schedule.zero_terminal_snr),
            **_about_pictures(config, dataset),
            **_about_training(config, run.plan, dataset),
            **_about_publishing(config, dataset),
        },
    )


def _about_settings(config: TrainingConfig) -> dict[str, str]:
    """Return the settings that kohya's scripts have too, under their names."""
    told = config.model_dump(mode="json")
    named = {**{f"ss_{name}": name for name in _SAME_NAMES}, **_OTHER_NAMES}
    return {key: _as_kohya(told[name]) for key, name in named.items()}


def _about_pictures(config: TrainingConfig, dataset: Dataset) -> dict[str, Any]:
    own = [sample for sample in dataset.train if not sample.prior]
    others = len(dataset.train) - len(own)
    repeats = max((sample.repeats for sample in own), default=1)
    tags = Counter(tag for sample in own for tag in sample.caption.tags)
    sizes = Counter(sample.size for sample in dataset.train)
    source = _source(config)
    return {
        "ss_tag_frequency": {source: dict(tags.most_common())},
        "ss_dataset_dirs": {source: {"n_repeats": repeats, "img_count": len(own)}},
        "ss_bucket_info": {
            "buckets": {
                str(number): {"resolution": list(size), "count": count}
                for number, (size, count) in enumerate(sorted(sizes.items()))
            }
        },
        "ss_enable_bucket": str(config.buckets),
        "ss_num_train_images": str(sum(sample.repeats for sample in own)),
        "ss_num_reg_images": str(others),
        "ss_reg_dataset_dirs": {"regularisation": {"n_repeats": 1, "img_count": others}} if others else {},
        "ss_num_validation_images": str(len(dataset.held_out)),
    }


def _about_training(config: TrainingConfig, plan: Plan, dataset: Dataset) -> dict[str, Any]:
    trained = config.trained_parts
    words = f"{config.text_learning_rate:g}" if "text_encoder" in trained else "None"
    epochs = config.max_train_steps * config.pictures_per_step / max(len(dataset.train), 1)
    return {
        "ss_unet_lr": f"{config.learning_rate:g}" if "unet" in trained else "None",
        "ss_text_encoder_lr": words,
        "ss_lr_warmup_steps": str(config.warmup),
        "ss_optimizer": plan.optimizer,
        "ss_mixed_precision": dtype_name(plan.dtype),
        "ss_batch_size_per_device": str(config.train_batch_size),
        "ss_total_batch_size": str(config.pictures_per_step),
        "ss_num_epochs": str(max(1, round(epochs))),
        "ss_cache_latents": "True",
        "ss_caption_dropout_every_n_epochs": "0",
        "ss_color_aug": "False",
        "ss_network_args": _network_args(config),
        "ss_session_id": str(derived_seed(config.seed, "session", config.lora_id) % 2**32),
        "ss_sd_scripts_commit_hash": f"charaforge {__version__}",
    }


def _about_publishing(config: TrainingConfig, dataset: Dataset) -> dict[str, Any]:
    tags = Counter(tag for sample in dataset.train for tag in sample.caption.tags)
    now = datetime.datetime.now(datetime.UTC)
    times = {
        "modelspec.date": now.isoformat(timespec="seconds"),
        "ss_training_started_at": f"{now.timestamp()}",
    }
    return {
        "modelspec.author": config.author or None,
        "modelspec.license": config.license or None,
        "modelspec.description": config.comment or None,
        "modelspec.tags": ", ".join(tag for tag, _ in tags.most_common(20)) or None,
        HINT_KEY: usage_hint(dataset.character, None) if dataset.character else None,
        **(times if config.save_times else {}),
    }


def _network_args(config: TrainingConfig) -> dict[str, str]:
    """Return what kohya's `--network_args` would be; LyCORIS' kinds are named by `algo` there."""
    spatial = config.network_conv_rank > 0
    told: Mapping[str, tuple[bool, str]] = {
        "algo": (config.network_type != "lora", config.network_type),
        "conv_dim": (spatial, str(config.network_conv_rank)),
        "conv_alpha": (spatial, f"{config.network_conv_alpha:g}"),
        "dora_wd": (config.use_dora, "True"),
        "rs_lora": (config.use_rslora, "True"),
        "factor": (config.network_type == "lokr", str(config.lokr_factor)),
        "rank_dropout": (config.rank_dropout > 0, f"{config.rank_dropout:g}"),
        "module_dropout": (config.module_dropout > 0, f"{config.module_dropout:g}"),
        "loraplus_lr_ratio": (config.lora_plus_ratio != 1, f"{config.lora_plus_ratio:g}"),
        "ema_decay": (config.ema_decay > 0, f"{config.ema_decay:g}"),
    }
    return {key: text for key, (said, text) in told.items() if said}


def _as_kohya(value: object) -> str:
    """Return a setting as kohya's headers have it: Python's words, floats as short as they are exact."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _source(config: TrainingConfig) -> str:
    return (config.dataset_meta or config.train_data_dir or Path()).name

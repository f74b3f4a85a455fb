"""Whether what a run will write can be written, found out before any step."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from torch import nn

from charaforge.errors import UsageError
from charaforge.training.config import TrainingConfig
from charaforge.training.setup import Prepared

_STATE_COPIES = 2
_STATE_BYTES = 4 * 4  # weights, their best, and an optimiser's two moments, float32
_LORA_BYTES = 2
_MARGIN = 64 * 2**20


def check_output(config: TrainingConfig) -> None:
    """Try whether the folder of the LoRA can be written to; nothing stays, nothing is made.

    Raises:
        UsageError: it cannot.
    """
    folder = nearest_folder(config.output_dir)
    probe = folder / f".charaforge-{secrets.token_hex(4)}"
    try:
        probe.write_bytes(b"\0" * 4096)
    except OSError as error:
        raise UsageError(
            f"output_dir {config.output_dir} cannot be written to: {error.strerror or error}",
            "give a folder you may write to, on a disk with space",
        ) from error
    finally:
        if probe.exists():
            probe.unlink(missing_ok=True)


def check_space(run: Prepared) -> int:
    """Refuse a disk that would be full before the run is over; return the bytes that will be written.

    Raises:
        UsageError: there is too little space.
    """
    folder = nearest_folder(run.config.output_dir)
    needed = bytes_written(run)
    free = shutil.disk_usage(folder).free
    if free < needed + _MARGIN:
        raise UsageError(
            f"the disk of {folder} has {_gib(free)} free, this run writes about {_gib(needed + _MARGIN)}",
            "make space, choose another output_dir, or raise save_every_steps (fewer checkpoints)",
        )
    return needed


def bytes_written(run: Prepared) -> int:
    """Return about how many bytes the checkpoints and the state take in the end."""
    config = run.config
    weights = _trained_weights(run.base.bundle.unet, config.rank, bool(config.network_conv_rank))
    files = config.max_train_steps // config.save_every_steps + 1
    if config.keep_last:
        files = min(files, config.keep_last + 1)
    return weights * (files * _LORA_BYTES + _STATE_COPIES * _STATE_BYTES)


def nearest_folder(path: Path) -> Path:
    """Return the folder itself, or the nearest one above it that exists."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())


def _trained_weights(unet: nn.Module, rank: int, convolutions: bool) -> int:
    """Return about how many weights an adapter has, whatever its kind."""
    total = 0
    for path, layer in unet.named_modules():
        if isinstance(layer, nn.Linear) and "attentions" in path:
            total += rank * (layer.in_features + layer.out_features)
        elif isinstance(layer, nn.Conv2d) and ("attentions" in path or convolutions):
            area = layer.kernel_size[0] * layer.kernel_size[1]
            total += rank * (layer.in_channels * area + layer.out_channels)
    return total


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"

"""The checkpoints of a LoRA, and the one that becomes *the* LoRA."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from charaforge.errors import NotMeasurableError
from charaforge.evaluation.publish import CHOSEN, numbers, with_numbers
from charaforge.evaluation.rendering import lora_hash
from charaforge.evaluation.results import Evaluation
from charaforge.logs import get_logger
from charaforge.warehouse.atomic import replacing, write_bytes, write_json
from charaforge.warehouse.cards import safetensors_metadata
from charaforge.warehouse.layout import Warehouse

_STEPS = "ss_steps"
logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint.

    Attributes:
        name: What requests call it, ``<id>@<step>``.
        step: Optimizer steps.
        file: Its safetensors file.
    """

    name: str
    step: int
    file: Path


def checkpoints_of(lora_id: str, warehouse: Warehouse, most: int) -> list[Checkpoint]:
    """The checkpoints of a LoRA by step, the LoRA itself among them.

    The LoRA's own file becomes a checkpoint where its header tells the step, and there is none of that step.

    Args:
        lora_id: Id of the LoRA.
        warehouse: Where it lies.
        most: How many to return; of more, as many spread evenly, the last among them.

    Raises:
        NotMeasurableError: there is none.
    """
    folder = warehouse.lora_folder(lora_id)
    _keep_as_checkpoint(folder)
    found = sorted((step, file) for file in _files(folder) for step in [_step_of(file)] if step is not None)
    if not found:
        raise NotMeasurableError(
            f"{lora_id} has no checkpoints to choose from: at least 1 is missing in {folder / 'checkpoints'}",
            "train it with save_every_steps, or measure it as it is, without --choose",
        )
    taken = sorted({round(i * (len(found) - 1) / max(most - 1, 1)) for i in range(most)} | {len(found) - 1})
    return [Checkpoint(f"{lora_id}@{step}", step, file) for step, file in (found[i] for i in taken[-most:])]


def adopt(evaluation: Evaluation, warehouse: Warehouse) -> Path:
    """Make the chosen checkpoint the LoRA, atomically, its numbers in the header; then write ``chosen.json``.

    Where no checkpoint is the same as the LoRA's former file, that is kept first: beside the new one, as
    ``<id>-before-<hash>.safetensors``, which is no checkpoint and which no training clears away.

    Args:
        evaluation: Of ``select``.
        warehouse: Where the LoRA lies.

    Returns:
        Path of ``chosen.json``.

    Raises:
        ValueError: nothing was chosen in this evaluation.
    """
    choice = evaluation.choice
    if choice is None or choice.step is None:
        raise ValueError("nothing was chosen in this evaluation")
    folder = warehouse.lora_folder(evaluation.lora)
    file = _checkpoint_file(folder, choice.step)
    _keep_beside(folder)
    write_bytes(_own(folder), with_numbers(file.read_bytes(), evaluation))
    path = folder / CHOSEN
    record = {
        "lora": evaluation.lora,
        "checkpoint": choice.name,
        "file": file.relative_to(folder).as_posix(),
        "step": choice.step,
        "weight": choice.weight,
        "sha256": lora_hash(file),
        **numbers(evaluation),
    }
    write_json(path, record)
    return path


def _files(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob(f"{folder.name}-step*.safetensors"))


def _step_of(file: Path) -> int | None:
    digits = file.stem.rpartition("-step")[2]
    return int(digits) if digits.isdigit() else None


def _checkpoint_file(folder: Path, step: int) -> Path:
    return next(file for file in _files(folder) if _step_of(file) == step)


def _own(folder: Path) -> Path:
    return folder / f"{folder.name}.safetensors"


def _is_nowhere_else(folder: Path) -> bool:
    """Whether there is a LoRA, and no checkpoint is the same."""
    own = _own(folder)
    return own.is_file() and lora_hash(own) not in {lora_hash(file) for file in _files(folder)}


def _keep_as_checkpoint(folder: Path) -> None:
    if not _is_nowhere_else(folder):
        return
    step = str(safetensors_metadata(_own(folder)).get(_STEPS, ""))
    taken = {_step_of(file) for file in _files(folder)}
    if step.isdigit() and int(step) not in taken:
        _copy(_own(folder), folder / "checkpoints" / f"{folder.name}-step{int(step):08d}.safetensors")


def _keep_beside(folder: Path) -> None:
    if not _is_nowhere_else(folder):
        return
    own = _own(folder)
    target = own.with_stem(f"{own.stem}-before-{lora_hash(own)[:12]}")
    if not target.is_file():
        _copy(own, target)
    logger.info("the former %s is no checkpoint; it is kept as %s", folder.name, target)


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)

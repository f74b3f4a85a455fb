"""The checkpoints of a LoRA, and the one that becomes *the* LoRA."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from charaforge.errors import NotMeasurableError
from charaforge.evaluation.publish import CHOSEN, numbers, usage_hint, with_header
from charaforge.evaluation.rendering import lora_hash
from charaforge.evaluation.results import Evaluation
from charaforge.warehouse.atomic import replacing, write_bytes, write_json
from charaforge.warehouse.cards import safetensors_metadata
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.recommended import NUMBERS_KEY

_STEPS = "ss_steps"


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

    The LoRA's own file is about to be replaced, so where no checkpoint is the same it is kept as one first.

    Args:
        lora_id: Id of the LoRA.
        warehouse: Where it lies.
        most: How many to return; of more, as many spread evenly, the last among them.

    Raises:
        NotMeasurableError: there is none.
    """
    folder = warehouse.lora_folder(lora_id)
    _keep_itself(folder)
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
    told = numbers(evaluation)
    header = {
        NUMBERS_KEY: json.dumps(told, sort_keys=True),
        "modelspec.usage_hint": usage_hint(evaluation.character, choice.weight),
    }
    write_bytes(folder / f"{folder.name}.safetensors", with_header(file.read_bytes(), header))
    path = folder / CHOSEN
    record = {
        "lora": evaluation.lora,
        "checkpoint": choice.name,
        "file": file.relative_to(folder).as_posix(),
        "step": choice.step,
        "weight": choice.weight,
        "sha256": lora_hash(file),
        **told,
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


def _keep_itself(folder: Path) -> None:
    own = folder / f"{folder.name}.safetensors"
    if not own.is_file() or lora_hash(own) in {lora_hash(file) for file in _files(folder)}:
        return
    step = str(safetensors_metadata(own).get(_STEPS, ""))
    taken = {_step_of(file) for file in _files(folder)}
    if step.isdigit() and int(step) not in taken:
        target = folder / "checkpoints" / f"{folder.name}-step{int(step):08d}.safetensors"
        with replacing(target) as temporary:
            shutil.copyfile(own, temporary)

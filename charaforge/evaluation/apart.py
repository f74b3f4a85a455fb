"""Held out means: no training saw it; what a LoRA's own folder says it was trained on counts as well."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from charaforge.errors import NotMeasurableError
from charaforge.evaluation.pictures import SUFFIXES
from charaforge.evaluation.results import Evaluation
from charaforge.evaluation.subject import Subject, training_record
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import is_usable, locate_picture, table_rows

UNCHECKED = "Nobody could check that the references were held out of training"
"""How the caution begins that says so; see ``was_checked``."""

_TRAINED = ("", "train", "val")


def trained_on(lora: str, warehouse: Warehouse) -> tuple[Path, ...]:
    """Pictures that a LoRA, or the LoRA of a checkpoint, was trained on; none where nothing tells.

    Args:
        lora: Registry name, maybe ``<id>@<step>``.
        warehouse: Where it lies.
    """
    record = training_record(warehouse.lora_folder(lora.partition("@")[0]))
    if record is None:
        return ()
    table, folder = record.table, record.train_data_dir
    if table is not None:
        return _in_table(table, record.character, warehouse) if table.is_file() else ()
    if folder is None or not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES))


def why_unchecked(lora: str, warehouse: Warehouse) -> str:
    """Why nothing shows which pictures a LoRA was trained on; "" where its record tells and all are there.

    Args:
        lora: As of ``trained_on``.
        warehouse: Where it lies.
    """
    record = training_record(warehouse.lora_folder(lora.partition("@")[0]))
    if record is None:
        return "the LoRA carries no record of it"
    source = record.table or record.train_data_dir
    if source is None or not source.exists():
        return f"{source.name if source else 'the source of its pictures'} is not found"
    pictures = trained_on(lora, warehouse)
    gone = sum(not path.is_file() for path in pictures)
    if gone:
        return f"{gone} of the {len(pictures)} pictures in {source.name} are gone"
    return "" if pictures else f"{source.name} lists no pictures of it"


def was_checked(evaluation: Evaluation) -> bool:
    """Whether the references were held against the pictures that the LoRA says it was trained on."""
    return not any(line.startswith(UNCHECKED) for line in evaluation.warnings)


def also_trained(subject: Subject, pictures: Iterable[Path]) -> Subject:
    """The subject with further pictures among those that were trained on."""
    known = {path.resolve() for path in subject.training}
    new = [path for path in pictures if path.is_file() and path.resolve() not in known]
    return replace(subject, training=(*subject.training, *new)) if new else subject


def check_apart(subject: Subject) -> None:
    """Refuse held-out pictures that were trained on, by their place or their bytes.

    Raises:
        NotMeasurableError: with their number.
    """
    sizes = {path.stat().st_size for path in subject.held_out}
    trained = {path for path in subject.training if path.is_file() and path.stat().st_size in sizes}
    contents = set(_digests(trained).values())
    leaks = [path for path, digest in _digests(subject.held_out).items() if digest in contents]
    if leaks:
        raise NotMeasurableError(
            f"{len(leaks)} of {len(subject.held_out)} held-out pictures of {subject.name!r} were trained on "
            f"({leaks[0].name} …)",
            "that proves nothing; hold out others (split ref and calib) and train anew",
        )


def _in_table(table: Path, character: str, warehouse: Warehouse) -> tuple[Path, ...]:
    rows = [row for row in table_rows(table) if is_usable(row) and row.get("image_path")]
    mine = [row for row in rows if not character or row.get("character") == character]
    told = [row["image_path"] for row in mine if row.get("split", "") in _TRAINED]
    return tuple(locate_picture(one, table, warehouse) for one in told)


def _digests(paths: Iterable[Path]) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

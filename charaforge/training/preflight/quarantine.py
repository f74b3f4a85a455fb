"""The list of files that are not trained on; the files themselves are never touched."""

from __future__ import annotations

from pathlib import Path

from charaforge.training.dataset import Dataset
from charaforge.warehouse.atomic import write_text

NAME = "quarantine.tsv"


def write_quarantine(dataset: Dataset, folder: Path) -> Path | None:
    """Write `quarantine.tsv`: path and reason of every file that is left out, one line each.

    Args:
        dataset: what was read.
        folder: of the LoRA; made when needed.

    Returns:
        The file; None where nothing is left out, and then an old list is removed.
    """
    file = folder / NAME
    if not dataset.left_out:
        file.unlink(missing_ok=True)
        return None
    write_text(file, "".join(f"{one.path}\t{one.reason}\n" for one in dataset.left_out))
    return file

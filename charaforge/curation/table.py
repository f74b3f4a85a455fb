"""Tables of the stages: Parquet is the truth, CSV its flat view.

A stage writes `<dataset>/<stage>.parquet` with the columns path (absolute), sha256 and error ("" where all is
well), then its own. Lists and dictionaries are stored as JSON text.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from charaforge.curation.pictures import shown
from charaforge.errors import DatasetError
from charaforge.warehouse.atomic import replacing, write_json, write_text

Row = dict[str, Any]
KEYS = ("path", "sha256", "error")


def absolute(path: Path) -> Path:
    """Return the path with its folders resolved; a link keeps its own name."""
    return path.parent.resolve() / path.name


def write_stage(
    dataset: Path,
    stage: str,
    rows: Mapping[Path, Mapping[str, Any]],
    summary: Mapping[str, Any] | None = None,
) -> Path:
    """Write `<dataset>/<stage>.parquet`, and what is to be said of the stage into `<dataset>/summary.json`.

    Args:
        dataset: folder of the dataset.
        stage: name of the stage.
        rows: what `run_stage` gave, with columns added or left out; "sha256" and "error" may be missing.
        summary: JSON values; the numbers of pictures and of errors by reason are put in front of them.

    Returns:
        Path of the table.
    """
    table = [{"path": shown(absolute(path)), "sha256": "", "error": "", **row} for path, row in rows.items()]
    file = dataset / f"{stage}.parquet"
    write_parquet(file, table)
    update_summary(dataset, stage, {**counts(table), **(summary or {})})
    return file


def read_stage(dataset: Path, stage: str) -> dict[str, Row]:
    """Return the rows of a stage by their path; {} where it has not run.

    Raises:
        DatasetError: the table is broken.
    """
    file = dataset / f"{stage}.parquet"
    return {row["path"]: row for row in read_parquet(file)} if file.is_file() else {}


def counts(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return {"pictures": n, "errors": m, "reasons": {reason: number}}, the most frequent reasons first."""
    reasons = [str(row.get("error") or "") for row in rows]
    told = Counter(reason.split(": ")[0].split(" (")[0] for reason in reasons if reason)
    return {"pictures": len(reasons), "errors": told.total(), "reasons": dict(told.most_common())}


def update_summary(dataset: Path, stage: str, values: Mapping[str, Any]) -> None:
    """Put what a stage tells into `<dataset>/summary.json`, beside what the others told."""
    file = dataset / "summary.json"
    write_json(file, {**read_summary(dataset), stage: dict(values)})


def read_summary(dataset: Path) -> dict[str, Any]:
    """Return stage -> what it told; {} where nothing has run, or the file was damaged."""
    try:
        value = json.loads((dataset / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_parquet(file: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Write rows; a column is whatever a row has, in the order of `columns` and then of first appearance."""
    import pyarrow
    from pyarrow import parquet

    names = list(
        dict.fromkeys([*columns, *KEYS[: 0 if columns else 3], *(key for row in rows for key in row)])
    )
    arrays = {name: _array([_flat(row.get(name)) for row in rows]) for name in names}
    with replacing(file) as temporary:
        parquet.write_table(pyarrow.table(arrays), temporary, compression="zstd")


def read_parquet(file: Path) -> list[Row]:
    """Return the rows of a Parquet file.

    Raises:
        DatasetError: it is missing or broken.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        rows: list[Row] = parquet.read_table(file).to_pylist()
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{file} cannot be read: {error}", "delete it and run the stage again") from error
    return rows


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as CSV (UTF-8, comma, one line per row)."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: _flat(row.get(name)) for name in columns} for row in rows)
    write_text(file, text.getvalue())


def _flat(value: Any) -> Any:
    if isinstance(value, list | tuple | dict):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, str):  # names of files may hold bytes that are not UTF-8
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return value


def _array(values: list[Any]) -> Any:
    """Return an Arrow array; a column that holds nothing is one of texts."""
    import pyarrow

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and float in kinds:
        return pyarrow.array(values, pyarrow.float64())
    if not kinds or len(kinds) > 1:
        values = [None if value is None else str(value) for value in values]
        return pyarrow.array(values, pyarrow.string())
    return pyarrow.array(values)

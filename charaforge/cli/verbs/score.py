"""`charaforge score`: how much the pictures of a batch look like the characters of their LoRAs.

Each picture gets its likeness: the median cosine of its identity embedding to the held-out references of its
LoRA's dataset. Beside it stands what real pictures of the character reach, each against the others.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charaforge.errors import CharaForgeError, ExitCode, NotMeasurableError
from charaforge.logs import get_logger, track
from charaforge.warehouse.bootstrap import bootstrap

if TYPE_CHECKING:
    from charaforge.jobstore.job import Job
    from charaforge.warehouse.layout import Warehouse
    from charaforge.warehouse.registry import Registry

logger = get_logger(__name__)

NAME = "score"
HELP = "measure how much the pictures of a batch look like the characters of their LoRAs"

CHUNK = 64
LOW_SHARE = 0.05
"""Real references that a picture may fall below and still look like the character, on average."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("job", metavar="JOB", help="the batch")


def run(args: argparse.Namespace) -> int:
    """Score what is done; write `scores.json` to the job and `scores.csv` beside the pictures."""
    warehouse = bootstrap()
    from charaforge.jobstore.store import JobStore
    from charaforge.warehouse.atomic import write_json
    from charaforge.warehouse.registry import Registry

    job = JobStore(warehouse).job(args.job)
    scores: dict[int, float] = {}
    characters: dict[str, Any] = {}
    for (lora, model), items in _by_lora(job).items():
        try:
            found, summary = _score(job, items, lora, model, Registry(warehouse))
        except CharaForgeError as error:
            logger.warning("%s: %s", lora, error)
            characters[lora] = {"not_measured": error.message}
            continue
        scores |= found
        characters[lora] = summary
    if not scores:
        reasons = "; ".join(f"{name}: {told['not_measured']}" for name, told in characters.items())
        raise NotMeasurableError(f"no picture of {job.id} can be scored: {reasons or 'none names a LoRA'}")
    write_json(job.folder.scores, {"characters": characters, "items": scores})
    table = job.pictures.out / "scores.csv"
    _write_table(table, job, scores)
    for lora, told in characters.items():
        print(f"{lora}: " + ", ".join(f"{name} {value}" for name, value in told.items()))
    print(f"table: {table}")
    return ExitCode.PASS


def _by_lora(job: Job) -> dict[tuple[str, str], list[int]]:
    """Return the items that are done, by the LoRA that weighs most and the model."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for item in job.items.all():
        loras = sorted(item.request["loras"], key=lambda use: abs(float(use["weight"])))
        if loras and job.pictures.begun(item.number):
            found[str(loras[-1]["name"]), str(item.request["model"])].append(item.number)
    return found


def _score(
    job: Job, items: list[int], lora: str, model: str, registry: Registry
) -> tuple[dict[int, float], dict[str, Any]]:
    """Return the likeness of each item, and what is said of all of them."""
    import numpy as np

    from charaforge.evaluation.identity import leave_one_out, likeness
    from charaforge.evaluation.judges import find_judge
    from charaforge.evaluation.pictures import read_pictures
    from charaforge.perception.ccip import IdentityEncoder

    judge = find_judge(registry, registry.get(model, "base"), "identity")
    if judge is None:
        raise NotMeasurableError(f"there is no identity model for pictures of {model}")
    encoder = IdentityEncoder(judge.path)
    references = encoder.embed(read_pictures(_references(lora, registry.warehouse)))
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    embedded = np.concatenate(
        [
            encoder.embed(read_pictures([job.pictures.png(number) for number in chunk]))
            for chunk in track(chunks, f"scoring {lora}", unit="groups")
        ]
    )
    scores, real = likeness(embedded, references), leave_one_out(references)
    centre = embedded.mean(axis=0)
    summary = {
        "pictures": len(items),
        "likeness_mean": round(float(scores.mean()), 4),
        "likeness_lowest": round(float(scores.min()), 4),
        "references_mean": round(float(real.mean()), 4),
        "share_as_alike_as_references": round(float((scores >= np.quantile(real, LOW_SHARE)).mean()), 4),
        "consistency": round(float((embedded @ centre).mean() / max(float(np.linalg.norm(centre)), 1e-9)), 4),
        "judge": judge.name,
    }
    return {number: round(float(score), 4) for number, score in zip(items, scores, strict=True)}, summary


def _references(lora: str, warehouse: Warehouse) -> list[Path]:
    """Return the held-out pictures of a LoRA's character."""
    from charaforge.evaluation.subject import load_subject, training_record

    record = training_record(warehouse.lora_folder(lora.partition("@")[0]))
    if record is None or record.table is None:
        raise NotMeasurableError(
            f"the LoRA {lora} does not say which table it was trained on",
            "train it with a table that has references (split ref)",
        )
    subject = load_subject(record.table, record.character, warehouse, lambda references: ())
    return list(subject.references)


def _write_table(path: Path, job: Job, scores: dict[int, float]) -> None:
    from charaforge.requests.batch_faults import safe_cell
    from charaforge.warehouse.atomic import replacing

    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["item", "file", "likeness", "seed", "prompt"])
        for number, score in sorted(scores.items()):
            request = job.items.item(number).request
            name = job.pictures.png(number).relative_to(job.pictures.out).as_posix()
            rows.writerow([number, name, score, request["seed"], safe_cell(str(request["prompt"]))])

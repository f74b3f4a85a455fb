"""The road from a folder of pictures to a LoRA with an honest number.

curate (no copies, tags, splits) -> decide (threshold; what the budget allows) -> train (several checkpoints)
-> choose (screened, measured, the weight; published from fresh prompts and seeds) -> sheet

Every step can be killed and goes on; what is done is not done again, and the numbers are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charaforge.curation.dataset import Dataset
from charaforge.errors import NotMeasurableError, UsageError
from charaforge.evaluation.checkpoints import adopt
from charaforge.evaluation.publish import CHOSEN, is_noted, numbers, publish, publish_refusal
from charaforge.evaluation.report import show_sheet
from charaforge.evaluation.report.schema import read_report
from charaforge.evaluation.results import Evaluation, Refusal
from charaforge.evaluation.selection import SelectionPlan, select
from charaforge.forge.certificate import write_certificate
from charaforge.forge.curating import check_enough, curated, folder_digest, is_another
from charaforge.forge.deciding import check_prompts, decided, evaluation_plan, training_config
from charaforge.forge.effort import Effort, Pace, told_minutes
from charaforge.forge.plan import ForgePlan
from charaforge.forge.record import Record, alone
from charaforge.forge.sheet import SheetPlan, draw_sheet, usual_outfit
from charaforge.logs import get_logger
from charaforge.training.run import run as train
from charaforge.training.run import set_aside
from charaforge.warehouse.atomic import write_bytes
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

logger = get_logger(__name__)

REPORT, SHEET, RECORD, CERTIFICATE = "report.html", "sheet.png", "forge.json", "CERTIFICATE.md"


@dataclass(frozen=True, slots=True)
class ForgeEnd:
    """Where a forging ends.

    Attributes:
        evaluation: What was measured.
        lora: Folder of the LoRA.
        report: The page to look at.
        certificate: The numbers on one page of text.
        sheet: Picture of the character sheet; None where none was asked for.
        seconds: Time per step, s.
    """

    evaluation: Evaluation
    lora: Path
    report: Path
    certificate: Path
    sheet: Path | None
    seconds: dict[str, float]


class NameTakenError(UsageError):
    """The LoRA's name is that of one that somebody else made."""


def forge(plan: ForgePlan, warehouse: Warehouse) -> ForgeEnd:
    """Walk the road; stopped or killed at any moment, the same call goes on and ends with the same numbers.

    Raises:
        KeyboardInterrupt: stopped; the same call goes on from there.
        NotMeasurableError: too few pictures, or likeness cannot be measured; the reports say so.
        NameTakenError: the LoRA of that name was made by something else.
        WarehouseError: another run works in the same folder, or on a dataset of the same name.
        CharaForgeError: a step cannot be done; the subclass and message say why.
    """
    curated_in = Dataset(plan.dataset, warehouse).folder
    with alone(plan.out, "give another --out"), alone(curated_in, "give another --character name"):
        record = Record(plan.out / RECORD, plan.model_dump(mode="json"))
        try:
            return _Road(plan, warehouse, record).walk()
        except NotMeasurableError as error:
            refusal = Refusal(why=error.message, remedy=error.hint, command=plan.command)
            record.forget("choose")
            publish_refusal(refusal, plan.out)
            record.finish(refusal.model_dump())
            raise


class _Road:
    """The steps of one forging, each with everything that decides its outcome."""

    def __init__(self, plan: ForgePlan, warehouse: Warehouse, record: Record) -> None:
        self._plan, self._warehouse, self._record = plan, warehouse, record
        Registry(warehouse).get(plan.model, "base")

    def walk(self) -> ForgeEnd:
        """All steps; what is done is not done again."""
        self._check_name()
        check_prompts(self._plan)
        table = self._curate()
        effort, pace = self._decide(table)
        trained = self._train(table, effort, pace)
        told = self._choose(table, effort, trained, pace)
        sheet = self._sheet(table, told) if self._plan.sheet else None
        evaluation = read_report(self._plan.out / "report.json")
        assert isinstance(evaluation, Evaluation)
        if sheet is not None:
            show_sheet(self._plan.out / REPORT, sheet)
        certificate = write_certificate(evaluation, self._plan, self._lora / CERTIFICATE)
        self._record.finish({"status": "measured", **numbers(evaluation)})
        seconds = self._record.seconds
        return ForgeEnd(evaluation, self._lora, self._plan.out / REPORT, certificate, sheet, seconds)

    @property
    def _lora(self) -> Path:
        return self._warehouse.lora_folder(self._plan.lora)

    def _curate(self) -> dict[str, Any]:
        plan = self._plan
        inputs = {**folder_digest(plan.folder), "folder": str(plan.folder), "model": plan.model}
        inputs |= {"character": plan.character, "dataset": plan.dataset}
        file = Dataset(plan.dataset, self._warehouse).table
        if is_another(self._record.result("curate"), file):
            self._set_table_aside(file)
            self._record.forget("curate")
        forecast = f"{inputs['pictures']} pictures"
        table = self._record.step("curate", inputs, lambda: curated(plan, self._warehouse), file, forecast)
        check_enough(table, plan.folder)
        return table

    def _decide(self, table: Mapping[str, Any]) -> tuple[Effort, Pace | None]:
        plan = self._plan
        inputs = {"table": table["sha256"], **self._others()}
        inputs |= plan.model_dump(mode="json", include=_DECISIVE)
        path = Path(table["table"])
        told = self._record.step("decide", inputs, lambda: decided(plan, path, self._warehouse))
        pace = Pace.model_validate(told["pace"]) if told["pace"] else None
        return Effort.model_validate(told["effort"]), pace

    def _train(self, table: Mapping[str, Any], effort: Effort, pace: Pace | None) -> dict[str, Any]:
        config = training_config(self._plan, Path(table["table"]), self._warehouse, effort)
        inputs = {"config": config.model_dump(mode="json"), "table": table["sha256"]}
        self._make_room(inputs)
        self._record.make(self._plan.lora, self._plan.character)

        def work() -> dict[str, Any]:
            result = train(config, self._warehouse)
            return {"lora": str(result.lora_file), "steps": result.steps, "sha256": _sha256(result.lora_file)}

        about = _about(effort.steps * pace.step_s if pace else None)
        forecast = f"{effort.steps} steps, {effort.checkpoints} checkpoints{about}"
        file = self._lora / f"{self._plan.lora}.safetensors"
        return self._record.step("train", inputs, work, file, forecast)

    def _make_room(self, inputs: Mapping[str, Any]) -> None:
        """Put aside what this forging trained on other inputs."""
        if self._record.begun("train", inputs):
            put_aside(self._lora)
            set_aside(self._lora)

    def _set_table_aside(self, table: Path) -> None:
        """Keep a copy of a table that another run, or a person, wrote in the place of this forging's."""
        kept = ""
        if table.is_file():
            copy = self._plan.out / f"{table.stem}-of-others{table.suffix}"
            write_bytes(copy, table.read_bytes())
            kept = f"; what it was lies in {copy}"
        logger.info("%s is no longer the table of this forging, and is made again%s", table, kept)

    def _check_name(self) -> None:
        """Refuse the name of a LoRA that somebody else made."""
        taken = (self._lora / "state").exists() or any(self._lora.glob("*.safetensors"))
        whose = self._record.made.get(self._plan.lora)
        if taken and whose != self._plan.character:
            maker = f"that of {whose}" if whose else "which this forging did not make"
            raise NameTakenError(
                f"{self._lora} holds another LoRA, {maker}", "give another --lora NAME, or move it away"
            )

    def _others(self) -> dict[str, Any]:
        """Who the character is told from and which poses it is asked for, by names and sizes of files."""
        places = {"impostors": self._plan.impostors, "poses": self._plan.pose_dir}
        return {name: _listing(place) if place else [] for name, place in places.items()}

    def _choose(
        self, table: Mapping[str, Any], effort: Effort, trained: Mapping[str, Any], pace: Pace | None
    ) -> dict[str, Any]:
        plan = self._plan
        asked = SelectionPlan(
            evaluation=evaluation_plan(plan, effort, Path(table["table"])),
            fresh_prompts=plan.fresh_prompts,
            most=effort.checkpoints,
            finalists=effort.finalists,
            further=None if plan.budget_s is None else 0,
            weights=effort.weights,
        )
        files = [plan.prompts, *([plan.fresh_prompts] if plan.fresh_prompts else [])]
        told = asked.model_dump(mode="json", exclude={"evaluation": {"command", "out"}})
        inputs = {"plan": told, "trained": trained["sha256"], **self._others()}
        inputs |= {"table": table["sha256"], "prompts": [_sha256(file) for file in files]}

        def work() -> dict[str, Any]:
            evaluation = select(asked, self._warehouse)
            adopt(evaluation, self._warehouse)
            timed = {**self._record.seconds, **evaluation.seconds}
            publish(evaluation.model_copy(update={"seconds": timed}), plan.out, self._warehouse)
            return dict(numbers(evaluation))

        if not self._is_chosen():
            self._record.forget("choose")
        about = _about(effort.pictures * pace.picture_s if pace else None)
        forecast = f"up to {effort.pictures} pictures{about}"
        return self._record.step("choose", inputs, work, plan.out / "report.json", forecast)

    def _is_chosen(self) -> bool:
        """Whether all that the choice left is still there: its reports, and the chosen one as the LoRA."""
        told = self._record.result("choose")
        sha256 = told.get("lora_sha256")
        return (
            (self._plan.out / REPORT).is_file()
            and _is_of_choice(self._plan.out / "report.json", sha256)
            and _tells(self._lora / CHOSEN, told)
            and is_noted(sha256, self._lora / f"{self._plan.lora}.safetensors")
        )

    def _sheet(self, table: Mapping[str, Any], told: Mapping[str, Any]) -> Path:
        path = self._plan.out / SHEET
        asked = SheetPlan(
            lora=self._plan.lora,
            model=self._plan.model,
            character=self._plan.character,
            outfit=usual_outfit(Path(table["table"]), self._plan.character),
            weight=told["weight"],
            seed=self._plan.sheet_seed,
            steps=self._plan.sampling_steps,
            note=f"{100 * told['ccr']:.0f} % recognised, lower bound {100 * told['ccr_low']:.0f} %",
            out=path,
        )
        inputs = {"plan": asked.model_dump(mode="json"), "chosen": dict(told)}
        self._record.step("sheet", inputs, lambda: {"sheet": str(draw_sheet(asked, self._warehouse))}, path)
        return path


_DECISIVE = {
    "model",
    "character",
    "budget_s",
    "strict_budget",
    "certificate",
    "steps",
    "checkpoints",
    "max_prompts",
} | {
    "seeds",
    "training",
    "sampling_steps",
    "sheet",
}


def _about(seconds: float | None) -> str:
    return f", about {told_minutes(seconds)}" if seconds else ""


def _listing(place: Path) -> list[list[Any]]:
    files = [place] if place.is_file() else sorted(one for one in place.rglob("*") if one.is_file())
    return [[str(one), one.stat().st_size] for one in files]


def put_aside(lora: Path) -> None:
    """Rename a LoRA's checkpoints (`checkpoints-1` …), with what was said of them, so that none are mixed."""
    checkpoints = lora / "checkpoints"
    if not checkpoints.is_dir():
        return
    for name in (CERTIFICATE, CHOSEN):
        if (lora / name).is_file():
            (lora / name).rename(checkpoints / name)
    checkpoints.rename(lora / f"checkpoints-{sum(1 for _ in lora.glob('checkpoints-*')) + 1}")


def _is_of_choice(report: Path, sha256: object) -> bool:
    """Whether a report is there that this version can read, and that tells of the choice of this LoRA."""
    try:
        told = read_report(report)
    except (OSError, ValueError):
        return False
    return isinstance(told, Evaluation) and told.choice is not None and told.lora_sha256 == sha256


def _tells(path: Path, told: Mapping[str, Any]) -> bool:
    """Whether a JSON file is there that says all of this."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {**found, **told} == found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

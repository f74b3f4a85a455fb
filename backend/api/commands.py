"""`POST /train`, `/curate`, `/eval/report`: verbs of the command line as jobs, on any worker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse

from backend.api.jobs import Queue
from backend.api.models import Models
from backend.api.rendering import job_reply
from backend.core.inputs import InputFault, InputFiles
from backend.core.problems import ProblemError, invalid, responses
from backend.jobs.queue import JobQueue, job_id_of
from backend.schemas.batch import CurateBody, EvalBody, TrainBody
from charaforge.errors import suggestion
from charaforge.jobstore.spec import canonical
from charaforge.requests.answers import JobReply
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

_QUEUED: dict[int | str, dict[str, Any]] = {
    202: {"model": JobReply, "description": "queued; see Location"},
    **responses(400, 401, 403, 409, 413, 415, 422, 503),
}
router = APIRouter(tags=["jobs"], responses=_QUEUED)
_REPOSITORY = Path(__file__).resolve().parents[2]
_CONFIGS, _PROMPTS = _REPOSITORY / "train" / "configs", _REPOSITORY / "docs" / "prompts"
PROMPTS = "charA_eval_prompts.json"


class Commands:
    """Queues the command of one HTTP request.

    Args:
        request: the HTTP request.
        queue: the jobs.
        registered: the models.
        idempotency_key: the same key and body queue once.
    """

    def __init__(
        self,
        request: Request,
        queue: Queue,
        registered: Models,
        idempotency_key: Annotated[
            str, Header(max_length=255, description="the same key and body queue once")
        ] = "",
    ) -> None:
        self._queue: JobQueue = queue
        self._registry: Registry = registered
        self._files: InputFiles = request.app.state.inputs
        self.warehouse: Warehouse = request.app.state.warehouse
        self._key = idempotency_key

    def __call__(self, kind: str, command: Sequence[str]) -> Response:
        """Queue a command; answer 202 and where to ask for it.

        Raises:
            ProblemError: no worker is there (503), or the key stands for another command (422).
        """
        fingerprint = hashlib.sha256(canonical(list(command))).hexdigest()
        job = self._queue.submit_command(kind, command, job_id_of(self._key), fingerprint)
        headers = {"Location": f"/api/v1/jobs/{job.id}", "Retry-After": "5"}
        return JSONResponse(job_reply(self._queue, job).model_dump(mode="json"), 202, headers=headers)

    def place(self, field: str, told: str | None) -> Path | None:
        """Return a file or folder that a field names; it must lie inside the warehouse or the input roots.

        Raises:
            ProblemError: 422.
        """
        if told is None:
            return None
        try:
            return self._files.place(told)
        except InputFault as fault:
            raise ProblemError(_fault(field, str(fault), told)) from None

    def config(self, told: str | None) -> Path | None:
        """Return a training configuration: a shipped one by its name, or a file.

        Raises:
            ProblemError: 422, with the nearest name.
        """
        shipped = {path.stem: path for path in _CONFIGS.glob("*.yaml")}
        if told is None or told in shipped:
            return shipped.get(told or "")
        if "/" in told or told.endswith((".yaml", ".yml")):
            return self.place("config", told)
        message = f"there is no such configuration; {suggestion(told, sorted(shipped))}"
        raise ProblemError(_fault("config", message, told))

    def lora(self, name: str) -> str:
        """Return the name of a LoRA that is there.

        Raises:
            UnknownNameError: it is not.
        """
        return self._registry.get(name, "lora").name


Queued = Annotated[Commands, Depends(Commands)]


@router.post("/train", status_code=202, summary="Train a LoRA")
def train(body: TrainBody, commands: Queued) -> Response:
    """Run `charaforge train` on a worker; where it is stopped, it goes on to the same bytes."""
    if (body.config is None) == (body.data is None):
        raise ProblemError(_fault("data", "give either config or data", ""))
    if body.data is not None and body.character is None:
        raise ProblemError(_fault("character", "say which word shall stand for the character", ""))
    options = {
        "config": commands.config(body.config),
        "data": commands.place("data", body.data),
        "character": body.character,
        "model": body.model,
        "rank": body.rank,
        "steps": body.steps,
        "batch-size": body.batch_size,
        "learning-rate": body.learning_rate,
        "seed": body.seed,
    }
    return commands("train", ["train", *_options(options), *(["--check"] if body.check else [])])


@router.post("/curate", status_code=202, summary="Make a training table of a folder of pictures")
def curate(body: CurateBody, commands: Queued) -> Response:
    """Run `charaforge curate` on a worker: copies, tags, poses, one table."""
    folder = commands.place("folder", body.folder)
    options = {"character": body.character, "outfit": body.outfit, "style": body.style}
    return commands("curate", ["curate", *_options(options), str(folder)])


@router.post("/eval/report", status_code=202, summary="Measure how much a LoRA looks like its character")
def report(body: EvalBody, commands: Queued) -> Response:
    """Run `charaforge eval` on a worker.

    The reports are in the outputs folder, under `eval/<lora>`; each other choice of settings has a folder of
    its own beside it. Jobs of equal settings share one, so that pictures are used again; each keeps a copy of
    the reports that it ended with, `report-<job id>.html` and `.json`, and tells those.
    """
    if body.fresh_prompts is not None and not body.choose:
        raise ProblemError(_fault("fresh_prompts", "they are asked only with choose", body.fresh_prompts))
    name = commands.lora(body.lora)
    options = {
        "lora": name,
        "prompts": commands.place("prompts", body.prompts) or _PROMPTS / PROMPTS,
        "pose_dir": commands.place("pose_dir", body.pose_dir),
        "dataset": commands.place("dataset", body.dataset),
        "impostors": commands.place("impostors", body.impostors),
        "character": body.character,
        "model": body.model,
        "seeds": body.seeds,
        "max-prompts": body.max_prompts,
        "drift-prompts": body.drift_prompts,
        "weight": body.weight,
        "lookalike": commands.lora(body.lookalike) if body.lookalike else None,
        "bar": body.bar,
        "fresh-prompts": commands.place("fresh_prompts", body.fresh_prompts),
    }
    flags = [f"--{flag}" for flag in ("certificate", "choose") if getattr(body, flag)]
    words = [*_options(options), *flags]
    usual = body == EvalBody(lora=body.lora)
    folder = name if usual else f"{name}-{hashlib.sha256(canonical(words)).hexdigest()[:8]}"
    return commands("eval", ["eval", *words, f"--out={commands.warehouse.outputs / 'eval' / folder}"])


def _options(values: Mapping[str, object]) -> list[str]:
    """Return the options that are given, each in one word, so that no value is taken for an option."""
    return [f"--{name}={value}" for name, value in values.items() if value is not None]


def _fault(field: str, message: str, value: str) -> Any:
    return invalid([{"field": field, "message": message, **({"value": value[:80]} if value else {})}])

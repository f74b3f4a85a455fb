"""From the panel's form to a request, and from a job to a line of text. Needs no Gradio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charaforge.client.service import Service
from charaforge.config.settings import default_model
from charaforge.requests.answers import JobReply
from charaforge.requests.inspect_findings import read_json
from charaforge.requests.samplers import DEFAULT_SAMPLER

POLL_S = 0.3
_PLAIN = ("prompt", "negative", "width", "height", "steps", "seed", "guidance", "scheduler", "model")


@dataclass(frozen=True)
class Choices:
    """What the page offers."""

    models: list[str]
    loras: list[str]
    schedulers: list[str]
    default_model: str | None
    default_scheduler: str

    @classmethod
    def of(cls, service: Service) -> Choices:
        """Ask the service."""
        models = [model.name for model in service.models("base")]
        wanted = default_model()
        chosen = wanted if wanted in models else next(iter(models), None)
        loras = [lora.name for lora in service.loras()]
        schedulers = [scheduler.name for scheduler in service.schedulers()]
        return cls(models, loras, schedulers, chosen, DEFAULT_SAMPLER)


def body_of(form: Mapping[str, Any], service: Service) -> tuple[str, dict[str, Any]]:
    """Return the route and the body for a filled form; a pose is uploaded first.

    Args:
        form: the values by the names of the form's fields.
        service: where the pose is sent.
    """
    body = {name: form[name] for name in _PLAIN if form[name] is not None}
    body |= {name: int(body[name]) for name in ("width", "height", "steps", "seed") if name in body}
    if form["loras"]:
        body["lora_ids"] = list(form["loras"])
        body["lora_scales"] = [form["lora_scale"]] * len(form["loras"])
    if not form["pose"]:
        return "/txt2img", body
    pose = service.upload(Path(form["pose"])).id
    return "/controlnet/pose", {**body, "pose_image": pose, "strength": form["strength"]}


def seed_of(texts: Mapping[Any, Any]) -> int | None:
    """Return the seed that a picture of ours says it was drawn with; None where it says none.

    Args:
        texts: the texts in the PNG, by their names.
    """
    said = read_json(str(texts.get("charaforge", "")))
    request = said.get("request") if isinstance(said, dict) else None
    seed = request.get("seed") if isinstance(request, dict) else None
    return seed if isinstance(seed, int) else None


def told_of(job: JobReply, seed: int | None = None) -> str:
    """Return how far a job is, in Markdown.

    Args:
        job: as the service tells it.
        seed: of its picture, where that is known.
    """
    if job.state == "running" and job.steps:
        return f"Step {job.step} of {job.steps} …"
    if job.result is not None:
        drawn = "" if seed is None else f", seed {seed}"
        return f"Done in {job.result.elapsed_ms / 1000:.1f} s{drawn}.  \n`{job.result.image_path}`"
    if job.problem is not None:
        return f"**No picture:** {job.problem.detail}"
    return {"cancelled": "Stopped."}.get(job.state, "Waiting …")

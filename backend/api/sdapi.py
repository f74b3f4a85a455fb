"""`/sdapi/v1`: A1111's API over our own jobs, for programs written for it; `API_SDAPI=1` turns it on."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from PIL import Image
from pydantic import ValidationError

from backend.api.jobs import Queue
from backend.api.models import Models
from backend.core.pictures import FORMATS
from backend.core.problems import ProblemError, fault_of, invalid
from backend.core.uploads import take_in_base64
from backend.jobs.queue import JobQueue
from backend.schemas.sdapi import Image2Image, PngInfo, Text2Image
from charaforge.config.settings import default_model
from charaforge.requests.infotext_reading import read_infotext
from charaforge.requests.inputs import InitImage
from charaforge.requests.samplers import SCHEDULES, SOLVERS

router = APIRouter(prefix="/sdapi/v1", include_in_schema=False)


@router.post("/txt2img")
def txt2img(body: Text2Image, queue: Queue) -> dict[str, Any]:
    """Render pictures from words."""
    return _rendered(body, queue, None)


@router.post("/img2img")
def img2img(body: Image2Image, request: Request, queue: Queue) -> dict[str, Any]:
    """Redraw a picture."""
    warehouse = request.app.state.warehouse
    image = str(take_in_base64(warehouse, body.init_images[0]))
    mask = str(take_in_base64(warehouse, body.mask)) if body.mask else None
    area = "masked" if mask and body.inpaint_full_res else "whole"
    told = {"image": image, "mask": mask, "area": area, "mask_blur": body.mask_blur}
    return _rendered(body, queue, {**told, "denoise": body.denoising_strength})


@router.get("/progress")
def progress(queue: Queue) -> dict[str, Any]:
    """Tell how far the job at work is."""
    waiting = queue.unfinished()
    step, steps, _ = waiting[0].progress() if waiting else (0, 0, "")
    state = {"job": waiting[0].id if waiting else "", "job_count": len(waiting), "job_no": 0}
    state |= {"sampling_step": step, "sampling_steps": steps, "interrupted": False, "skipped": False}
    done = step / steps if steps else 0.0
    return {"progress": done, "eta_relative": 0.0, "state": state, "current_image": None, "textinfo": None}


@router.post("/interrupt")
def interrupt(queue: Queue) -> dict[str, Any]:
    """Stop what is at work and what waits."""
    for job in queue.unfinished():
        queue.cancel(job)
    return {}


@router.get("/samplers")
def samplers() -> list[dict[str, Any]]:
    """List the samplers."""
    return [{"name": solver.label, "aliases": [solver.name], "options": {}} for solver in SOLVERS]


@router.get("/schedulers")
def schedulers() -> list[dict[str, Any]]:
    """List the schedule types."""
    return [{"name": known.name or "automatic", "label": known.label, "aliases": None} for known in SCHEDULES]


@router.get("/sd-models")
def sd_models(registered: Models) -> list[dict[str, Any]]:
    """List the base models; their files' places are not told."""
    names = [entry.name for entry in registered.list("base")]
    unknown = {"hash": None, "sha256": None, "config": None}
    return [{"title": name, "model_name": name, "filename": name, **unknown} for name in names]


@router.get("/loras")
def loras(registered: Models) -> list[dict[str, Any]]:
    """List the LoRAs."""
    names = [entry.name for entry in registered.list("lora")]
    return [{"name": name, "alias": name, "path": name, "metadata": {}} for name in names]


@router.get("/options")
def options() -> dict[str, Any]:
    """Tell the options; they cannot be changed over the API."""
    return {"sd_model_checkpoint": default_model(), "samples_format": "png", "CLIP_stop_at_last_layers": 1}


@router.post("/png-info")
def png_info(body: PngInfo, request: Request) -> dict[str, Any]:
    """Read the texts in a picture."""
    path = take_in_base64(request.app.state.warehouse, body.image)
    with Image.open(path, formats=tuple(FORMATS)) as image:
        items = {str(key): value for key, value in image.info.items() if isinstance(value, str)}
    text = items.get("parameters", "")
    return {"info": text, "items": items, "parameters": _parameters(text)}


def _parameters(text: str) -> dict[str, str]:
    """Return an infotext's values by A1111's keys, its size in two numbers beside."""
    told = read_infotext(text)
    size = re.fullmatch(r"(\d+)x(\d+)", told.values.get("Size", ""))
    sides = {"Size-1": size[1], "Size-2": size[2]} if size else {}
    return {"Prompt": told.prompt, "Negative prompt": told.negative, **told.values, **sides} if text else {}


def _rendered(body: Text2Image, queue: JobQueue, init: dict[str, Any] | None) -> dict[str, Any]:
    """Render the pictures of a body one after another, and answer as A1111 does."""
    try:
        whole = body.request(InitImage.model_validate(init) if init else None).seeded()
    except ValidationError as error:
        raise ProblemError(invalid([fault_of(dict(fault)) for fault in error.errors()])) from None
    jobs = [queue.submit(single) for single in whole.singles()]
    replies = [queue.wait(job) for job in jobs]
    files = [Path(reply.image_path) for reply in replies]
    sidecars = [json.loads(file.with_suffix(".json").read_text(encoding="utf-8")) for file in files]
    info = {
        "prompt": body.prompt,
        "negative_prompt": body.negative_prompt,
        "seed": whole.seed,
        "all_seeds": [whole.seed + place for place in range(whole.count)],
        "width": whole.width,
        "height": whole.height,
        "sd_model_name": whole.model,
        "infotexts": [sidecar["parameters"] for sidecar in sidecars],
    }
    images = [base64.b64encode(file.read_bytes()).decode() for file in files]
    parameters = body.model_dump(exclude={"init_images", "mask"})
    return {"images": images, "parameters": parameters, "info": json.dumps(info)}

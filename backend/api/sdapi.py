"""`/sdapi/v1`: A1111's API over our own jobs, for programs written for it; `API_SDAPI=1` turns it on."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from PIL import Image, ImageOps
from pydantic import ValidationError

from backend.api.jobs import Queue
from backend.api.models import Models
from backend.core.pictures import FORMATS
from backend.core.problems import ProblemError, fault_of, invalid
from backend.core.uploads import take_in, take_in_base64
from backend.jobs.queue import JobQueue
from backend.schemas.sdapi import FIELDS, Image2Image, PngInfo, Text2Image
from charaforge.config.settings import default_model
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.infotext_reading import read_infotext
from charaforge.requests.samplers import SCHEDULES, SOLVERS
from charaforge.warehouse.layout import Warehouse

router = APIRouter(prefix="/sdapi/v1", include_in_schema=False)


@router.post("/txt2img")
def txt2img(body: Text2Image, queue: Queue) -> dict[str, Any]:
    """Render pictures from words."""
    return _rendered(body, body.request(), queue)


@router.post("/img2img")
def img2img(body: Image2Image, request: Request, queue: Queue) -> dict[str, Any]:
    """Redraw a picture."""
    warehouse = request.app.state.warehouse
    told = body.request()
    size = (body.width, body.height) if body.resize_mode == 0 else None
    files = {"image": _changed(warehouse, take_in_base64(warehouse, body.init_images[0]), size)}
    if body.mask:
        mask = take_in_base64(warehouse, body.mask)
        files["mask"] = _changed(warehouse, mask, size, bool(body.inpainting_mask_invert))
    told["init"] |= {name: str(path) for name, path in files.items()}
    return _rendered(body, told, queue)


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
    told = [("automatic", "Automatic"), *((known.name or "ddim", known.label) for known in SCHEDULES)]
    return [{"name": name, "label": label, "aliases": None} for name, label in told]


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


def _changed(warehouse: Warehouse, path: Path, size: tuple[int, int] | None, invert: bool = False) -> Path:
    """Return a picture stretched to a size, as A1111's "Just resize" does, and where asked for inverted."""
    with Image.open(path, formats=tuple(FORMATS)) as image:
        if not invert and size in (None, image.size):
            return path
        changed = ImageOps.invert(image.convert("L")) if invert else ImageOps.exif_transpose(image)
        if size is not None:
            changed = changed.resize(size, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        changed.save(buffer, "PNG")
    buffer.seek(0)
    return take_in(warehouse, buffer)[1]


def _named(fault: dict[str, Any]) -> dict[str, Any]:
    """Return a fault of our request under A1111's name of its field."""
    return {**fault, "field": FIELDS.get(fault["field"], fault["field"])}


def _rendered(body: Text2Image, told: dict[str, Any], queue: JobQueue) -> dict[str, Any]:
    """Render the pictures of a body one after another, and answer as A1111 does."""
    try:
        whole = GenerationRequest.model_validate(told).seeded()
    except ValidationError as error:
        faults = [_named(fault_of(dict(fault))) for fault in error.errors()]
        raise ProblemError(invalid(faults)) from None
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

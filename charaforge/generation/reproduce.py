"""A picture rendered again from what it says of itself, and compared with what it is.

The PNG's own chunk holds the recipe; the sidecar beside it adds how it was rendered: the size of the
micro-batch and the rung of the memory ladder, which are done again. Without a sidecar both sizes that there
are get tried.
Equal means: the whole file, byte for byte. Where other versions, threads or another processor make that
impossible, or weights are not what they were, this is said, and the pixels are compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import ValidationError

from charaforge.config.model import fault_lines
from charaforge.errors import UsageError
from charaforge.generation.denoise import OnStep
from charaforge.generation.generator import Generator, Way
from charaforge.generation.outputs import png_bytes
from charaforge.generation.provenance import GeneratedImage, machine, versions
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.together import SIZES

_RECIPE_KEYS = (
    *("model", "vae", "loras", "upscaler", "hires_upscaler", "nets"),
    *("rendered", "native", "format"),
)
_RUN_KEYS = ("threads", "cpu_capability", "device", "dtype")


@dataclass(frozen=True)
class Record:
    """What a picture says of itself.

    Attributes:
        path: of the PNG.
        recipe: its chunk.
        run: from its sidecar; empty where there is none.
    """

    path: Path
    recipe: dict[str, Any]
    run: dict[str, Any]

    @property
    def request(self) -> GenerationRequest:
        """The request that it came from.

        Raises:
            UsageError: it is none that this version understands.
        """
        try:
            return GenerationRequest.model_validate(self.recipe["request"])
        except KeyError:
            raise UsageError(f"{self.path} holds no request", "give a picture made by charaforge") from None
        except ValidationError as error:
            faults = "; ".join(fault_lines(error, GenerationRequest))
            raise UsageError(f"{self.path} was made by another version: {faults}", "use that one") from None

    @property
    def ways(self) -> Iterator[Way]:
        """How it was rendered, or may have been."""
        rung = int(self.run.get("memory_rung", 0))
        sizes = (int(self.run["micro_batch"]),) if "micro_batch" in self.run else SIZES
        return (Way(size, rung) for size in sizes)


@dataclass(frozen=True)
class Verdict:
    """What came of rendering a picture again.

    Attributes:
        made: the new picture.
        equal: whether the whole files are equal.
        same_pixels: whether the pixels are.
        largest: largest difference of a channel, 0 to 255; 255 where the sizes differ.
        reasons: what is not as it was then: versions, threads, processor, weights.
    """

    made: GeneratedImage
    equal: bool
    same_pixels: bool
    largest: int
    reasons: tuple[str, ...]


def read_record(path: Path) -> Record:
    """Read a picture's recipe and, where there is one, its sidecar.

    Raises:
        UsageError: it is no PNG, has no recipe, or the sidecar belongs to another file.
    """
    png = path.with_suffix(".png") if path.suffix == ".json" else path
    try:
        with Image.open(png, formats=("PNG",)) as opened:
            opened.load()
            chunk = getattr(opened, "text", {}).get("charaforge")
    except (OSError, SyntaxError, ValueError) as error:
        told = f"{png} cannot be read as a PNG: {error}"
        raise UsageError(told, "give a picture made by charaforge") from None
    recipe = _json(chunk) if chunk else None
    if recipe is None:
        raise UsageError(f"{png} has no chunk of charaforge", "see what else it says: charaforge inspect")
    sidecar = png.with_suffix(".json")
    beside = _json(sidecar.read_text(encoding="utf-8", errors="replace")) if sidecar.is_file() else None
    run = (beside or {}).get("run", {})
    return Record(png, recipe, run if isinstance(run, dict) else {})


def reproduce(record: Record, generator: Generator, on_step: OnStep) -> Verdict:
    """Render a picture again and compare.

    Args:
        record: the picture.
        generator: renders it.
        on_step: told of progress.
    """
    before = record.path.read_bytes()
    verdict: Verdict | None = None
    for way in record.ways:
        (made,) = generator.generate_many([record.request], on_step, way)
        found = _compared(record, made, before)
        if verdict is None or (found.equal, -found.largest) > (verdict.equal, -verdict.largest):
            verdict = found
        if found.equal:
            break
    if verdict is None:
        raise ValueError("a record has at least one way")
    return verdict


def _compared(record: Record, made: GeneratedImage, before: bytes) -> Verdict:
    with Image.open(record.path) as opened:
        old = np.asarray(opened.convert("RGB"), np.int16)
    new = np.asarray(made.image, np.int16)
    largest = int(np.abs(old - new).max()) if old.shape == new.shape else 255
    equal = png_bytes(made) == before
    return Verdict(made, equal, largest == 0, largest, tuple(_reasons(record, made)))


def _reasons(record: Record, made: GeneratedImage) -> Iterator[str]:
    """Yield what is not as it was when the picture was made."""
    then = record.recipe.get("versions", {})
    for name, now in versions().items():
        if then.get(name) != now:
            yield f"{name} was {then.get(name)}, is {now}"
    now_run = {**made.run, **machine()}
    for key in _RUN_KEYS:
        if key in record.run and record.run[key] != now_run.get(key):
            yield f"{key} was {record.run[key]}, is {now_run.get(key)}"
    for key in _RECIPE_KEYS:
        if key in record.recipe and record.recipe[key] != made.recipe.get(key):
            yield f"{key} was {json.dumps(record.recipe[key])}, is {json.dumps(made.recipe.get(key))}"


def _json(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

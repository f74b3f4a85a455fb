"""Renders the pictures of all arms; those that an earlier run left behind are used again."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from charaforge import __version__
from charaforge.generation.generator import Generator
from charaforge.generation.outputs import png_bytes
from charaforge.logs import Progress
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.atomic import write_bytes
from charaforge.warehouse.cards import weights_file
from charaforge.warehouse.registry import ModelEntry, Registry

_GROUP = 8
"""Pictures that are rendered together, or, when one of them is missing, rendered again together."""


class Renderer:
    """Renders requests into a folder; a picture's file name carries the hash of its recipe.

    Args:
        generator: Renders what is missing.
        registry: Finds the models whose contents are part of the recipe.
        folder: Where the pictures of all arms lie.
    """

    def __init__(self, generator: Generator, registry: Registry, folder: Path) -> None:
        self._generator = generator
        self._registry = registry
        self._folder = folder
        self._contents: dict[tuple[str, str], str] = {}

    def render(
        self, arm: str, names: Sequence[str], requests: Sequence[GenerationRequest], bar: Progress
    ) -> list[Path]:
        """Render one arm, in groups that do not depend on what is there already.

        Args:
            arm: Folder of the arm.
            names: One name per request, for the file names.
            requests: One per prompt, all with the same count and a fixed seed.
            bar: Advances by one per picture.

        Returns:
            Files, prompts in order, seeds within each prompt.
        """
        singles = [(name, one) for name, all_ in zip(names, requests, strict=True) for one in all_.singles()]
        files = [self._file(arm, name, one) for name, one in singles]
        for start in range(0, len(files), _GROUP):
            group = files[start : start + _GROUP]
            if not all(path.is_file() for path in group):
                asked = [one for _, one in singles[start : start + _GROUP]]
                for path, picture in zip(group, self._generator.generate_many(asked), strict=True):
                    write_bytes(path, png_bytes(picture))
            bar.advance(len(group), arm)
        return files

    def _file(self, arm: str, name: str, request: GenerationRequest) -> Path:
        recipe = f"{request.model_dump_json()} {self._models(request)}"
        digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
        return self._folder / arm / f"{name}-{request.seed}-{digest}.png"

    def _models(self, request: GenerationRequest) -> str:
        """What the request's names stand for today."""
        named = [("base", request.model), *(("lora", lora.name) for lora in request.loras)]
        for kind, name in named:
            if (kind, name) not in self._contents:
                self._contents[kind, name] = content_hash(self._registry.get(name, kind))
        return " ".join([__version__, *(self._contents[key] for key in named)])


def content_hash(entry: ModelEntry) -> str:
    """sha256 that changes with a model: of a LoRA's file; else of its files' hashes, or sizes and dates."""
    weights = weights_file(entry.path)
    if weights is not None:
        return hashlib.sha256(weights.read_bytes()).hexdigest()
    told = entry.card.get("sha256") or {
        path.relative_to(entry.path).as_posix(): [path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(entry.path.rglob("*.safetensors"))
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

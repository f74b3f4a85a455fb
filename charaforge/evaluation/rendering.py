"""Renders the pictures of all arms; those that an earlier run left behind are used again."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from charaforge import __version__
from charaforge.generation.generator import Generator
from charaforge.logs import Progress
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.atomic import replacing
from charaforge.warehouse.cards import weights_file
from charaforge.warehouse.registry import ModelEntry, Registry


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
        """Render one arm.

        Args:
            arm: Folder of the arm.
            names: One name per request, for the file names.
            requests: One per prompt, all with the same count and a fixed seed.
            bar: Advances by one per picture.

        Returns:
            Files, prompts in order, seeds within each prompt.
        """
        files: list[Path] = []
        for name, request in zip(names, requests, strict=True):
            group = self._files(arm, name, request)
            if not all(path.is_file() for path in group):
                for path, picture in zip(group, self._generator.generate(request), strict=True):
                    with replacing(path) as temporary:
                        picture.image.save(temporary)
            bar.advance(len(group), arm)
            files += group
        return files

    def _files(self, arm: str, name: str, request: GenerationRequest) -> list[Path]:
        recipes = [f"{single.model_dump_json()} {self._models(single)}" for single in request.singles()]
        hashes = [hashlib.sha256(recipe.encode()).hexdigest()[:12] for recipe in recipes]
        seeds = (single.seed for single in request.singles())
        return [self._folder / arm / f"{name}-{seed}-{h}.png" for seed, h in zip(seeds, hashes, strict=True)]

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

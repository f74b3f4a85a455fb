"""Renders the pictures of all arms; those that an earlier run left behind are used again.

A picture's file carries the hash of its recipe: the request and the contents of all that it names. Every
picture is rendered in micro-batches of one size, filled up where there are fewer, so that its bytes do not
depend on which others were missing: a run that was killed and one that was not give the same pictures.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from charaforge import __version__
from charaforge.generation.generator import Generator, Way
from charaforge.generation.outputs import png_bytes
from charaforge.logs import Progress
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.together import FULL
from charaforge.warehouse.atomic import replacing
from charaforge.warehouse.cards import weights_file
from charaforge.warehouse.digests import weights_sha256
from charaforge.warehouse.recommended import HINT_KEY, NUMBERS_KEY
from charaforge.warehouse.registry import ModelEntry, Registry

OWN_KEYS = (NUMBERS_KEY, "modelspec.hash_sha256", HINT_KEY)
"""Keys of a LoRA's header that an evaluation writes; they do not change what it draws."""


class Renderer:
    """Renders requests into a folder.

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
        singles = [(name, one) for name, all_ in zip(names, requests, strict=True) for one in all_.singles()]
        files = [self._file(arm, name, one) for name, one in singles]
        missing = [(path, one) for path, (_, one) in zip(files, singles, strict=True) if not path.is_file()]
        bar.advance(len(files) - len(missing), arm)
        for start in range(0, len(missing), FULL):
            group = missing[start : start + FULL]
            made = self._generator.generate_many([one for _, one in group], way=Way(micro_batch=FULL))
            for (path, _), picture in zip(group, made, strict=True):
                with replacing(path, durable=False) as temporary:
                    temporary.write_bytes(png_bytes(picture))
                bar.advance(1, arm)
        return files

    def _file(self, arm: str, name: str, request: GenerationRequest) -> Path:
        recipe = f"{self._told(request)} {self._models(request)}"
        digest = hashlib.sha256(recipe.encode()).hexdigest()[:16]
        return self._folder / arm / f"{name}-{request.seed}-{digest}.png"

    def _told(self, request: GenerationRequest) -> str:
        """The request as text, its control pictures by content."""
        by_content = tuple(
            control.model_copy(update={"image": self._digest(Path(control.image))})
            if control.image
            else control
            for control in request.controls
        )
        return request.model_copy(update={"controls": by_content}).model_dump_json()

    def _digest(self, path: Path) -> str:
        key = ("file", str(path))
        if key not in self._contents:
            self._contents[key] = hashlib.sha256(path.read_bytes()).hexdigest()
        return self._contents[key]

    def _models(self, request: GenerationRequest) -> str:
        """What the request's names stand for today."""
        named = [("base", request.model), *(("lora", lora.name) for lora in request.loras)]
        if request.controls:
            named += [("controlnet", entry.name) for entry in self._registry.list("controlnet")]
        for kind, name in named:
            if (kind, name) not in self._contents:
                self._contents[kind, name] = content_hash(self._registry.get(name, kind))
        return " ".join([__version__, *(self._contents[key] for key in named)])


def content_hash(entry: ModelEntry) -> str:
    """sha256 of what a model draws with.

    Of a LoRA's file: its tensors and its header, without what evaluations write into it. Else of the hashes
    that the card tells, or of the weights themselves.
    """
    weights = weights_file(entry.path)
    if entry.kind == "lora" and weights is not None:
        return lora_hash(weights)
    told = entry.card.get("sha256")
    if told:
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return weights_sha256(entry.path)


def lora_hash(file: Path) -> str:
    """sha256 of a LoRA's tensors and header, whatever evaluations have written into the latter."""
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    told = {k: v for k, v in header.get("__metadata__", {}).items() if k not in OWN_KEYS}
    text = json.dumps({**header, "__metadata__": told}, sort_keys=True)
    return hashlib.sha256(text.encode() + data[8 + length :]).hexdigest()

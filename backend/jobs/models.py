"""Pictures by the models: a renderer around `charaforge.generation`, imported when it works."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from backend.jobs.pattern import PatternRenderer
from charaforge.errors import CharaForgeError, UsageError
from charaforge.jobstore.rendering import OnStep, Renderer
from charaforge.jobstore.spec import canonical
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.together import shared_part
from charaforge.warehouse.layout import Warehouse

if TYPE_CHECKING:
    from charaforge.generation.generator import Generator
    from charaforge.generation.provenance import GeneratedImage

SETTING = "JOB_RENDERER"


@dataclass(frozen=True)
class ModelPicture:
    """A picture by the models."""

    image: GeneratedImage

    def png(self) -> bytes:
        """Return the PNG."""
        from charaforge.generation.outputs import png_bytes

        return png_bytes(self.image)

    def facts(self) -> Mapping[str, Any]:
        """Return how it was made."""
        return {**self.image.provenance, "parameters": self.image.parameters}

    def weights(self) -> Mapping[str, str]:
        """Return the weights that decided its pixels."""
        recipe = self.image.recipe
        parts = ("model", "vae", "upscaler", "hires_upscaler")
        named = [(key.removeprefix("hires_"), recipe[key]) for key in parts if recipe[key]]
        named += [("lora", lora) for lora in recipe["loras"]]
        told = {f"{kind} {net['name']}": net["sha256"] for kind, net in named}
        return told | {f"net {name}": sha256 for name, sha256 in recipe["nets"].items()}


@dataclass
class ModelRenderer:
    """Renders with a generator that keeps its models; the first call loads torch.

    Args:
        warehouse: where the models are.
    """

    warehouse: Warehouse
    _generator: Generator | None = None
    _rungs: dict[bytes, int] = field(default_factory=dict)

    def render(
        self, requests: Sequence[Mapping[str, Any]], size: int, rung: int | None, on_step: OnStep
    ) -> Iterator[ModelPicture]:
        """Render requests that fit together; where memory ran out once, begin where it did not."""
        from charaforge.generation.generator import Way

        generator = self.generator()
        generator.follow_pins()
        key = canonical(shared_part(requests[0]))
        begin = max(filter(None, (rung, self._rungs.get(key))), default=None)
        asked = [GenerationRequest.model_validate(request) for request in requests]
        for image in generator.generate_many(asked, on_step, Way(size, begin)):
            used = int(image.run["memory_rung"])
            if used > self._rungs.get(key, 0):
                self._rungs[key] = used
            yield ModelPicture(image)

    def follow_pins(self) -> Mapping[str, CharaForgeError]:
        """Load the LoRAs that are pinned, and free those that no longer are; return those that cannot be."""
        return self.generator().follow_pins()

    def generator(self) -> Generator:
        """Return the generator of this process."""
        if self._generator is None:
            from charaforge.generation.generator import Generator

            self._generator = Generator(self.warehouse)
        return self._generator


def make_renderer(warehouse: Warehouse) -> Renderer:
    """Return what renders in this process, as `JOB_RENDERER` says; the models where it says nothing.

    Raises:
        UsageError: it is neither "pattern", "pattern:<ms>" nor "<module>:<name>", which is called with the
            warehouse.
    """
    told = os.environ.get(SETTING, "").strip()
    name, _, argument = told.partition(":")
    if not told:
        return ModelRenderer(warehouse)
    if name == "pattern" and (argument or "0").isdigit():
        return PatternRenderer(int(argument or "0") / 1000)
    try:
        return cast(Renderer, getattr(importlib.import_module(name), argument)(warehouse))
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"{SETTING} is {told!r}: {error}", "leave it empty to render with models") from None

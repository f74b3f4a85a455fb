"""Renders the pictures of a character sheet and writes the page."""

import json
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import Field

from charaforge.config import StrictModel
from charaforge.evaluation.arms import native_side
from charaforge.evaluation.rendering import Renderer
from charaforge.evaluation.subject import most_trained
from charaforge.forge.sheet.drawing import Strip, draw_page, font_for
from charaforge.forge.sheet.words import MINI, MINI_HEAD, REAL, REAL_HEAD, REAL_NEGATIVE
from charaforge.generation.generator import Generator
from charaforge.logs import Progress
from charaforge.requests.generation import GenerationRequest, LoraUse
from charaforge.requests.grammar import escape
from charaforge.requests.placeholders import fill_placeholders
from charaforge.warehouse.atomic import replacing
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import ModelEntry, Registry
from charaforge.warehouse.tables import table_rows

_MINI_SIDE = 256
"""Largest side of bases that know the mini world's words, px (`max_side` of their cards)."""
_UPSCALED = 4


class SheetPlan(StrictModel):
    """One character sheet."""

    lora: str = Field(description="registry name of the LoRA, or of a checkpoint: <id>@<step>")
    model: str = Field(description="registry name of its base")
    character: str = Field(description="name of the character, the title")
    trigger: str = Field("", description="its word in the prompts; empty: as the LoRA's own files say")
    outfit: str = Field("", description="what the character mostly wears; empty: the pictures do not say")
    weight: float = Field(1.0, ge=0, le=4, description="weight of the LoRA")
    seed: int = Field(1, ge=0, description="seed of every picture, so that they differ by their words alone")
    steps: int = Field(20, ge=1, le=150, description="denoising steps")
    note: str = Field("", description="a further line below the title")
    out: Path = Field(description="PNG file; the pictures lie beside it in pictures/sheet")


def draw_sheet(plan: SheetPlan, warehouse: Warehouse, generator: Generator | None = None) -> Path:
    """Render a character sheet; pictures that are there already are used again.

    The PNG carries its recipe (key ``charaforge.sheet``): plan and prompts.

    Returns:
        The PNG file.

    Raises:
        UnknownNameError: LoRA or base are not there.
        ModelFileError: the LoRA is for another base.
    """
    registry = Registry(warehouse)
    base = registry.get(plan.model, "base")
    rows = MINI if _is_mini(base) else REAL
    flat = [_request(plan, base, cell.words) for row in rows for cell in row.cells]
    names = [f"{index:02d}" for index in range(len(flat))]
    folder = plan.out.parent / "pictures"
    with Progress(len(flat), "sheet", "pictures") as bar:
        files = Renderer(generator or Generator(warehouse), registry, folder).render(
            "sheet", names, flat, bar
        )
    left = iter(files)
    strips = [
        Strip(row.title, f"seed {plan.seed}", [(cell.label, _read(next(left))) for cell in row.cells])
        for row in rows
    ]
    title = plan.character if font_for(plan.character) else plan.lora
    page = draw_page(title, _notes(plan, base), strips)
    recipe = {"plan": plan.model_dump(mode="json", exclude={"out"}), "prompts": [one.prompt for one in flat]}
    told = PngInfo()
    told.add_text("charaforge.sheet", json.dumps(recipe, ensure_ascii=False, sort_keys=True))
    with replacing(plan.out) as temporary:
        page.save(temporary, "PNG", pnginfo=told)
    return plan.out


def usual_outfit(table: Path, character: str) -> str:
    """The outfit that most training pictures of a character show; "" where the table tells none."""
    rows = [row for row in table_rows(table) if row.get("character") == character]
    return most_trained(rows, "outfit")


def _is_mini(base: ModelEntry) -> bool:
    return 0 < int(base.card.get("max_side") or 0) <= _MINI_SIDE


def _request(plan: SheetPlan, base: ModelEntry, words: str) -> GenerationRequest:
    mini = _is_mini(base)
    told = f"{MINI_HEAD if mini else REAL_HEAD}, {words}"
    side = native_side(base.card, base.family) * (_UPSCALED if mini else 1)
    values = {"character": escape(plan.trigger) or "[character]", "outfit": escape(plan.outfit)}
    return GenerationRequest(
        prompt=fill_placeholders(told, values)[0],
        negative="" if mini else REAL_NEGATIVE,
        model=base.name,
        width=side,
        height=side,
        steps=plan.steps,
        seed=plan.seed,
        loras=(LoraUse(name=plan.lora, weight=plan.weight),),
    )


def _notes(plan: SheetPlan, base: ModelEntry) -> list[str]:
    first = f"LoRA {plan.lora} at weight {plan.weight:g}  ·  base {base.name}  ·  seed {plan.seed}"
    return [first, *([plan.note] if plan.note else [])]


def _read(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        return opened.convert("RGB")

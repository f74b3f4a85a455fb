"""Contact sheets of the mini world and its models, for people to look at: ``docs/mini/*.png``.

python -m charaforge.mini.measure.sheets renderer base vae --out docs/mini
python -m charaforge.mini.measure.sheets lora --report FOLDER --out docs/mini
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from charaforge.generation.generator import Generator
from charaforge.mini.characters import Character
from charaforge.mini.measure.base import held_out_scenes
from charaforge.mini.recipes.decoded import reconstruct
from charaforge.mini.render import render
from charaforge.mini.scenes import Scene, scene_tags
from charaforge.perception.upscale import Upscaler
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.atomic import replacing
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

CELL = 192
"""Side of a picture on a sheet, px."""

_COLUMNS, _ROWS = 8, 4
_GAP = 4
_FIRST_CHARACTER = 201


def grid(pictures: Sequence[Image.Image], columns: int = _COLUMNS) -> Image.Image:
    """Lay pictures out row by row on white, each in a cell of ``CELL`` px."""
    rows = -(-len(pictures) // columns)
    step = CELL + _GAP
    sheet = Image.new("RGB", (columns * step - _GAP, rows * step - _GAP), "white")
    for index, picture in enumerate(pictures):
        cell = picture.convert("RGB").resize((CELL, CELL), Image.Resampling.LANCZOS)
        sheet.paste(cell, (index % columns * step, index // columns * step))
    return sheet


def renderer_sheet(warehouse: Warehouse) -> Image.Image:
    """Two rows of the base world, two rows of characters with their signature traits."""
    base = held_out_scenes(2 * _COLUMNS)
    return grid([Image.fromarray(render(scene, 2 * CELL)) for scene in [*base, *_characters(2 * _COLUMNS)]])


def base_sheet(warehouse: Warehouse) -> Image.Image:
    """Pictures by mini-sd of combinations it never saw, 512 px as users get them.

    The first two rows are of the scenes that ``renderer_sheet`` begins with.
    """
    requests = [
        GenerationRequest(prompt=", ".join(scene_tags(scene)), model="mini-sd", seed=seed)
        for seed, scene in enumerate(held_out_scenes(_COLUMNS * _ROWS))
    ]
    return grid([picture.image for picture in Generator(warehouse).generate_many(requests)])


def vae_sheet(warehouse: Warehouse) -> Image.Image:
    """Characters through the VAE and back: rows of renders, each with its reconstructions below."""
    import numpy as np

    registry = Registry(warehouse)
    base = registry.get("mini-sd", "base")
    pictures = np.stack([render(scene) for scene in _characters(2 * _COLUMNS)])
    restored = reconstruct(base.path / "vae", pictures)
    upscaler = Upscaler(registry.get(str(base.card["upscaler"]), "upscaler").path)
    rows = [pictures[:_COLUMNS], restored[:_COLUMNS], pictures[_COLUMNS:], restored[_COLUMNS:]]
    return grid(upscaler.upscale([Image.fromarray(picture) for row in rows for picture in row]))


def lora_sheet(warehouse: Warehouse, report: Path) -> Image.Image:
    """Rows of one evaluation: real, base + trigger, base + traits in words, LoRA; same prompts and seeds."""
    told: dict[str, Any] = json.loads((report / "report.json").read_text(encoding="utf-8"))
    registry = Registry(warehouse)
    base = registry.get(told["model"], "base")
    upscaler = Upscaler(registry.get(str(base.card["upscaler"]), "upscaler").path)
    arms = {arm["name"]: arm["pictures"] for arm in told["arms"]}
    step = len(arms["lora"]) // _COLUMNS
    pictures: list[Image.Image] = [Image.open(path) for path in told["references"][:_COLUMNS]]
    for name in ("trigger", "traits", "lora"):
        files = [report / arms[name][column * step]["file"] for column in range(_COLUMNS)]
        pictures += upscaler.upscale([Image.open(file) for file in files])
    return grid(pictures)


def _characters(count: int) -> list[Scene]:
    seeds = range(_FIRST_CHARACTER, _FIRST_CHARACTER + count)
    return [Character.from_seed(seed).scene(random.Random(f"sheet {seed}")) for seed in seeds]


SHEETS: dict[str, Callable[[Warehouse], Image.Image]] = {
    "renderer": renderer_sheet,
    "base": base_sheet,
    "vae": vae_sheet,
}


def main() -> None:
    """Write the sheets that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sheets", nargs="+", choices=(*SHEETS, "lora"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the sheets")
    parser.add_argument("--report", type=Path, help="folder of an evaluation, for the sheet lora")
    arguments = parser.parse_args()
    warehouse = bootstrap()
    for name in arguments.sheets:
        sheet = lora_sheet(warehouse, arguments.report) if name == "lora" else SHEETS[name](warehouse)
        with replacing(arguments.out / f"{name}.png") as temporary:
            sheet.quantize(256, dither=Image.Dither.NONE).save(temporary, optimize=True)


if __name__ == "__main__":
    main()

"""``MODEL_CARD.md`` of the mini family's nets, written from ``card.json`` and what is told in ``told``."""

import json
from collections.abc import Mapping
from pathlib import Path

from charaforge.mini.told import TOLD
from charaforge.warehouse.atomic import write_text


def write_model_card(folder: Path, bars: Mapping[str, str]) -> None:
    """Write the model card of the model in ``folder``; ``bars`` says for some figures what was wanted."""
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    name = card["name"]
    told, seed = TOLD[name], card["trained_on"].get("seed", 0)
    trained = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in card["trained_on"].items())
    rows = [f"| {k} | {v:.4g} | {bars.get(k, '')} |" for k, v in card.get("measured", {}).items()]
    lines = [
        f"# {name}", "", told.purpose, "",
        "## Format", "", told.layout, "",
        "## How it was made", "",
        f"From {told.start}, on pictures of CharaForge's own renderer alone (world version "
        f"{card['world_version']}), by `charaforge/mini/recipes/{told.recipe}.py`, on one CPU core: "
        f"{trained}.",
        "No outside picture, weight or tag list went into it.", "",
        f"To make it again: `charaforge mini train {told.recipe} --seed {seed}`; "
        "the same command continues a stopped training.",
        f"To measure it again: `{told.measure}`.", "",
        "## Measured", "", "| figure | value | wanted |", "|---|---|---|", *rows, "",
        "## Limits", "", told.limits, "",
        "## Licence", "", card["license"], "",
    ]  # fmt: skip
    write_text(folder / "MODEL_CARD.md", "\n".join(lines))

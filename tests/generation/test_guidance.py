"""A request that names no guidance takes that of the model's card, and the recipe says which."""

from __future__ import annotations

import json
from pathlib import Path

from charaforge.generation.generator import Generator
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_models import TinyRegistry, tiny_warehouse
from tests.generation.test_generator import render


def test_the_card_recommends_and_the_request_decides(generator: Generator, tmp_path: Path) -> None:
    fond_of_two = tiny_warehouse(tmp_path)
    _recommend(fond_of_two, 2.0)
    other = Generator(fond_of_two, TinyRegistry(fond_of_two), device="cpu")
    pictures = {
        "card": render(other),
        "asked": render(other, guidance=7.0),
        "same": render(generator, guidance=2.0),
        "default": render(generator),
    }
    told = {name: picture.recipe["request"]["guidance"] for name, picture in pictures.items()}
    assert told == {"card": 2.0, "asked": 7.0, "same": 2.0, "default": 5.0}
    assert pictures["card"].image.tobytes() == pictures["same"].image.tobytes()
    assert pictures["card"].image.tobytes() != pictures["default"].image.tobytes()


def _recommend(warehouse: Warehouse, guidance: float) -> None:
    card = warehouse.sd / "tiny-sd" / "card.json"
    told = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    card.write_text(json.dumps({**told, "guidance": guidance}), encoding="utf-8")

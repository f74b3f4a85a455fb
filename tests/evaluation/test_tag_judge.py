"""Tags are judged by a tagger of another kind than the one that wrote the captions, where there is one."""

import json
from pathlib import Path

import numpy as np
import pytest

from charaforge.evaluation.judges import captioned_by, find_tag_judge, open_judges
from charaforge.evaluation.subject import Subject
from charaforge.warehouse.atomic import write_json
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import ModelEntry, Registry
from tests.fixtures.tiny_judges import tiny_identity
from tests.perception.onnx_models import channel_means

BASE = ModelEntry("sdxl", "base", "sdxl", Path("sdxl"), embedded=False)


def tagger(
    warehouse: Warehouse, name: str, table: str, architecture: str = "", file: str = "card.json"
) -> None:
    folder = warehouse.models / "taggers" / name
    folder.mkdir(parents=True)
    (folder / table).write_text("name,category\n", encoding="utf-8")
    (folder / "model.onnx").touch()
    write_json(folder / file, {"architecture": architecture} if architecture else {})


def captions(warehouse: Warehouse, name: str, *taggers: str) -> Path:
    scores = json.dumps({tagger: {"smile": 0.9} for tagger in taggers}).replace('"', '""')
    table = warehouse.metadata / f"{name}.csv"
    table.write_text(
        f'image_path,character,tag_scores\na.png,{name},"{scores}"\nb.png,{name},\n', encoding="utf-8"
    )
    return table


def judge(warehouse: Warehouse, table: Path | None = None) -> str:
    found = find_tag_judge(Registry(warehouse), BASE, "zxq", [table] if table else [])
    return found.name if found else ""


@pytest.fixture
def taggers(warehouse: Warehouse) -> Warehouse:
    tagger(warehouse, "a-vit", "selected_tags.csv", "vit")
    tagger(warehouse, "b-vit", "selected_tags.csv", "vit", "config.json")
    tagger(warehouse, "c-swin", "selected_tags.csv", "swin", "config.json")
    return warehouse


def test_another_architecture_is_preferred_to_another_name(taggers: Warehouse) -> None:
    assert judge(taggers, captions(taggers, "zxq", "a-vit")) == "c-swin"
    both = captions(taggers, "zxq", "a-vit", "c-swin")
    assert judge(taggers, both) == "b-vit", "where both kinds captioned, one that did not"
    every = captions(taggers, "zxq", "a-vit", "b-vit", "c-swin")
    assert judge(taggers, every) == "a-vit", "where all did, the first"


def test_another_format_is_preferred_to_another_architecture(taggers: Warehouse) -> None:
    table = captions(taggers, "zxq", "a-vit")
    tagger(taggers, "z-danbooru", "deepdanbooru_tags.csv")
    assert judge(taggers, table) == "z-danbooru"


def test_of_other_captions_and_of_unknown_ones_the_first_judges(taggers: Warehouse) -> None:
    assert judge(taggers) == "a-vit"
    assert judge(taggers, captions(taggers, "somebody", "a-vit")) == "a-vit"
    for name, content in (
        ("broken.parquet", "no table"),
        ("odd.csv", "character,tag_scores\nzxq,7\nzxq,{\n"),
    ):
        (taggers.metadata / name).write_text(content, encoding="utf-8")
        assert judge(taggers, taggers.metadata / name) == "a-vit"


def test_a_single_tagger_judges_whatever_it_wrote(warehouse: Warehouse) -> None:
    assert judge(warehouse) == ""
    tagger(warehouse, "only", "selected_tags.csv")
    table = captions(warehouse, "zxq", "only", "sidecar")
    assert judge(warehouse, table) == "only"
    assert captioned_by([table], "zxq") == {"only", "sidecar"}
    assert captioned_by([table], "somebody") == frozenset()


def test_the_judges_of_a_study_are_opened_with_it(warehouse: Warehouse) -> None:
    tiny_identity(warehouse.models / "identity" / "tiny", np.random.default_rng(0).normal(size=(200, 48)))
    for name in ("a", "b"):
        file = channel_means(warehouse.models / "taggers" / name / "model.onnx", 16, channel_axis=3)
        tags = "tag_id,name,category,count\n0,a,0,1\n1,b,0,1\n2,c,0,1\n"
        (file.parent / "selected_tags.csv").write_text(tags, encoding="utf-8")
    table = captions(warehouse, "zxq", "a")
    for name, expected in (("zxq", "b"), ("somebody", "a")):
        judges = open_judges(Registry(warehouse), BASE, Subject(name, (), "", "", (), ()), None, [table])
        assert judges.names["tags"] == expected
        assert judges.tagger is not None

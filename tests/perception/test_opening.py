"""Nets by registry name, with revision, sha256 and preparation."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from charaforge import __version__
from charaforge.errors import ModelFileError, UnknownNameError, UsageError
from charaforge.perception.deepdanbooru import DeepDanbooruTagger
from charaforge.perception.opening import open_detector, open_identity, open_pose, open_tagger
from charaforge.perception.wd14 import WD14Tagger
from charaforge.warehouse.atomic import write_json
from charaforge.warehouse.intake import Wish, add
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

from .onnx_models import blue_cells_yolox, channel_means


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_embedded_nets_are_opened_by_name(warehouse: Warehouse) -> None:
    registry = Registry(warehouse)
    for kind, name, preproc, file in (
        (open_tagger, "mini-tagger", "wd14-v3", "model.onnx"),
        (open_pose, "mini-pose", "simcc", "model.onnx"),
        (open_identity, "mini-identity", "ccip", "model_feat.onnx"),
    ):
        opened = kind(registry, name)
        folder = next(entry.path for entry in registry.list() if entry.name == name)
        expected = {
            "name": name,
            "revision": __version__,
            "sha256": sha256(folder / file),
            "preproc_id": preproc,
        }
        assert opened.told == expected


def test_taggers_are_told_apart_by_their_tables(warehouse: Warehouse) -> None:
    taggers = warehouse.models / "taggers"
    wd14 = channel_means(taggers / "wd" / "model.onnx", 16, channel_axis=3, scale=1 / 255)
    (wd14.parent / "selected_tags.csv").write_text("tag_id,name,category,count\n0,a,0,1\n1,b,0,1\n2,c,0,1\n")
    source = {"hub": "someone/wd", "revision": "0123abc", "asked": "main"}
    write_json(wd14.parent / "card.json", {"name": "wd", "source": source, "preproc_id": "wd14-v2"})
    channel_means(taggers / "dd" / "deepdanbooru.onnx", 16, channel_axis=3)
    (taggers / "dd" / "deepdanbooru_tags.csv").write_text("name,category\na,0\nb,0\nc,0\n")
    channel_means(taggers / "odd" / "model.onnx", 16, channel_axis=3)
    registry = Registry(warehouse)
    first, second = open_tagger(registry, "wd"), open_tagger(registry, "dd")
    assert isinstance(first.net, WD14Tagger)
    assert first.told == {
        "name": "wd",
        "revision": "0123abc",
        "sha256": sha256(wd14),
        "preproc_id": "wd14-v2",
    }
    assert isinstance(second.net, DeepDanbooruTagger)
    assert (second.revision, second.preproc_id) == ("", "deepdanbooru")
    with pytest.raises(ModelFileError, match="no table of tags"):
        open_tagger(registry, "odd")
    with pytest.raises(UnknownNameError, match="mini-tagger"):
        open_tagger(registry, "mini-taggr")


def test_detectors_have_a_kind_of_their_own(warehouse: Warehouse) -> None:
    blue_cells_yolox(warehouse.models / "detectors" / "people" / "yolox_l.onnx", 64, 64)
    opened = open_detector(Registry(warehouse), "people")
    assert opened.preproc_id == "yolox"
    picture = Image.new("RGB", (64, 64))
    picture.paste("blue", (8, 16, 16, 24))
    assert opened.net.detect([picture])[0][0].tolist() == pytest.approx([8, 16, 16, 24, 1])


def test_a_task_file_is_mediapipe(warehouse: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"a\.task does not exist"):
        open_pose(Registry(warehouse), str(tmp_path / "a.task"))
    (tmp_path / "a.task").write_bytes(b"")
    with pytest.raises((UsageError, ModelFileError)):
        open_pose(Registry(warehouse), str(tmp_path / "a.task"))


def test_a_tagger_of_either_format_is_taken_in_as_one(warehouse: Warehouse, tmp_path: Path) -> None:
    channel_means(tmp_path / "dd" / "deepdanbooru.onnx", 16, channel_axis=3)
    (tmp_path / "dd" / "deepdanbooru_tags.csv").write_text("name,category\na,0\nb,0\nc,0\n")
    folder = add(warehouse, tmp_path / "dd", Wish())
    assert folder == warehouse.models / "taggers" / "dd"
    assert open_tagger(Registry(warehouse), "dd").preproc_id == "deepdanbooru"

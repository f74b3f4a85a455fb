import json
from pathlib import Path

import pytest

from charaforge.curation.sources import Import, Imported, Told, read_sources
from charaforge.errors import UsageError
from charaforge.warehouse.layout import Warehouse


def _make(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def _read(root: Path, given: Told | None = None) -> Import:
    return read_sources(root, given or Told("mai"), Warehouse(root.parent / "warehouse"))


def _by_name(root: Path, given: Told | None = None) -> dict[str, Imported]:
    return {one.path.name: one for one in _read(root, given).pictures}


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        _read(tmp_path / "missing")


def test_subfolders_are_outfits_and_what_is_given_fills_the_rest(tmp_path: Path) -> None:
    names = ["a.png", "school_uniform/b.png", "mai/red dress/c.png", "images/d.png", "Mai kimono/e.png"]
    _make(tmp_path, dict.fromkeys(names, ""))
    told = _by_name(tmp_path, Told("mai", "hoodie", "flat", "me"))
    assert {name: one.told.outfit for name, one in told.items()} == {
        "a.png": "hoodie",
        "b.png": "school uniform",
        "c.png": "red dress",
        "d.png": "hoodie",
        "e.png": "kimono",
    }
    assert {(one.told.character, one.told.style, one.told.source) for one in told.values()} == {
        ("mai", "flat", "me")
    }


def test_kohya_folders_tell_repeats_and_outfit(tmp_path: Path) -> None:
    _make(
        tmp_path, {"10_mai/a.png": "", "3_mai red dress/b.png": "", "2_mailbox/c.png": "", "5_x/y/d.png": ""}
    )
    told = {name: (one.repeats, one.told.outfit) for name, one in _by_name(tmp_path).items()}
    assert told == {"a.png": (10, ""), "b.png": (3, "red dress"), "c.png": (2, "mailbox"), "d.png": (5, "x")}


@pytest.mark.parametrize(
    ("name", "text", "caption"),
    [
        ("a.txt", "1girl,  smile\n", "1girl, smile"),
        ("a.png.txt", "1girl", "1girl"),
        ("a.caption", "\ufeffa girl, smiling", "a girl, smiling"),
        ("a.json", '{"tags": "1girl, smile", "caption": "a girl"}', "1girl, smile"),
        ("a.json", '{"tags": ["1girl", "blue hair"]}', "1girl, blue hair"),
        ("a.json", '{"tags": {"smile": 0.4, "1girl": 0.9}}', "1girl, smile"),
        ("a.json", '{"tags": {"general": ["1girl"], "meta": []}}', "1girl"),
        ("a.json", '{"tags": "1girl blue_hair"}', "1girl, blue_hair"),
        ("a.png.json", '{"tag_string": "solo smile"}', "solo, smile"),
        ("a.json", '{"caption": "a girl in the rain"}', "a girl in the rain"),
        ("a.json", '["1girl", "smile"]', "1girl, smile"),
        ("a.json", '"a girl"', "a girl"),
    ],
)
def test_captions_are_read(tmp_path: Path, name: str, text: str, caption: str) -> None:
    _make(tmp_path, {"a.png": "", name: text})
    assert _by_name(tmp_path)["a.png"].caption == caption


def test_a_text_goes_before_json_which_still_tells_the_source(tmp_path: Path) -> None:
    told = {"tags": ["x"], "category": "danbooru", "id": 7, "outfit": "kimono"}
    _make(tmp_path, {"a.png": "", "a.txt": "1girl", "a.json": json.dumps(told)})
    one = _by_name(tmp_path)["a.png"]
    assert (one.caption, one.told.source, one.told.outfit) == ("1girl", "danbooru 7", "kimono")


def test_broken_caption_files_are_noted(tmp_path: Path) -> None:
    _make(tmp_path, {"a.png": "", "a.json": "{", "b.png": ""})
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xfa")
    told = _by_name(tmp_path)
    assert told["a.png"].note == "a.json is not JSON"
    assert told["b.png"].note == "b.txt is not UTF-8"


def test_pages_of_one_post_share_a_source(tmp_path: Path) -> None:
    _make(tmp_path, {"12345678_p0.png": "", "12345678_p1.jpg": "", "other_p0.png": ""})
    sources = [one.told.source for one in _read(tmp_path).pictures]
    assert sources == ["pixiv 12345678", "pixiv 12345678", ""]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_imagefolder_metadata_is_read(tmp_path: Path, kind: str) -> None:
    rows = [
        {"file_name": "0/a.png", "text": "1girl, smile", "outfit": "dress"},
        {"file_name": "b.png", "text": "", "outfit": ""},
        {"file_name": "gone.png", "text": "x", "outfit": ""},
    ]
    text = "\n".join(json.dumps(row) for row in rows)
    if kind == "csv":
        text = 'file_name,text,outfit\n0/a.png,"1girl, smile",dress\nb.png,,\ngone.png,x,\n'
    _make(
        tmp_path,
        {"train/0/a.png": "", "train/b.png": "", "train/b.txt": "own", f"train/metadata.{kind}": text},
    )
    told = _by_name(tmp_path)
    assert (told["a.png"].caption, told["a.png"].told.outfit) == ("1girl, smile", "dress")
    assert (told["b.png"].caption, told["b.png"].told.outfit) == ("own", "")
    assert told["gone.png"].error == f"listed in metadata.{kind}, but not among the pictures"


def test_our_own_table_tells_the_source(tmp_path: Path) -> None:
    _make(tmp_path, {"a.png": "", "metadata.csv": "image_path,tags,source\na.png,smile,post 1\n"})
    one = _by_name(tmp_path)["a.png"]
    assert (one.caption, one.told.source, one.told.character) == ("smile", "post 1", "mai")


def test_broken_tables_are_problems_and_stop_nothing(tmp_path: Path) -> None:
    _make(
        tmp_path,
        {"a.png": "", "metadata.jsonl": '{"file_name": "a.png", "text": "x"}\n{oops\n{"text": "y"}\n'},
    )
    _make(tmp_path, {"s/b.png": "", "s/metadata.parquet": "no"})
    read = _read(tmp_path)
    assert read.pictures[0].caption == "x"
    assert [problem.split(": ", 1)[1][:40] for problem in read.problems[:2]] == [
        "line 2 is not JSON",
        "row 2 has neither file_name nor image_pa",
    ]
    assert "metadata.parquet cannot be read" in read.problems[2]


def test_folders_behind_links_keep_the_names_of_the_links(tmp_path: Path) -> None:
    _make(tmp_path / "elsewhere", {"a.png": "", "a.txt": "smile"})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "kimono").symlink_to(tmp_path / "elsewhere")
    (one,) = _read(tmp_path / "in").pictures
    assert one == Imported(tmp_path / "elsewhere" / "a.png", Told("mai", "kimono"), "smile")

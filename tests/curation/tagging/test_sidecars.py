from __future__ import annotations

from pathlib import Path

import pytest

from charaforge.curation.tagging.sidecars import read_sidecars, split_tags, write_sidecars
from charaforge.errors import UsageError


def test_captions_are_split_into_tags() -> None:
    assert split_tags("blue_hair, ^_^ ,, blue hair , miku \\(vocaloid\\)\n") == [
        "blue hair",
        "^_^",
        "miku (vocaloid)",
    ]
    assert split_tags("  ") == []


def test_words_beside_pictures_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("blue_hair, smile")
    (tmp_path / "b.txt").write_text("\n")
    pictures = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    assert read_sidecars([*pictures, tmp_path / "gone" / "d.png"]) == {pictures[0]: ["blue hair", "smile"]}


def test_captions_keep_the_subfolders_and_come_back(tmp_path: Path) -> None:
    pictures = {
        tmp_path / "in" / name: f"tag {i}" for i, name in enumerate(("a.png", "x/a.png", "x/y/b.jpg"))
    }
    assert write_sidecars(pictures, tmp_path / "out") == 3
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.txt")}
    assert written == {"a.txt", "x/a.txt", "x/y/b.txt"}
    back = read_sidecars(tmp_path / "out" / path.relative_to(tmp_path / "in") for path in pictures)
    assert [", ".join(tags) for tags in back.values()] == list(pictures.values())


def test_pictures_of_one_name_get_a_caption_each(tmp_path: Path) -> None:
    pictures = {tmp_path / "in" / name: name for name in ("a.png", "a.jpg", "b.png")}
    write_sidecars(pictures, tmp_path / "out")
    written = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert written == {"a.png.txt": "a.png\n", "a.jpg.txt": "a.jpg\n", "b.txt": "b.png\n"}


def test_captions_of_an_unchanged_picture_are_not_written_again(tmp_path: Path) -> None:
    pictures = {tmp_path / "in" / "a.png": "tag"}
    write_sidecars(pictures, tmp_path / "out")
    before = (tmp_path / "out" / "a.txt").stat().st_mtime_ns
    write_sidecars(pictures, tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").stat().st_mtime_ns == before


def test_nothing_is_written_beside_the_pictures(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("by hand")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for folder in (tmp_path / "in", tmp_path / "link"):
        with pytest.raises(UsageError, match="originals stay as they are"):
            write_sidecars({tmp_path / "in" / "a.png": "tag"}, folder)
    assert (tmp_path / "in" / "a.txt").read_text() == "by hand"

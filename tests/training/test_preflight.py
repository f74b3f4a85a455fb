"""§5-2 and §5-5 of the research: no caption is lost in silence, no broken picture ends a run halfway."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from PIL import Image

from charaforge.errors import DatasetError, UsageError
from charaforge.training.preflight import report
from charaforge.training.preflight.output import bytes_written, check_output
from charaforge.training.run import run
from charaforge.warehouse.layout import Warehouse
from tests.training.conftest import MakeConfig, Prepare, write_picture

Usage = namedtuple("Usage", "total used free")


def test_captions_in_caption_files_are_read_and_that_is_told(
    make_config: MakeConfig, prepared: Prepare, pictures: Path
) -> None:
    """kohya_ss#927: .txt ignored, or .caption, with a mere log line."""
    (pictures / "0.txt").rename(pictures / "0.caption")
    found = prepared(make_config())
    assert len(found.dataset.train) == 7
    assert any("1 captions are read from .caption" in line for line in report(found))


def test_folders_that_say_how_often_are_understood(
    make_config: MakeConfig, prepared: Prepare, tmp_path: Path
) -> None:
    folder = tmp_path / "kohya" / "10_zxq girl"
    folder.mkdir(parents=True)
    for number in range(3):
        write_picture(folder / f"{number}.png", number)
    (folder / "0.txt").write_text("zxq, smile", encoding="utf-8")
    found = prepared(make_config(train_data_dir=tmp_path / "kohya", repeats=2))
    assert [s.caption.text() for s in found.dataset.train] == ["zxq, smile", "zxq, zxq girl", "zxq, zxq girl"]
    assert [s.repeats for s in found.dataset.train] == [20, 20, 20]
    lines = list(report(found))
    assert any("each repeated 10 times; 2 of them have no caption" in line for line in lines)
    assert any(line.startswith("epoch     60 pictures") for line in lines)


def test_too_many_pictures_without_words_are_refused(
    make_config: MakeConfig, prepared: Prepare, pictures: Path
) -> None:
    (pictures / "0.txt").unlink()
    (pictures / "1.txt").write_text(" \n", encoding="utf-8")
    with pytest.raises(DatasetError, match="2 of 8 pictures have no caption") as caught:
        prepared(make_config())
    assert "max_empty_share" in caught.value.hint
    assert len(prepared(make_config(max_empty_share=0.3)).dataset.train) > 3


def test_captions_are_shown_as_they_are_trained(
    make_config: MakeConfig, prepared: Prepare, pictures: Path
) -> None:
    for path in pictures.glob("*.txt"):
        path.write_text("blue_hair, (smile:1.2), girl", encoding="utf-8")
    told = "\n".join(report(prepared(make_config(tag_dropout=0.0))))
    assert "0.png (" in told
    assert "as trained: zxq, " in told
    assert "0 of 7 captions are cut off" in told
    assert "7 captions hold tags with underscores" in told
    assert "unless weighted_tags is true" in told


def test_a_mislabelled_picture_is_read_and_told(
    make_config: MakeConfig, prepared: Prepare, pictures: Path
) -> None:
    """kohya_ss#1718: a JPEG that is called .png."""
    Image.open(pictures / "0.png").save(pictures / "x.jpg")
    (pictures / "x.jpg").replace(pictures / "0.png")
    found = prepared(make_config())
    assert any("0.png is named .png, its content is JPEG" in line for line in report(found))
    assert len(found.dataset.left_out) == 0


def test_broken_pictures_go_on_a_list_and_stay_where_they_are(
    make_config: MakeConfig, tiny: Warehouse, pictures: Path
) -> None:
    data = (pictures / "5.png").read_bytes()
    (pictures / "5.png").write_bytes(data[: len(data) // 2])
    shutil.copy(pictures / "1.png", pictures / "9.png")
    shutil.copy(pictures / "1.txt", pictures / "9.txt")
    config = make_config(max_train_steps=1)
    run(config, tiny)
    listed = (config.output_dir / "quarantine.tsv").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in listed] == [str(pictures / "5.png"), str(pictures / "9.png")]
    assert (pictures / "5.png").stat().st_size == len(data) // 2


def test_a_full_disk_is_found_before_the_first_step(
    make_config: MakeConfig, prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = bytes_written(prepared(make_config()))
    fewer = bytes_written(prepared(make_config(save_every_steps=1)))
    assert fewer > needed > 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1000))
    with pytest.raises(UsageError, match="this run writes about") as caught:
        prepared(make_config())
    assert "save_every_steps" in caught.value.hint


def test_a_folder_that_cannot_be_written_to_is_found_and_nothing_is_made(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    check_output(make_config(output_dir=tmp_path / "new" / "zxq"))
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be written to"):
        check_output(make_config(output_dir=tmp_path / "file" / "zxq"))


def test_pictures_that_lose_much_or_are_enlarged_are_told(
    make_config: MakeConfig, prepared: Prepare, pictures: Path
) -> None:
    write_picture(pictures / "0.png", 0, (300, 40))
    write_picture(pictures / "1.png", 1, (20, 20))
    told = "\n".join(report(prepared(make_config(validation_share=0.0))))
    assert "1 pictures lose more than 20%" in told
    assert "1 pictures are enlarged to over twice" in told


def test_memory_is_told_with_what_fits(make_config: MakeConfig, prepared: Prepare) -> None:
    run_ = prepared(make_config())
    roomy = "\n".join(report(run_, 24 * 2**30, estimate=True))
    assert "largest batch" in roomy
    tight = "\n".join(report(run_, 700 * 2**20, estimate=True))
    assert "fits" in tight
    none = "\n".join(report(run_, 2**20, estimate=True))
    assert "does not fit into" in none
    assert "no batch fits" in none

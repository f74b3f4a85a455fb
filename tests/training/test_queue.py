"""A queue of trainings, as it is left alone overnight."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from charaforge.cli.main import main
from charaforge.errors import ConfigError
from charaforge.training.queue import Outcome, run_queue, table
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_models import tiny_sd


def write(folder: Path, name: str, pictures: Path, **changes: object) -> Path:
    settings = {
        "model_id": "tiny-sd",
        "train_data_dir": str(pictures),
        "output_dir": str(folder / name / "zxq"),
        "character": "zxq",
        "rank": 4,
        "max_train_steps": 2,
        "caption_variants": 1,
        "mixed_precision": "no",
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings | changes), encoding="utf-8")
    return file


@pytest.mark.launch
def test_a_failed_run_does_not_stop_the_rest_and_says_why(
    warehouse: Warehouse, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """§5-11: peers say that a command returned non-zero exit status 1."""
    tiny_sd(warehouse.sd / "tiny-sd")
    files = [
        write(tmp_path, "broken", tmp_path / "nowhere"),
        write(tmp_path, "good", pictures),
        write(tmp_path, "mistaken", pictures, model_id="tinysd"),
    ]
    assert main(["train", "--queue", *map(str, files)]) == 1
    told = capsys.readouterr().out
    rows = [line for line in told.splitlines() if ".yaml |" in line]
    assert [row.split("|")[2].split(":")[0].strip() for row in rows] == ["failed", "done", "failed"]
    assert "nowhere" in rows[0]
    assert "did you mean 'tiny-sd'" in rows[2] or "unknown base model 'tinysd'" in rows[2]
    assert (tmp_path / "good" / "zxq" / "zxq.safetensors").is_file()
    (results,) = warehouse.outputs.rglob("results.json")
    found = [Outcome(**one) for one in json.loads(results.read_text(encoding="utf-8"))]
    assert [(one.result, one.steps) for one in found] == [("failed", 0), ("done", 2), ("failed", 0)]
    assert found[1].held_out is not None
    assert table(found) == (results.with_suffix(".md")).read_text(encoding="utf-8")


def test_all_faults_of_all_configurations_are_told_before_the_first_run(
    pictures: Path, tmp_path: Path
) -> None:
    files = [
        write(tmp_path, "one", pictures, rnak=3),
        write(tmp_path, "two", pictures, rank=0),
        tmp_path / "three.yaml",
        write(tmp_path, "four", pictures),
        write(tmp_path, "five", pictures, output_dir=str(tmp_path / "four" / "zxq")),
    ]
    with pytest.raises(ConfigError) as caught:
        run_queue(files, tmp_path / "queue")
    told = str(caught.value)
    assert "one.yaml: unknown key 'rnak'; did you mean 'rank'?" in told
    assert "two.yaml: rank" in told
    assert "cannot read" in told
    assert "two runs have this output_dir" in told
    assert not (tmp_path / "queue").exists()


def test_a_queue_takes_no_other_options(pictures: Path, tmp_path: Path) -> None:
    assert main(["train", "--queue", str(write(tmp_path, "a", pictures)), "--rank", "4"]) == 2

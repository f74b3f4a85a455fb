import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from charaforge.cli.main import main
from charaforge.curation import pose
from charaforge.curation.inputs import run_on
from charaforge.curation.pictures import Found, find_pictures
from charaforge.curation.table import read_stage, read_summary
from charaforge.mini.render import keypoints, render
from charaforge.mini.scenes import sample_held_out_scene
from charaforge.perception.detector import PersonDetector
from charaforge.perception.opening import Opened, open_pose
from charaforge.perception.openpose_map import render_pose
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry
from tests.perception.onnx_models import blue_cells_yolox, red_cross_simcc

SCENES = [sample_held_out_scene(random.Random(f"pose stage {index}")) for index in range(6)]
SIDE = 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six held-out pictures of the mini world, and one that is cut off."""
    root = tmp_path_factory.mktemp("pictures")
    for index, scene in enumerate(SCENES):
        Image.fromarray(render(scene, SIDE)).save(root / f"{index}.png", compress_level=1)
    (root / "6.png").write_bytes((root / "0.png").read_bytes()[:900])
    return root


@pytest.fixture(scope="module")
def estimators(tmp_path_factory: pytest.TempPathFactory) -> pose.Estimators:
    registry = Registry(Warehouse(tmp_path_factory.mktemp("warehouse")))
    return pose.Estimators(open_pose(registry, "mini-pose"))


def test_key_points_lie_on_the_joints_of_the_picture(
    folder: Path, estimators: pose.Estimators, tmp_path: Path
) -> None:
    rows = run_on(pose.pose_stage(estimators), find_pictures(folder), tmp_path)
    for scene, row in zip(SCENES, rows.values(), strict=False):
        truth = keypoints(scene)
        seen = truth[:, 2] > 0
        found = pose.people_of(row)[0][seen, :2]
        wanted = (truth[seen, :2] + 0.5) * SIDE / 128 - 0.5
        assert np.linalg.norm(found - wanted, axis=1).mean() < 0.02 * SIDE
    assert list(rows.values())[6]["error"].startswith("broken")


def test_the_stage_writes_table_maps_and_summary(
    folder: Path, estimators: pose.Estimators, tmp_path: Path
) -> None:
    found = [*find_pictures(folder), Found(folder / "gone.png", "a link that leads nowhere")]
    rows = run_on(pose.pose_stage(estimators), found, tmp_path / "cache")
    pose.finish(tmp_path, rows, estimators)
    table = read_stage(tmp_path, "pose")
    assert list(table) == [str(one.path) for one in found]
    first = table[str(folder / "0.png")]
    assert (first["people"], first["width"], first["error"]) == (1, SIDE, "")
    assert 0.5 < first["pose_score"] <= 1
    scores = np.concatenate(
        [pose.people_of(row)[..., 2].ravel() for row in table.values() if not row["error"]]
    )
    assert 0 <= scores.min() <= scores.max() <= 1
    drawn = np.asarray(Image.open(first["pose_map"]))
    assert np.array_equal(drawn, render_pose(pose.people_of(first), SIDE, SIDE))
    told = read_summary(tmp_path)["pose"]
    assert (told["pictures"], told["errors"]) == (8, 2)
    assert told["models"]["pose"]["name"] == "mini-pose"


def test_maps_are_kept_until_another_model_makes_them(
    folder: Path, estimators: pose.Estimators, tmp_path: Path
) -> None:
    rows = run_on(pose.pose_stage(estimators), find_pictures(folder)[:1], tmp_path / "cache")
    (drawn,) = (Path(path) for path in pose.write_maps(rows, tmp_path / "pose", "one").values())
    drawn.write_bytes(b"mine")
    pose.write_maps(rows, tmp_path / "pose", "one")
    assert drawn.read_bytes() == b"mine"
    pose.write_maps(rows, tmp_path / "pose", "two")
    assert drawn.read_bytes() != b"mine"


def test_maps_of_large_pictures_are_smaller() -> None:
    row = {"width": 4096, "height": 2048, "keypoints": [[[2048.0, 1024.0, 0.9]] * 18]}
    drawn = np.asarray(pose.pose_map(row))
    assert drawn.shape == (512, 1024, 3)
    y, x = np.argwhere(drawn.any(2)).mean(0)
    assert (round(x), round(y)) == (512, 256)


def test_a_picture_without_people_is_unknown(estimators: pose.Estimators) -> None:
    row = {"sha256": "a", "error": "", "width": 8, "height": 8, "keypoints": []}
    told = pose.with_tags({Path("a.png"): row})[Path("a.png")]
    assert (told["pose_tag"], told["people"], told["pose_view"]) == ("unknown", 0, "")


def test_a_detector_finds_several_people(tmp_path: Path) -> None:
    models = tmp_path / "models" / "pose"
    red_cross_simcc(models / "red" / "model.onnx", 64, 64)
    registry = Registry(Warehouse(tmp_path))
    boxes = PersonDetector(blue_cells_yolox(tmp_path / "blue.onnx", 64, 64))
    detector = Opened("blue", "", "0", boxes)
    estimators = pose.Estimators(open_pose(registry, "red"), detector)
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[8:16, 16:24, 2] = pixels[40:48, 48:56, 2] = 255
    assert len(estimators.find([Image.fromarray(pixels)])[0]) == 2
    assert estimators.told["detector"]["name"] == "blue"


@pytest.mark.launch
def test_the_verb_writes_the_same_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AI_CACHE_ROOT", str(tmp_path / "warehouse"))
    command = ["pose", "--in", str(folder), "--out", str(tmp_path / "out"), "--no-maps"]
    assert main(command) == 0
    first = (tmp_path / "out" / "pose.parquet").read_bytes()
    assert main(command) == 0
    assert (tmp_path / "out" / "pose.parquet").read_bytes() == first
    assert "7, 1 with errors" in capsys.readouterr().out
    assert not (tmp_path / "out" / "pose").exists()
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["pose"]["people"] == {"1": 6}

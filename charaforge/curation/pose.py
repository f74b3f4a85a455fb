"""The pose stage: key points of everybody in a picture, a word for the pose, and a map for ControlNets.

Key points come from a SimCC estimator or MediaPipe; a person detector may find the boxes, and where it finds
nobody the whole picture is one person's box. The word and the map are made from the key points afterwards, so
that better rules need no second look at the pictures.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.curation.pictures import Picture
from charaforge.curation.pose_rules import UNKNOWN, main_person, pose_of
from charaforge.curation.stage import Row, Stage
from charaforge.curation.table import write_stage
from charaforge.logs import track
from charaforge.perception.detector import PersonDetector
from charaforge.perception.mediapipe_pose import MediaPipePose
from charaforge.perception.opening import Opened
from charaforge.perception.openpose_map import SEEN, render_pose
from charaforge.perception.simcc import PoseEstimator
from charaforge.warehouse.atomic import replacing, write_json

NAME = "pose"
MAP_SIDE = 1024
"""Longest side of a map, px; maps of smaller pictures have the pictures' size."""
FEWEST_POINTS = 4
"""Whoever shows fewer key points is not counted as a person."""
_MAKER = "made-by.json"
_RENDERER = 1  # raise it when maps look different

Points = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Estimators:
    """What looks at the pictures.

    Attributes:
        pose: finds key points.
        detector: finds people; None: the whole picture is one person's box.
    """

    pose: Opened[PoseEstimator] | Opened[MediaPipePose]
    detector: Opened[PersonDetector] | None = None

    def find(self, images: Sequence[Image.Image]) -> list[Points]:
        """Return float32 (P, 18, 3) per picture: x, y in pixels, and the score."""
        net = self.pose.net
        if isinstance(net, MediaPipePose):
            return net.estimate_people(images)
        nobody = np.zeros((0, 5), np.float32)
        boxes = self.detector.net.detect(images) if self.detector else [nobody] * len(images)
        return net.estimate_people(images, boxes)

    @property
    def told(self) -> dict[str, Any]:
        """What decides the key points, as JSON values."""
        return {"pose": self.pose.told, "detector": self.detector.told if self.detector else None}


def pose_stage(estimators: Estimators) -> Stage:
    """Return the stage; its rows hold "width", "height" (px) and "keypoints", a list of people.

    A person is a list of 18 [x, y, score], x and y in pixels of the upright picture.
    """

    def work(pictures: list[Picture]) -> list[Row]:
        people = estimators.find([Image.fromarray(picture.rgb) for picture in pictures])
        return [_row(picture, found) for picture, found in zip(pictures, people, strict=True)]

    parameters = {**estimators.told, "fewest_points": FEWEST_POINTS, "scores": "0 to 1"}
    return Stage(NAME, work, parameters, estimators.pose.sha256, padded=True)


def finish(dataset: Path, rows: Mapping[Path, Row], estimators: Estimators, maps: bool = True) -> Path:
    """Draw the maps (`<dataset>/pose/`) and write `<dataset>/pose.parquet`; return its path.

    Args:
        dataset: folder of the dataset.
        rows: what the stage gave.
        estimators: what looked at the pictures.
        maps: whether maps are drawn.
    """
    drawn = write_maps(rows, dataset / NAME, pose_stage(estimators).key) if maps else {}
    told = with_tags(rows)
    table = {
        path: row if row["error"] else {**row, "pose_map": drawn.get(row["sha256"], "")}
        for path, row in told.items()
    }
    return write_stage(dataset, NAME, table, summary(told, estimators))


def with_tags(rows: Mapping[Path, Row]) -> dict[Path, Row]:
    """Return the rows of the stage with what follows from the key points.

    Columns: pose_tag, pose_view, pose_score (of the largest person) and people (their number).
    """
    return {path: row if row["error"] else {**row, **_told(row)} for path, row in rows.items()}


def people_of(row: Mapping[str, Any]) -> Points:
    """Return the key points of a row, of the stage or of its table: float32 (P, 18, 3)."""
    told = row["keypoints"]
    people = json.loads(told) if isinstance(told, str) else told
    return np.asarray(people, np.float32).reshape(-1, 18, 3)


def summary(rows: Mapping[Path, Row], estimators: Estimators) -> dict[str, Any]:
    """Return what `summary.json` tells of the stage."""
    tags = Counter(row["pose_tag"] for row in rows.values() if not row["error"])
    people = Counter(str(row["people"]) for row in rows.values() if not row["error"])
    return {"models": estimators.told, "pose_tags": dict(tags.most_common()), "people": dict(people)}


def write_maps(rows: Mapping[Path, Row], folder: Path, made_by: str) -> dict[str, str]:
    """Draw `<sha256>.png` for every picture with people; what is there already stays.

    Args:
        rows: of the stage.
        folder: where to; maps that another model made are deleted first.
        made_by: key of the stage.

    Returns:
        sha256 of a picture -> path of its map.
    """
    _prepare(folder, {"stage": made_by, "renderer": _RENDERER})
    wanted = {row["sha256"]: row for row in rows.values() if not row["error"] and row["keypoints"]}
    there = {file.name for file in folder.iterdir()}
    for sha256, row in track(
        [one for one in wanted.items() if f"{one[0]}.png" not in there], "drawing pose maps", unit="maps"
    ):
        with replacing(folder / f"{sha256}.png", durable=False) as temporary:
            pose_map(row).save(temporary, compress_level=1)
    return {sha256: str(folder.resolve() / f"{sha256}.png") for sha256 in wanted}


def pose_map(row: Mapping[str, Any]) -> Image.Image:
    """Return the OpenPose map of a row, of the picture's size, or `MAP_SIDE` where that is smaller."""
    scale = min(1.0, MAP_SIDE / max(row["width"], row["height"]))
    size = [max(1, round(row[side] * scale)) for side in ("width", "height")]
    people = people_of(row)
    people[..., :2] = (people[..., :2] + 0.5) * scale - 0.5  # pixel i has its centre at i
    return Image.fromarray(render_pose(people, size[0], size[1]))


def _row(picture: Picture, people: Points) -> Row:
    seen = [person for person in people if (person[:, 2] >= SEEN).sum() >= FEWEST_POINTS]
    told = [
        [[round(x, 2), round(y, 2), round(min(max(s, 0.0), 1.0), 4)] for x, y, s in one.tolist()]
        for one in seen
    ]
    return {"width": picture.width, "height": picture.height, "keypoints": told}


def _told(row: Row) -> dict[str, Any]:
    people = people_of(row)
    if not len(people):
        return {"pose_tag": UNKNOWN, "pose_view": "", "pose_score": 0.0, "people": 0}
    pose = pose_of(people[main_person(people)])
    return {
        "pose_tag": pose.tag,
        "pose_view": pose.view,
        "pose_score": pose.score,
        "people": len(people),
    }


def _prepare(folder: Path, maker: dict[str, Any]) -> None:
    """Empty the folder of maps that were made otherwise."""
    note = folder / _MAKER
    try:
        if json.loads(note.read_text(encoding="utf-8")) == maker:
            return
    except (OSError, ValueError):
        pass
    for file in folder.glob("*.png"):
        file.unlink()
    write_json(note, cast(Any, maker))

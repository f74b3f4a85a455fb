"""Poses that prompts are rendered in: which file belongs to which prompt, and where its joints are.

A file is OpenPose or COCO key points (JSON), a pose map, or a picture, whose pose is then estimated.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import CharaForgeError, NotMeasurableError, UnknownNameError, UsageError
from charaforge.evaluation.metrics.joints import ANKLES, KNEES, SEEN
from charaforge.evaluation.prompts import EvalPrompt
from charaforge.perception.keypoint_json import read_people
from charaforge.perception.openpose_reading import points_of_map
from charaforge.perception.preprocess import looks_like_map, placed_points
from charaforge.perception.simcc import PoseEstimator

_SUFFIXES = (".json", ".png", ".jpg", ".jpeg", ".webp")
_FEWEST_JOINTS = 4
_FRAMING = {
    "full body": "feet",
    "cowboy shot": "knees",
    "upper body": "less",
    "portrait": "less",
    "close-up": "less",
}
"""Danbooru's tags for the framing, and how much of a figure they show."""

Points = npt.NDArray[np.float32]


def assign_poses(
    prompts: Sequence[EvalPrompt], folder: Path, read: Callable[[Path], Points]
) -> dict[str, Path]:
    """Give every prompt a pose: the one it names, else one named like a tag it expects, else in turn.

    Among those, poses of the framing that the prompt asks for go first: a full-body pose under the words
    "upper body" asks for two pictures at once.

    Args:
        prompts: The prompts.
        folder: Holds the pose files.
        read: Key points (18, 3) of a file; it raises where they cannot be read.

    Returns:
        Prompt id -> file.

    Raises:
        UsageError: there is no such folder.
        NotMeasurableError: it holds no pose.
        UnknownNameError: a prompt names a pose that is not there.
    """
    files = _pose_files(folder)
    named = {path.name: path for path in files} | {path.stem: path for path in files}
    framed = cache(lambda path: _framing(path, read))
    chosen: dict[str, Path] = {}
    for turn, prompt in enumerate(prompts):
        if prompt.pose and prompt.pose not in named:
            raise UnknownNameError(f"pose of prompt {prompt.id}", prompt.pose, sorted(named))
        if prompt.pose:
            chosen[prompt.id] = named[prompt.pose]
            continue
        fitting = [path for path in files if _tag(path) in prompt.expected_tags] or files
        wanted = {_FRAMING[tag] for tag in prompt.expected_tags if tag in _FRAMING}
        if wanted:
            fitting = [path for path in fitting if framed(path) in wanted] or fitting
        chosen[prompt.id] = fitting[turn % len(fitting)]
    return chosen


def read_target(path: Path, side: int, estimator: PoseEstimator) -> Points:
    """Read one pose as key points (18, 3) of a picture of ``side`` x ``side`` pixels.

    Raises:
        NotMeasurableError: fewer than four joints are in it.
        UsageError: the file cannot be read.
    """
    try:
        if path.suffix.lower() == ".json":
            people = read_people(json.loads(path.read_text(encoding="utf-8")), (side, side))
            points, size = people.points[:1], people.size
        else:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
            is_map = looks_like_map("pose", picture)
            points = (points_of_map(picture) if is_map else estimator.estimate([picture])[0])[None]
            size = (float(picture.width), float(picture.height))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the pose {path} cannot be read: {error}", "give JSON key points or a picture"
        ) from error
    placed = placed_points(np.asarray(points, np.float32), size, (side, side))[0]
    if (placed[:, 2] >= SEEN).sum() < _FEWEST_JOINTS:
        raise NotMeasurableError(
            f"fewer than {_FEWEST_JOINTS} joints are seen in the pose {path}",
            "give a clearer one, or take it out",
        )
    return np.asarray(placed, np.float32)


def _pose_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "give --pose_dir a folder of poses, or leave it out")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise NotMeasurableError(
            f"{folder} holds no poses, so pose fidelity is not measurable: at least 1 is missing",
            "put OpenPose key points (.json), pose maps or pictures there, or leave out --pose_dir",
        )
    return files


def _framing(path: Path, read: Callable[[Path], Points]) -> str:
    """How much of the figure a pose shows: to the feet, to the knees, or less; "" where it cannot be read."""
    try:
        seen = read(path)[:, 2] >= SEEN
    except CharaForgeError:
        return ""
    if seen[list(ANKLES)].any():
        return "feet"
    return "knees" if seen[list(KNEES)].any() else "less"


def _tag(path: Path) -> str:
    return path.stem.replace("_", " ").rstrip("0123456789 -")

"""The maps that ControlNets follow: finished ones as they are, others made from pictures or key points."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import UnknownNameError, UsageError
from charaforge.generation.canvas import on_white
from charaforge.generation.input_files import InputFile
from charaforge.generation.tools import ANNOTATOR, POSE, LoadedTool, ToolShelf
from charaforge.perception.keypoint_json import read_people
from charaforge.perception.openpose_map import render_pose
from charaforge.perception.preprocess import canny, looks_like_map, padded, placed_points, resized
from charaforge.requests.inputs import Control

Size = tuple[int, int]
_OWN = {"pose": "openpose", "canny": "canny", "depth": "depth", "lineart": "lineart"}


class MapMaker:
    """Makes control maps.

    Args:
        tools: where pose estimators and annotators are.
        card: of the base; its `pose` and `annotator` name the nets that belong to it.
        size: (width, height) of the maps: what is rendered.
    """

    def __init__(self, tools: ToolShelf, card: dict[str, Any], size: Size) -> None:
        self._tools = tools
        self._card = card
        self._size = size
        self.used: dict[str, str] = {}  # name -> sha256 of the nets that were asked

    def make(self, control: Control, file: InputFile | None) -> npt.NDArray[np.uint8]:
        """Return the map of a control: uint8 (height, width, 3).

        Args:
            control: what is asked for.
            file: its picture, or its key points as a JSON file; None where they stand in the request.

        Raises:
            UsageError: the picture or the key points cannot be used.
            UnknownNameError: there is no such preprocessor.
        """
        if file is None or (control.type == "pose" and file.suffix == ".json"):
            return self._from_keypoints(control.keypoints if file is None else file.json())
        picture = on_white(file.picture())
        name = self.preprocessor(control, picture)
        if name is None:
            fitted = resized(picture, self._size, Image.Resampling.LANCZOS)
            return padded(fitted, picture.size, self._size)
        if control.type == "pose":
            return self._pose(picture, name)
        fitted = resized(picture, self._size, Image.Resampling.LANCZOS)
        drawn = canny(fitted) if control.type == "canny" else self._annotate(control.type, fitted, name)
        return padded(drawn, picture.size, self._size)

    def preprocessor(self, control: Control, picture: Image.Image) -> str | None:
        """Return the preprocessor that a control needs, None where the picture is used as it is."""
        if control.preprocessor == "none":
            return None
        if control.preprocessor == "auto":
            return None if looks_like_map(control.type, picture) else _OWN[control.type]
        return control.preprocessor

    def _from_keypoints(self, value: Any) -> npt.NDArray[np.uint8]:
        people = read_people(value, self._size)
        return render_pose(placed_points(people.points, people.size, self._size), *self._size)

    def _pose(self, picture: Image.Image, name: str) -> npt.NDArray[np.uint8]:
        asked = str(self._card.get("pose", POSE)) if name == _OWN["pose"] else name
        estimator = self._known(self._tools.pose, asked, "pose")
        points = estimator.net.estimate([picture])
        drawn = render_pose(placed_points(points, picture.size, self._size), *self._size)
        if not drawn.any():
            raise UsageError("no person was found in the picture", "give key points, or a finished pose map")
        return drawn

    def _annotate(self, kind: str, picture: Image.Image, name: str) -> Image.Image:
        asked = str(self._card.get("annotator", ANNOTATOR)) if name == _OWN[kind] else name
        drawn: Image.Image = self._known(self._tools.annotator, asked, kind).net.draw(kind, picture)
        return drawn

    def _known(self, find: Any, name: str, kind: str) -> LoadedTool:
        try:
            found: LoadedTool = find(name)
            self.used[found.name] = found.sha256
        except UnknownNameError as error:
            valid = ["auto", "none", _OWN[kind], *error.candidates]
            raise UnknownNameError(f"{kind} preprocessor", name, valid) from None
        return found

"""Files that requests name: upload ids, and paths inside the warehouse and the owner's input roots."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backend.core.pictures import PictureFault, picture_size
from charaforge.warehouse.layout import Warehouse

UPLOAD_ID = re.compile(r"^[0-9a-f]{64}$")
PICTURE_KEYS = frozenset(
    {"image", "mask", "face_ref", "style_ref", "init_image", "pose_image", "control_image"}
)
POSE_KEYS = frozenset({"image", "pose_image", "control_image"})  # may name a JSON file of key points
MAX_JSON = 1_000_000  # bytes
_UNCHECKED = frozenset({"keypoints", "pose_keypoints"})  # data of the caller's, not ours to look into


class InputFault(Exception):
    """Why a file is not taken, as a user reads it."""


class InputFiles:
    """Finds the files that requests name.

    Args:
        warehouse: its folder is a root.
        roots: further roots.
    """

    def __init__(self, warehouse: Warehouse, roots: tuple[Path, ...]) -> None:
        self._warehouse = warehouse
        self._roots = roots

    def resolve(self, told: str, json_too: bool = False) -> Path:
        """Return the file that an upload id or a path stands for, all links followed.

        Args:
            told: the id, also as recipes write it (`sha256:<id>`), or the path; a relative one begins at the
                warehouse.
            json_too: whether a JSON file of key points is taken as well.

        Raises:
            InputFault: it lies outside the roots, is not there, or is no picture that is taken.
        """
        name = told.removeprefix("sha256:")
        path = self._upload(name) if UPLOAD_ID.match(name) else self._inside(told)
        try:
            about = path.stat()
        except OSError:
            raise InputFault(f"there is no file {told!r}") from None
        if not stat.S_ISREG(about.st_mode):
            raise InputFault(f"{told!r} is no file")
        if json_too and path.suffix.lower() == ".json":
            if about.st_size > MAX_JSON:
                raise InputFault(f"{told!r} has {about.st_size} bytes; key points have at most {MAX_JSON}")
            return path
        try:
            picture_size(path)
        except PictureFault as fault:
            raise InputFault(f"{told!r} {fault}") from None
        return path

    def place(self, told: str) -> Path:
        """Return a file or folder that lies inside the roots, whatever is in it.

        Raises:
            InputFault: it lies outside, or is not there.
        """
        path = self._inside(told)
        if not path.exists():
            raise InputFault(f"there is no file or folder {told[:200]!r}")
        return path

    def resolve_all(self, body: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return a request body with resolved paths, and its faults, each `{field, message, value}`."""
        faults: list[dict[str, Any]] = []

        def walk(value: Any, where: tuple[str, ...]) -> Any:
            if isinstance(value, dict):
                return {
                    key: inner if key in _UNCHECKED else walk(inner, (*where, key))
                    for key, inner in value.items()
                }
            if isinstance(value, list | tuple):
                return [walk(inner, (*where, str(place))) for place, inner in enumerate(value)]
            if isinstance(value, str) and where[-1] in PICTURE_KEYS:
                try:
                    return str(self.resolve(value, json_too=where[-1] in POSE_KEYS))
                except InputFault as fault:
                    faults.append({"field": ".".join(where), "message": str(fault), "value": value[:80]})
            return value

        return walk(body, ()), faults

    def _upload(self, told: str) -> Path:
        found = next(self._warehouse.uploads.glob(f"{told[:2]}/{told}.*"), None)
        if found is None:
            raise InputFault(f"there is no upload {told}; POST the picture to /api/v1/uploads first")
        return found

    def _inside(self, told: str) -> Path:
        """Return the path with its links followed; it must then lie inside a root."""
        try:
            path = (self._warehouse.root / told).resolve()
        except (OSError, RuntimeError, ValueError):
            raise InputFault(f"{told[:80]!r} is no path") from None
        if not any(path.is_relative_to(root) for root in self._allowed()):
            raise InputFault(
                f"{told!r} is outside the folders that requests may read; upload the picture, "
                "or add its folder to API_INPUT_ROOTS"
            )
        return path

    def _allowed(self) -> Iterator[Path]:
        yield self._warehouse.root.resolve()
        yield from (root.resolve() for root in self._roots)
        yield from self._links_of_the_owner()

    def _links_of_the_owner(self) -> Iterator[Path]:
        """Yield where links in the folders of models and datasets lead; only the owner can put them there."""
        for folder in (self._warehouse.models, self._warehouse.raw.parent):
            for depth in ("*", "*/*"):
                yield from (path.resolve() for path in folder.glob(depth) if path.is_symlink())

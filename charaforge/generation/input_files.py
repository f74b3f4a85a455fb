"""Pictures that a request names: found, checked, and kept so that the request can be rendered again.

A file is named by its path, or by what is in it: `sha256:<64 hex digits>`. What was read is kept once in
the warehouse's `uploads/`, as `<2 digits>/<sha256>` with the suffix of its format, where the service puts its
uploads too. Recipes name files by content, so equal pictures in different folders give equal recipes, and the
original may be moved or deleted.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from charaforge.errors import UsageError
from charaforge.warehouse.atomic import write_bytes
from charaforge.warehouse.layout import Warehouse

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_BYTES = 256 * 2**20
MAX_PIXELS = 4096 * 4096
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
_CONTENT = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class InputFile:
    """A file that was read.

    Attributes:
        data: its bytes.
        suffix: ".png", ".jpg", ".webp" or ".json".
        sha256: of its bytes.
    """

    data: bytes
    suffix: str
    sha256: str

    @property
    def name(self) -> str:
        """The name by content: `sha256:<hex>`."""
        return f"sha256:{self.sha256}"

    def picture(self) -> Image.Image:
        """Return the decoded picture, upright, in its own mode (RGB, RGBA, L …).

        Raises:
            UsageError: it is no picture, damaged, or too large.
        """
        if self.suffix == ".json":
            raise UsageError("a picture is needed here, not JSON", "give a PNG, JPEG or WebP file")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                opened = Image.open(io.BytesIO(self.data), formats=FORMATS)
                _check_pixels(opened)
                return ImageOps.exif_transpose(opened)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UsageError(f"the picture is damaged: {error}", "give a whole PNG, JPEG or WebP") from None

    def json(self) -> Any:
        """Return the value that a JSON file holds.

        Raises:
            UsageError: it is no JSON.
        """
        try:
            return json.loads(self.data)
        except ValueError as error:
            raise UsageError(
                f"the key points are no JSON: {error}", "see the layouts in the manual"
            ) from None


class InputFiles:
    """Reads the files that requests name, and keeps them by content.

    Args:
        warehouse: where they are kept.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._uploads = warehouse.uploads

    def read(self, name: str) -> InputFile:
        """Return the file called `name`, a path or `sha256:<hex>`; it is kept from now on.

        Raises:
            UsageError: there is none, it cannot be read, is too large, or neither a picture nor JSON.
        """
        by_content = _CONTENT.fullmatch(name)
        data = self._kept(by_content[1]) if by_content else _bytes_of(Path(name))
        file = InputFile(data, _suffix(data, name), hashlib.sha256(data).hexdigest())
        if by_content and file.sha256 != by_content[1]:
            raise UsageError(f"the file kept as {name} was changed", "put the original back, or render anew")
        place = self._uploads / file.sha256[:2] / f"{file.sha256}{file.suffix}"
        if not place.is_file():
            write_bytes(place, data)
        return file

    def _kept(self, digest: str) -> bytes:
        found = sorted(self._uploads.glob(f"{digest[:2]}/{digest}.*"))
        if not found:
            raise UsageError(f"no file sha256:{digest} in {self._uploads}", "put it there, or name its path")
        return _bytes_of(found[0])


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} has more than {MAX_BYTES // 2**20} MiB", "give a smaller picture")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise UsageError(f"the input file {path} cannot be read: {told}", "check its path") from None


def _suffix(data: bytes, name: str) -> str:
    """Return the suffix of what the bytes are, told by themselves."""
    if data.lstrip()[:1] in (b"{", b"["):
        return ".json"
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            _check_pixels(opened)
            return _SUFFIXES[str(opened.format)]
    except UnidentifiedImageError:
        raise UsageError(f"{name} is neither PNG, JPEG, WebP nor JSON", "convert it to one of them") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(f"{name} is damaged: {error}", "give a whole PNG, JPEG or WebP") from None


def _check_pixels(opened: Image.Image) -> None:
    """Refuse by the header alone what would not fit into memory."""
    if opened.width * opened.height > MAX_PIXELS:
        raise UsageError(
            f"the picture has {opened.width} x {opened.height} pixels; {MAX_PIXELS} are the most",
            "make it smaller",
        )

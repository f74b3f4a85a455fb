"""Finding the pictures of a folder, and reading each completely or saying why it cannot be read."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from charaforge.errors import PictureError
from charaforge.perception.flatten import on_white

_NAMES = "apng avif bmp dib gif heic heif ico jfif jpe jpeg jpg jxl pbm pgm png ppm psd tga tif tiff webp"
SUFFIXES = frozenset(f".{name}" for name in re.findall(r"\w+", _NAMES))
"""What counts as a picture by its name; formats that cannot be decoded get their row and reason too."""
MAX_PIXELS = 89_478_485
"""Pictures with more pixels are refused by their header (Pillow's own limit: 9,459 × 9,459)."""
_OTHER_NAMES = {"jpeg": ("jpg", "jpeg", "jpe", "jfif"), "tiff": ("tif", "tiff"), "png": ("png", "apng")}
_OTHER_NAMES |= {"ppm": ("ppm", "pgm", "pbm"), "bmp": ("bmp", "dib"), "mpo": ("jpg", "jpeg", "mpo")}
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
_BROKEN = (ValueError, SyntaxError, EOFError, struct.error, KeyError, TypeError, IndexError, OverflowError)


@dataclass(frozen=True)
class Found:
    """Something in a folder that is, or should be, a picture.

    Attributes:
        path: where it is.
        error: why it cannot be taken, before its content is looked at; "" where nothing is wrong so far.
    """

    path: Path
    error: str = ""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, decoded completely.

    Attributes:
        rgb: uint8 (H, W, 3), upright by its EXIF orientation, on white where it was transparent.
        width: px, upright.
        height: px, upright.
        format: what the content is, in small letters: "png", "jpeg", "webp", ….
        sha256: of the file's bytes, 64 hex digits.
        notes: what was odd about it: "extension says png, content is jpeg", "animated: first frame", ….
    """

    rgb: npt.NDArray[np.uint8]
    width: int
    height: int
    format: str
    sha256: str
    notes: tuple[str, ...] = ()


def find_pictures(root: Path) -> list[Found]:
    """List the pictures of a folder and its subfolders, sorted by path; hidden files are left out.

    Linked folders are followed, each folder is entered once. What cannot be followed or read – folders
    without permission, links that lead nowhere or in circles, special files, names that are not UTF-8 –
    is listed with its error.
    """
    found: list[Found] = []
    entered: set[tuple[int, int]] = set()
    links: list[Path] = []
    waiting = [root]
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop()  # real folders first, then what links add
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in entered:
                found.append(Found(folder, f"a link to {shown(folder.resolve())}, which is listed already"))
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            found.append(Found(folder, f"the folder cannot be read: {error.strerror or error}"))
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                (links if entry.is_symlink() else waiting).append(path)
            else:
                found += _found(path)
    return sorted(found, key=lambda one: os.fsencode(one.path))


def shown(path: Path) -> str:
    r"""Return a path as text for tables and messages; bytes that are not UTF-8 are written as \xff."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read_picture(path: Path) -> Picture:
    """Read and decode a picture completely. The file is opened for reading only.

    Raises:
        PictureError: it is missing, no regular file, empty, cut off, broken, too large, or no picture.
    """
    data = read_file(path)
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        with Image.open(io.BytesIO(data)) as opened:
            _check_size(opened.size)
            kind, notes = (opened.format or "").lower(), _notes(opened, path)
            opened.load()
            upright, turned = _upright(opened)
            rgb = np.array(on_white(upright))
    except UnidentifiedImageError as error:
        raise PictureError(_unidentified(data)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"too large: {str(error).split(',')[0]}") from error
    except OSError as error:
        raise PictureError(f"broken or cut off: {error}") from error
    except MemoryError as error:
        raise PictureError("too large for the memory") from error
    except _BROKEN as error:
        raise PictureError(f"broken: {error}") from error
    return Picture(rgb, rgb.shape[1], rgb.shape[0], kind, sha256, tuple(notes + turned))


def read_file(path: Path) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        PictureError: it is missing, not readable, no regular file (which is not opened), or empty.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise PictureError("no regular file")
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from error
    if not data:
        raise PictureError("the file is empty (0 bytes)")
    return data


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _found(path: Path) -> list[Found]:
    """Return the row of one directory entry that is no folder, if it is a picture by its name."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES and not (path.is_symlink() and not suffix):
        return []
    try:
        status = path.stat()
    except OSError as error:
        return [Found(path, _lost(path, error))]
    if not stat.S_ISREG(status.st_mode):
        return [Found(path, "no regular file")]
    if suffix not in SUFFIXES:
        return []
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        return [Found(path, "the name is not UTF-8, tables cannot hold it; rename the file")]
    return [Found(path)]


def _lost(path: Path, error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a link that leads in circles"
    if path.is_symlink():
        return f"a link that leads nowhere ({shown(Path(os.readlink(path)))})"  # noqa: PTH115 keeps bytes
    return f"cannot be read: {error.strerror or error}"


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise PictureError(f"too large: {size[0]} × {size[1]} px, at most {MAX_PIXELS} pixels are decoded")


def _notes(opened: Image.Image, path: Path) -> list[str]:
    kind = (opened.format or "").lower()
    suffix = path.suffix.lower().lstrip(".")
    notes = []
    if suffix not in _OTHER_NAMES.get(kind, (kind,)):
        notes.append(f"extension says {suffix}, content is {kind}")
    if getattr(opened, "is_animated", False) and kind != "mpo":
        notes.append("animated: first frame")
    if opened.mode == "CMYK":
        notes.append("CMYK: converted to RGB")
    if opened.mode.startswith("I") or opened.mode == "F":
        notes.append("more than 8 bits: converted to 8")
    return notes


def _upright(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    try:
        orientation = picture.getexif().get(0x0112, 1)
        if orientation == 1:
            return picture, []
        return ImageOps.exif_transpose(picture), [f"EXIF orientation {orientation}: turned upright"]
    except (*_BROKEN, OSError):
        return picture, ["EXIF cannot be read: taken as upright"]


def _unidentified(data: bytes) -> str:
    if data.startswith(_SIGNATURES):
        return "broken or cut off near its beginning"
    return f"no picture in a format that is known (begins with {data[:8].hex(' ')})"

"""Sixty files that break curation tools."""

from __future__ import annotations

import ctypes
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2  # the administrator's right to read everything
_DROP_FROM_BOUNDING_SET = 24  # PR_CAPBSET_DROP of prctl(2)
GOOD = "good"
"""What `make` promises of a file that can be used."""


def obey_permissions() -> None:
    """For `preexec_fn`: the program to be started may read only what permissions allow, even as root."""
    if os.geteuid() == 0:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        for capability in (DAC_OVERRIDE, DAC_READ_SEARCH):
            if prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")


def make(root: Path) -> dict[bytes, str]:
    """Fill a folder; return name (relative, as bytes) -> how its error begins, or `GOOD`."""
    told: dict[bytes, str] = {}
    for write in (_cut_off, _empty, _renamed, _colours, _animated, _turned, _sizes, _names, _links, _others):
        told |= {os.fsencode(name): reason for name, reason in write(root).items()}
    return told


def _noise(seed: int = 0, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Return a picture that has no copies among the others."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (12, 10, 3), np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def _cut_off(root: Path) -> dict[str, str]:
    for seed, kind in enumerate(("png", "jpg", "webp", "gif", "bmp", "tif"), start=1):
        file = root / f"cut.{kind}"
        _noise(seed).save(file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return {f"cut.{kind}": "broken" for kind in ("png", "jpg", "webp", "gif", "bmp", "tif")}


def _empty(root: Path) -> dict[str, str]:
    names = ("empty.png", "empty.jpg", "empty.webp")
    for name in names:
        (root / name).touch()
    return dict.fromkeys(names, "the file is empty (0 bytes)")


def _renamed(root: Path) -> dict[str, str]:
    pairs = (("jpeg.png", "JPEG"), ("png.jpg", "PNG"), ("webp.png", "WEBP"), ("bmp.jpeg", "BMP"))
    for seed, (name, kind) in enumerate(pairs, start=10):
        _noise(seed).save(root / name, kind)
    return {name: GOOD for name, _ in pairs}


def _colours(root: Path) -> dict[str, str]:
    grey = np.asarray(_noise(20).convert("L"))
    see_through = _noise(21)
    see_through.putalpha(_noise(22).convert("L"))
    pictures = {
        "cmyk.jpg": _noise(23).convert("CMYK"),
        "cmyk.tif": _noise(24).convert("CMYK"),
        "16bit.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "16bit.tif": Image.fromarray(np.asarray(_noise(25).convert("L")).astype(np.uint16) * 257),
        "float.tif": Image.fromarray(np.asarray(_noise(26).convert("L")).astype(np.float32) / 255),
        "rgba.png": see_through,
        "la.png": see_through.rotate(90).convert("LA"),
        "1bit.png": _noise(27).convert("1"),
        "lab.tif": Image.merge("LAB", _noise(28).split()),
    }
    for name, picture in pictures.items():
        picture.save(root / name)
    _noise(29).convert("P").save(root / "palette.png", transparency=3)
    return {name: GOOD for name in (*pictures, "palette.png")}


def _animated(root: Path) -> dict[str, str]:
    for seed, kind in enumerate(("gif", "webp", "png"), start=30):
        frames = [_noise(100 * seed + index) for index in range(3)]
        frames[0].save(root / f"animated.{kind}", save_all=True, append_images=frames[1:])
    return {f"animated.{kind}": GOOD for kind in ("gif", "webp", "png")}


def _turned(root: Path) -> dict[str, str]:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        _noise(40 + orientation).save(root / f"exif{orientation}.jpg", exif=exif, quality=95)
    return {f"exif{orientation}.jpg": GOOD for orientation in range(1, 9)}


def _sizes(root: Path) -> dict[str, str]:
    Image.new("RGB", (1, 1), "red").save(root / "1x1.png")
    Image.new("RGB", (1, 1), "blue").save(root / "1x1.jpg")
    _noise(60, (1, 3000)).save(root / "thin.png")
    _noise(61, (3000, 1)).save(root / "flat.png")
    (root / "huge.png").write_bytes(_png(30000, 30000, zlib.compress(bytes(30000 * 3751), 1)))
    (root / "lies.png").write_bytes(_png(9000, 9000, zlib.compress(b"\0" * 64)))
    (root / "bomb.png").write_bytes(_png(65535, 65535, zlib.compress(b"\0" * 64)))
    good = dict.fromkeys(("1x1.png", "1x1.jpg", "thin.png", "flat.png"), GOOD)
    return good | {"huge.png": "too large", "lies.png": "broken", "bomb.png": "too large"}


def _names(root: Path) -> dict[str, str]:
    names = (b"\xff\xfe.png", b"caf\xe9.jpg", b"folder\xe9/x.png")
    for seed, name in enumerate(names, start=70):
        path = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        _noise(seed).save(path)
    strange = ("new\nline.png", "quote\",'.png", "-rf.png", "ünï 漢字 🎀.png")
    for seed, text in enumerate(strange, start=80):
        _noise(seed).save(root / text)
    return {os.fsdecode(name): "the name is not UTF-8" for name in names} | dict.fromkeys(strange, GOOD)


def _links(root: Path) -> dict[str, str]:
    (root / "dangling.png").symlink_to("nowhere.png")
    (root / "dangling").symlink_to("nowhere")
    (root / "self.png").symlink_to("self.png")
    (root / "ping.png").symlink_to("pong.png")
    (root / "pong.png").symlink_to("ping.png")
    (root / "loop").symlink_to(root)
    circles = dict.fromkeys(("self.png", "ping.png", "pong.png"), "a link that leads in circles")
    nowhere = dict.fromkeys(("dangling.png", "dangling"), "a link that leads nowhere")
    return circles | nowhere | {"loop": "a link to"}


def _others(root: Path) -> dict[str, str]:
    os.mkfifo(root / "pipe.png")
    (root / "page.jpg").write_text("<html>404</html>")
    (root / "drawing.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (root / "noise.webp").write_bytes(np.random.default_rng(90).bytes(5000))
    _closed(root / "closed", lambda path: _noise(91).save(path / "x.png"))
    _closed(root / "closed.png", lambda path: _noise(92).save(path))
    no = "no picture in a format that is known"
    return {
        "pipe.png": "no regular file",
        "page.jpg": no,
        "drawing.png": no,
        "noise.webp": no,
        "closed": "the folder cannot be read: Permission denied",
        "closed.png": "cannot be read: Permission denied",
    }


def _closed(path: Path, fill: Callable[[Path], None]) -> None:
    if not path.suffix:
        path.mkdir()
    fill(path)
    path.chmod(0)


def _png(width: int, height: int, data: bytes) -> bytes:
    """Return a PNG of one bit per pixel, whatever its data say."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    result = io.BytesIO(b"")
    result.write(b"\x89PNG\r\n\x1a\n")
    for kind, content in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
        checksum = zlib.crc32(kind + content)
        result.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum))
    return result.getvalue()

"""What dedupe has to know of a picture, as a stage of curation whose rows are remembered by content."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charaforge.curation.dedupe.verify import THUMB_SIDE, thumbnail
from charaforge.curation.pictures import Picture
from charaforge.curation.stage import Row, Stage
from charaforge.perception.phash import Hashes, phash
from charaforge.perception.shrink import Pixels

VERSION = 1
"""Raise it when hashes or thumbnails come out differently: what was remembered is then computed anew."""


@dataclass(frozen=True)
class Features:
    """What is known of n pictures, a row each.

    Attributes:
        sha256: (n, 32) uint8, of the files' bytes.
        small: (n, 8) uint64, 64-bit hashes by turn.
        wide: (n, 8, 4) uint64, 256-bit hashes by turn.
        thumbs: (n, side, side, 3) uint8.
    """

    sha256: Pixels
    small: Hashes
    wide: Hashes
    thumbs: Pixels

    def __len__(self) -> int:
        return len(self.small)


def stage() -> Stage:
    """Return the stage that hashes pictures; its rows hold width, height, format, phash, hashes, thumb."""
    return Stage("dedupe", _work, {"version": VERSION}, batch=32)


def features(rows: Sequence[Mapping[str, Any]]) -> Features:
    """Return what rows of the stage hold."""
    hashes = np.frombuffer(b"".join(base64.b64decode(row["hashes"]) for row in rows), "<u8").reshape(-1, 8, 5)
    thumbs = b"".join(zlib.decompress(base64.b64decode(row["thumb"])) for row in rows)
    return Features(
        np.frombuffer(bytes.fromhex("".join(row["sha256"] for row in rows)), np.uint8).reshape(-1, 32),
        np.ascontiguousarray(hashes[:, :, 0], np.uint64),
        np.ascontiguousarray(hashes[:, :, 1:], np.uint64),
        np.frombuffer(thumbs, np.uint8).reshape(-1, THUMB_SIDE, THUMB_SIDE, 3),
    )


def _work(pictures: list[Picture]) -> list[Row]:
    rows = []
    for picture, hashed in zip(pictures, phash([picture.rgb for picture in pictures]), strict=True):
        both = np.concatenate([hashed.small[:, None], hashed.wide], axis=1).astype("<u8")
        thumb = zlib.compress(thumbnail(picture.rgb).tobytes(), 1)
        rows.append(
            {
                "width": picture.width,
                "height": picture.height,
                "format": picture.format,
                "phash": hashed.text,
                "hashes": base64.b64encode(both.tobytes()).decode(),
                "thumb": base64.b64encode(thumb).decode(),
            }
        )
    return rows

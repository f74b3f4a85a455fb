"""Everything the judges see in pictures, looked at once; metrics compute with this and open no picture.

Shape legend: N pictures, D dimensions of an embedding, T tags of the tagger.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.evaluation.heads import head_crop
from charaforge.evaluation.identity import Embeddings
from charaforge.evaluation.judges import Judges, signatures
from charaforge.evaluation.pictures import read_pictures
from charaforge.perception.phash import phash
from charaforge.perception.simcc import PoseEstimator

_GROUP = 32
_SEEN = 0.3
_EVEN = (128, 128)
"""Size, px, at which contrast and roughness are measured, so that pictures of all sizes compare."""

Points = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """What was seen.

    Attributes:
        files: The pictures.
        identity: (N, D) embeddings of the whole pictures.
        heads: (N, D) embeddings of the head crops; NaN where no head was found.
        visions: Kind of image encoder -> (N, D) embeddings.
        hashes: (N, 2, 4) uint64, 256-bit perceptual hashes upright and mirrored.
        tags: (N, T) probabilities; T = 0 without a tagger.
        tag_names: The T tags.
        points: (N, 18, 3) key points in pixels; scores 0 without an estimator.
        mirrored_points: The same, found in the mirrored and recompressed picture and turned back.
        people: (N,) people that a detector found; -1 without one.
        signatures: Signature trait seen in each; "" for none.
        contrast: (N,) standard deviation of the greys, levels of 255.
        roughness: (N,) mean step between neighbouring greys, levels of 255.
    """

    files: tuple[Path, ...]
    identity: Embeddings
    heads: Embeddings
    visions: dict[str, Embeddings]
    hashes: npt.NDArray[np.uint64]
    tags: npt.NDArray[np.float32]
    tag_names: tuple[str, ...]
    points: Points
    mirrored_points: Points
    people: npt.NDArray[np.int64]
    signatures: tuple[str, ...]
    contrast: npt.NDArray[np.float64]
    roughness: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, part: slice) -> "Features":
        arrays: dict[str, Any] = {k: v[part] for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        visions = {kind: found[part] for kind, found in self.visions.items()}
        return replace(
            self, files=self.files[part], signatures=self.signatures[part], visions=visions, **arrays
        )

    @property
    def clarity(self) -> npt.NDArray[np.float64]:
        """(N,) mean score of the key points that are seen, 0 where none is: how clear the figure is."""
        score = self.points[..., 2].astype(np.float64)
        seen = score >= _SEEN
        return np.asarray((score * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1))


def look(judges: Judges, files: Sequence[Path]) -> Features:
    """Let all judges look at pictures, in groups, so that memory holds few of them.

    Raises:
        PictureError: one cannot be read.
    """
    starts = range(0, max(len(files), 1), _GROUP)
    return put_together([_look(judges, tuple(files[start : start + _GROUP])) for start in starts])


def put_together(parts: Sequence[Features]) -> Features:
    """Join features that the same judges saw."""
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name, value in vars(parts[0]).items()
        if isinstance(value, np.ndarray)
    }
    return replace(
        parts[0],
        files=tuple(file for part in parts for file in part.files),
        signatures=tuple(seen for part in parts for seen in part.signatures),
        visions={k: np.concatenate([part.visions[k] for part in parts]) for k in parts[0].visions},
        **arrays,
    )


def _look(judges: Judges, files: tuple[Path, ...]) -> Features:
    pictures = read_pictures(files)
    points, mirrored = _points(judges, pictures)
    greys = [np.asarray(picture.convert("L").resize(_EVEN), np.float64) for picture in pictures]
    identity = judges.encoder.embed(pictures)
    scores = judges.tagger.tag(pictures) if judges.tagger else None
    hashes = [one.wide[:2] for one in phash([np.asarray(picture) for picture in pictures])]
    found = judges.detector.detect(pictures) if judges.detector else None
    return Features(
        files=files,
        identity=identity,
        heads=_heads(judges, pictures, points, identity),
        visions={kind: encoder.embed(pictures) for kind, encoder in judges.visions.items()},
        hashes=np.stack(hashes) if hashes else np.zeros((0, 2, 4), np.uint64),
        tags=scores.probabilities if scores else np.zeros((len(files), 0), np.float32),
        tag_names=scores.names if scores else (),
        points=points,
        mirrored_points=mirrored,
        people=np.array(
            [len(boxes) for boxes in found] if found is not None else [-1] * len(files), np.int64
        ),
        signatures=tuple(signatures(judges, pictures)),
        contrast=np.array([grey.std() for grey in greys], np.float64),
        roughness=np.array([_roughness(grey) for grey in greys], np.float64),
    )


def _points(judges: Judges, pictures: Sequence[Image.Image]) -> tuple[Points, Points]:
    if judges.pose is None or not pictures:
        nothing = np.zeros((len(pictures), 18, 3), np.float32)
        return nothing, nothing
    return judges.pose.estimate(pictures), estimate_mirrored(judges.pose, pictures)


_SIDES = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16]
"""OpenPose's 18 joints with right and left exchanged."""


def estimate_mirrored(estimator: PoseEstimator, pictures: Sequence[Image.Image]) -> Points:
    """Key points (N, 18, 3) found in the mirrored, recompressed pictures, and turned back."""
    turned = [recompressed(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) for picture in pictures]
    points = estimator.estimate(turned)[:, _SIDES]
    for one, picture in zip(points, pictures, strict=True):
        one[:, 0] = picture.width - 1 - one[:, 0]
    return points


def recompressed(picture: Image.Image, quality: int = 90) -> Image.Image:
    """A picture after JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def _heads(
    judges: Judges, pictures: Sequence[Image.Image], points: Points, identity: Embeddings
) -> Embeddings:
    crops = [head_crop(picture, one) for picture, one in zip(pictures, points, strict=True)]
    there = [index for index, crop in enumerate(crops) if crop is not None]
    heads = np.full_like(identity, np.nan)
    if there:
        heads[there] = judges.encoder.embed([crop for crop in crops if crop is not None])
    return heads


def _roughness(grey: npt.NDArray[np.float64]) -> float:
    return float((np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()) / 2)

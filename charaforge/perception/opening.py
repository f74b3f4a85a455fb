"""Models that look at pictures, opened by their registry name, with all that decides what they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from charaforge import __version__
from charaforge.errors import ModelFileError
from charaforge.perception import wd14
from charaforge.perception.ccip import IdentityEncoder
from charaforge.perception.deepdanbooru import DeepDanbooruTagger, table_in
from charaforge.perception.detector import PersonDetector
from charaforge.perception.mediapipe_pose import MediaPipePose
from charaforge.perception.simcc import PoseEstimator
from charaforge.perception.tag_net import TagNet
from charaforge.warehouse.digests import weights_sha256
from charaforge.warehouse.registry import ModelEntry, Registry

TASK = ".task"


class Prepared(Protocol):
    """A net that says how it prepares pictures."""

    @property
    def preproc_id(self) -> str:
        """Which preparation pictures get; scores of different ones are not the same scores."""


Net = TypeVar("Net", bound=Prepared)


@dataclass(frozen=True)
class Opened(Generic[Net]):
    """A net, and what has to be told beside everything that it says.

    Attributes:
        name: its registry name, or the path of its file.
        revision: commit on the hub that it came from; of an embedded one the package's version; else "".
        sha256: of its weights.
        net: what it is.
    """

    name: str
    revision: str
    sha256: str
    net: Net

    @property
    def preproc_id(self) -> str:
        """How it prepares pictures."""
        return self.net.preproc_id

    @property
    def told(self) -> dict[str, str]:
        """Name, revision, sha256 and preproc_id, as tables and summaries record them."""
        return {
            "name": self.name,
            "revision": self.revision,
            "sha256": self.sha256,
            "preproc_id": self.preproc_id,
        }


def open_tagger(registry: Registry, name: str) -> Opened[TagNet]:
    """Open a tagger: WD14 v2 or v3, or DeepDanbooru, told apart by the table of tags beside the weights.

    Raises:
        UnknownNameError: there is none of that name.
        ModelFileError: it is of neither format, or broken.
    """
    return _opened(registry.get(name, "tagger"), _tagger)


def open_detector(registry: Registry, name: str) -> Opened[PersonDetector]:
    """Open a person detector; errors as of `open_tagger`."""
    return _opened(registry.get(name, "detector"), PersonDetector)


def open_pose(registry: Registry, name: str) -> Opened[PoseEstimator] | Opened[MediaPipePose]:
    """Open a SimCC pose estimator by its name, or MediaPipe's landmarker by the path of its `.task` file.

    Raises:
        UnknownNameError: there is none of that name.
        ModelFileError: it is missing or broken.
        UsageError: MediaPipe is not installed.
    """
    if name.endswith(TASK):
        task = Path(name)
        net = MediaPipePose(task)
        return Opened(name, "", weights_sha256(task), net)
    return _opened(registry.get(name, "pose"), PoseEstimator)


def open_identity(registry: Registry, name: str) -> Opened[IdentityEncoder]:
    """Open a CCIP identity encoder; errors as of `open_tagger`."""
    return _opened(registry.get(name, "identity"), IdentityEncoder)


def revision_of(entry: ModelEntry) -> str:
    """Return the revision that a model's card records."""
    if entry.embedded:
        return __version__
    source = entry.card.get("source")
    return str(source.get("revision", "")) if isinstance(source, dict) else ""


def _opened(entry: ModelEntry, open_net: Callable[[Path], Net]) -> Opened[Net]:
    return Opened(entry.name, revision_of(entry), weights_sha256(entry.path), open_net(entry.path))


def _tagger(folder: Path) -> TagNet:
    if (folder / wd14.TABLE).is_file():
        return wd14.WD14Tagger(folder)
    if table_in(folder) is not None:
        return DeepDanbooruTagger(folder)
    raise ModelFileError(
        f"{folder} has no table of tags",
        f"put {wd14.TABLE} (WD14) or deepdanbooru_tags.csv beside its weights",
    )

"""Impostors: pictures of other characters, that a likeness has to be held against.

They come from packs of embeddings beside the identity model, from metadata tables and from folders. An
impostor that shares hair and eye colour with the character is a hard negative; a third of the weight lies on
these where there are any (see ``threshold``).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.errors import ModelFileError, PictureError, UsageError
from charaforge.evaluation.colors import EYES, HAIR, colored
from charaforge.evaluation.identity import Embeddings
from charaforge.evaluation.pictures import SUFFIXES, read_pictures
from charaforge.evaluation.verdict import counted
from charaforge.logs import get_logger
from charaforge.perception.ccip import IdentityEncoder
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.tables import is_usable, locate_picture, noted_traits, table_rows

PER_CHARACTER = 12
"""Pictures of one other character that are looked at; more say little more about it."""

MOST = 3000
"""Impostors of one place that are looked at: with them the rate of false accepts is known well enough."""

logger = get_logger(__name__)


@dataclass(frozen=True)
class Impostors:
    """Pictures of other characters.

    Attributes:
        kind: "real" pictures, or those "generated" by the model that is judged.
        embeddings: (n, D), L2-normalised.
        characters: Whom each shows; "" where nobody knows, then it counts as somebody of its own.
        traits: Tags of that character's fixed traits; empty where nobody knows.
    """

    kind: str
    embeddings: Embeddings
    characters: tuple[str, ...]
    traits: tuple[frozenset[str], ...]

    def __len__(self) -> int:
        return len(self.embeddings)


def read_pack(path: Path, kind: str, without: str = "") -> Impostors:
    """Read a pack: ``embeddings`` (n, D) of any length, maybe ``characters`` (n,) and ``traits`` (n,).

    Traits are lists with commas.

    Args:
        path: The pack.
        kind: "real" or "generated".
        without: Name of the character that is judged; its pictures are left out with a warning.

    Raises:
        ModelFileError: it is no such file.
    """
    try:
        with np.load(path) as pack:
            embeddings = np.asarray(pack["embeddings"], np.float32)
            embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True).clip(min=1e-12)
            names = pack["characters"].tolist() if "characters" in pack else [""] * len(embeddings)
            traits = pack["traits"].tolist() if "traits" in pack else [""] * len(embeddings)
    except (OSError, ValueError, KeyError) as error:
        raise ModelFileError(
            f"{path} is no pack of impostors: {error}", 'it holds an array "embeddings" (n, D)'
        ) from error
    others = [index for index, name in enumerate(names) if not without or name != without]
    if len(others) < len(names):
        own = counted(len(names) - len(others), "picture")
        logger.warning("%s: left out as pictures of %s itself: %s", path.name, without, own)
    return Impostors(
        kind,
        embeddings[others],
        tuple(names[index] for index in others),
        tuple(_listed(traits[index]) for index in others),
    )


def from_place(
    place: Path,
    encoder: IdentityEncoder,
    warehouse: Warehouse,
    without: str,
    excluded: Iterable[Path] = (),
    most: int = MOST,
) -> Impostors:
    """Embed the impostors of a metadata table, or of a folder whose subfolders are named by characters.

    Args:
        place: The table or folder.
        encoder: The identity model.
        warehouse: For paths in the table.
        without: Name of the character that is judged; its pictures are no impostors.
        excluded: Pictures that are left out whatever the table says, and copies of them, byte for byte.
        most: Pictures that are looked at; of more, as many spread evenly.

    Files that cannot be read are left out with a warning.

    Raises:
        UsageError: there is nothing at ``place``.
        PictureError: not one picture there can be read.
    """
    if place.is_dir():
        listed = _in_folder(place)
    elif place.is_file():
        listed = _in_table(place, warehouse)
    else:
        raise UsageError(
            f"there are no impostors at {place}", "give a folder of pictures or a metadata table"
        )
    own = {path.resolve() for path in excluded}
    others = [(p, c, t) for p, c, t in listed if c != without and p.resolve() not in own]
    chosen = _spread(_at_most(_without_copies(others, own, place), PER_CHARACTER), most)
    kept, found = _embedded(chosen, encoder, place)
    embeddings = np.concatenate(found) if found else encoder.embed([])
    return Impostors("real", embeddings, tuple(c for _, c, _ in kept), tuple(t for _, _, t in kept))


def joined(several: Sequence[Impostors]) -> Impostors:
    """Put impostors of one kind together."""
    return Impostors(
        several[0].kind,
        np.concatenate([one.embeddings for one in several]),
        tuple(name for one in several for name in one.characters),
        tuple(traits for one in several for traits in one.traits),
    )


def hard_negatives(impostors: Impostors, traits: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Mark (n,) the impostors that share hair colour and eye colour with a character of these traits."""
    hair, eyes = colored(traits, HAIR), colored(traits, EYES)
    if not hair or not eyes:
        return np.zeros(len(impostors), bool)
    return np.array([bool(hair & one) and bool(eyes & one) for one in impostors.traits], bool)


def _listed(text: str) -> frozenset[str]:
    return frozenset(tag.strip() for tag in text.split(",") if tag.strip())


_Listed = tuple[Path, str, frozenset[str]]


def _in_folder(folder: Path) -> list[_Listed]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return [(path, "" if path.parent == folder else path.parent.name, frozenset()) for path in files]


def _in_table(table: Path, warehouse: Warehouse) -> list[_Listed]:
    rows = [row for row in table_rows(table) if is_usable(row)]
    found = [
        (
            locate_picture(row["image_path"], table, warehouse),
            row.get("character", ""),
            frozenset(noted_traits(row.get("notes", ""))) or _listed(row.get("tags", "")),
        )
        for row in rows
        if row.get("image_path")
    ]
    return [one for one in found if one[0].is_file()]


def _without_copies(listed: Sequence[_Listed], own: Iterable[Path], place: Path) -> list[_Listed]:
    """Leave out files with the very bytes of one of the character's own pictures, with a warning."""
    present = [path for path in own if path.is_file()]
    sizes, digests = {path.stat().st_size for path in present}, {_sha256(path) for path in present}
    copies = {path for path, _, _ in listed if _size(path) in sizes and _sha256(path) in digests}
    if copies:
        logger.warning(
            "%s: left out as copies of the character's own pictures: %s, the first is %s",
            place.name,
            counted(len(copies), "file"),
            min(copies),
        )
    return [one for one in listed if one[0] not in copies]


def _size(path: Path) -> int:
    """Bytes of a file; -1 where there is none, e.g. a link to nowhere."""
    return path.stat().st_size if path.is_file() else -1


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _embedded(
    listed: Sequence[_Listed], encoder: IdentityEncoder, place: Path
) -> tuple[list[_Listed], list[Embeddings]]:
    """Those that can be read, and their embeddings in parts; the others are told in a warning.

    Raises:
        PictureError: none can be read, though there are some.
    """
    kept: list[_Listed] = []
    found: list[Embeddings] = []
    broken: list[PictureError] = []
    for part in _parts(listed):
        pictures = [_opened(path) for path, _, _ in part]
        good = [one for one in pictures if not isinstance(one, PictureError)]
        broken += [one for one in pictures if isinstance(one, PictureError)]
        kept += [p for p, one in zip(part, pictures, strict=True) if not isinstance(one, PictureError)]
        found += [encoder.embed(good)] if good else []
    if broken and not kept:
        raise broken[0]
    if broken:
        told = f"{len(broken)} of {counted(len(listed), 'picture')}"
        logger.warning("%s: left out as broken: %s; %s", place.name, told, broken[0].message)
    return kept, found


def _opened(path: Path) -> Image.Image | PictureError:
    try:
        return read_pictures([path])[0]
    except PictureError as error:
        return error


def _at_most(listed: Sequence[_Listed], count: int) -> list[_Listed]:
    """Keep at most ``count`` pictures of each named character, spread over all of them."""
    by_name: dict[str, list[_Listed]] = {}
    for one in listed:
        by_name.setdefault(one[1], []).append(one)
    kept = []
    for name, pictures in by_name.items():
        step = 1 if not name or len(pictures) <= count else len(pictures) / count
        taken = range(len(pictures)) if step == 1 else (int(i * step) for i in range(count))
        kept += [pictures[i] for i in taken]
    return kept


def _spread(listed: list[_Listed], most: int) -> list[_Listed]:
    """Keep at most ``most`` pictures, spread evenly."""
    if len(listed) <= most:
        return listed
    return [listed[int(i * len(listed) / most)] for i in range(most)]


def _parts(listed: Sequence[_Listed], size: int = 64) -> Iterable[Sequence[_Listed]]:
    return (listed[start : start + size] for start in range(0, len(listed), size))

"""How a model comes into the warehouse: a folder with its files and a card that records their sha256."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charaforge.errors import ModelFileError, UnknownNameError, UsageError
from charaforge.warehouse import cards
from charaforge.warehouse.atomic import write_json
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.model_files import chosen_files, family_of_keys, kind_of
from charaforge.warehouse.registry import Registry

_LONGEST = 4096  # characters of a value that is taken over into a card; longer ones stay in their file


@dataclass(frozen=True)
class Wish:
    """What the user said about a model that is to come in; "" where nothing was said.

    Attributes:
        kind: one of the registry's kinds.
        name: registry name.
        family: "sd15" or "sdxl".
        files: which files to take.
    """

    kind: str = ""
    name: str = ""
    family: str = ""
    files: tuple[str, ...] = field(default=())


def add(warehouse: Warehouse, path: Path, wish: Wish, *, copy: bool = False) -> Path:
    """Take a model from the disk; return its folder.

    Its files are linked, so that a model on another disk takes no room twice; with `copy` they are copied.

    Args:
        warehouse: where to.
        path: a file, or a folder.
        wish: kind, name, family and files, where they are not to be found out.
        copy: whether to copy.

    Raises:
        UsageError: it is not there, its name is taken, or its kind cannot be told.
        ModelFileError: it is a pickle or broken.
    """
    source = path.expanduser().resolve()
    if not source.exists():
        raise UsageError(f"{path} is not there", "give the path of a model: a folder or a file")
    if source.suffix in cards.PICKLE_SUFFIXES:
        raise ModelFileError(f"{path} is a pickle, which can run code", "convert it to .safetensors first")
    root = source if source.is_dir() else source.parent
    names = [source.name] if source.is_file() else [f.relative_to(root).as_posix() for f in _files(source)]
    chosen = chosen_files(names, wish.files, str(path))
    kind, family = kind_of(chosen, lambda name: _json(root / name))
    told = completed(wish, kind, family, wish.name or cards.model_id(source), str(path))
    place = Place(warehouse, told)
    shutil.rmtree(place.staging, ignore_errors=True)
    with_names = {old: place.file_name(new) for old, new in chosen.items()}
    for old, new in with_names.items():
        target = place.staging / new
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if copy:
            shutil.copyfile(root / old, target)
        else:
            target.symlink_to(root / old)
    return place.finish(cards.read_card(source), {"path": str(source)})


def completed(wish: Wish, kind: str, family: str, name: str, source: str) -> Wish:
    """Return the wish with what was found out; what the user said goes first.

    Raises:
        UsageError: its kind is not known.
    """
    if not (wish.kind or kind):
        raise UsageError(
            f"the files of {source} do not tell what it is", "say it with --kind, e.g. --kind lora"
        )
    return Wish(wish.kind or kind, cards.slug(wish.name or name), wish.family or family, wish.files)


class Place:
    """Where a model that comes in will lie; until it is whole, it lies in a hidden folder beside.

    Args:
        warehouse: where to.
        wish: kind and name; the family, if it is known.
        version: tells what comes from what came before under this name and was interrupted.
    """

    def __init__(self, warehouse: Warehouse, wish: Wish, version: str = "") -> None:
        folders = warehouse.kind_folders
        if wish.kind not in folders:
            raise UnknownNameError("kind of model", wish.kind, folders)
        if wish.name in {entry.name for entry in Registry(warehouse).list(wish.kind)}:
            raise UsageError(
                f"there is a {wish.kind} called {wish.name!r} already",
                f"choose another --name, or remove it: charaforge models rm {wish.name}",
            )
        self._warehouse = warehouse
        self._wish = wish
        self.staging = folders[wish.kind][0] / f".{wish.name}{version}.coming"

    def file_name(self, name: str) -> str:
        """Return the name of a file in the folder: LoRAs and embeddings are called as the model."""
        single = self._wish.kind in ("lora", "embedding") and name.endswith(".safetensors")
        return f"{self._wish.name}.safetensors" if single else name

    def finish(self, card: Mapping[str, Any], source: Mapping[str, Any]) -> Path:
        """Write the card of a model that is whole, and put it into its place; return its folder.

        Raises:
            ModelFileError: a file is no safetensors file, or cut off.
        """
        files = [file for file in _files(self.staging) if file.name != "card.json"]
        family = self._wish.family or self._family(files)
        told = {
            **{key: value for key, value in card.items() if len(str(value)) <= _LONGEST},
            "name": self._wish.name,
            "kind": self._wish.kind,
            **({"family": family} if family else {}),
            "source": dict(source),
            "files": {file.relative_to(self.staging).as_posix(): record(file) for file in files},
        }
        (self.staging / "card.json").unlink(missing_ok=True)
        write_json(self.staging / "card.json", told)
        parents = self._warehouse.kind_folders[self._wish.kind]
        parent = self._warehouse.sdxl if self._wish.kind == "base" and family == "sdxl" else parents[0]
        final = parent / self._wish.name
        shutil.move(self.staging, final)  # the two parents may be on different disks
        return final

    def _family(self, files: Iterable[Path]) -> str:
        """Return the family that the weights tell."""
        weights = [file for file in files if file.suffix == ".safetensors"]
        for file in weights:
            cards.safetensors_metadata(file)  # raises where one is cut off
        if not weights or self._wish.kind not in ("base", "lora"):
            return ""
        if self._wish.kind == "lora":
            return cards.family_of(cards.safetensors_metadata(weights[0]))
        return family_of_keys(cards.safetensors_keys(weights[0]))


def record(file: Path) -> dict[str, Any]:
    """Return what a card records of a file."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"sha256": digest, "size": file.stat().st_size}


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.startswith(".")]


def _json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{file} cannot be read: {error}", "fetch it again") from error

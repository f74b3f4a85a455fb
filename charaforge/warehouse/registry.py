"""The models that are there, by name: those embedded in the package and those in the warehouse."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from charaforge.errors import ModelFileError, UnknownNameError
from charaforge.logs import get_logger
from charaforge.warehouse import cards
from charaforge.warehouse.layout import Warehouse

Kind = Literal[
    "base",
    "vae",
    "lora",
    "controlnet",
    "ipadapter",
    "tagger",
    "detector",
    "pose",
    "identity",
    "upscaler",
    "annotator",
    "safety",
    "embedding",
    "judge",
    "vision",
]
KINDS: tuple[str, ...] = get_args(Kind)
logger = get_logger(__name__)


@dataclass(frozen=True)
class ModelEntry:
    """One model.

    Attributes:
        name: the name it is asked for by; unique within its kind.
        kind: one of `KINDS`.
        family: "sd15", "sdxl", or "" where it does not matter or is not known.
        path: its folder, or its file where it is a single one.
        embedded: whether it comes with the package.
        card: what is known about it: its `card.json`, else the metadata inside its safetensors file.
    """

    name: str
    kind: str
    family: str
    path: Path
    embedded: bool
    card: dict[str, Any] = field(default_factory=dict, hash=False, compare=False)


class Registry:
    """Finds models by name. Nothing is cached: what lies on the disk is the truth.

    Args:
        warehouse: the warehouse to look in.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse that it looks in."""
        return self._warehouse

    def list(self, kind: str | None = None) -> builtins.list[ModelEntry]:
        """Return all models, or those of one kind, embedded ones first, each group by name.

        An embedded model hides one of the same name and kind in the warehouse.

        Raises:
            UnknownNameError: there is no such kind.
        """
        _check_kind(kind)
        entries: dict[tuple[str, str], ModelEntry] = {}
        for entry in (*_embedded(), *self._stored(kind)):
            if kind in (None, entry.kind):
                entries.setdefault((entry.kind, entry.name), entry)
        return sorted(entries.values(), key=lambda entry: (not entry.embedded, entry.kind, entry.name))

    def get(self, name: str, kind: str) -> ModelEntry:
        """Return the model called `name`.

        A LoRA's checkpoint is asked for as `<id>@<step>`.

        Raises:
            UnknownNameError: there is none; it names the nearest.
            ModelFileError: there is one, but as a pickle (.ckpt, .pt, .pth, .bin), or broken.
        """
        entries = {entry.name: entry for entry in self.list(kind)}
        if name in entries:
            return entries[name]
        if kind == "lora" and "@" in name:
            return self._checkpoint(name, entries)
        self._refuse_unloadable(name, kind)
        folders = self._warehouse.kind_folders.get(kind, ())
        place = f"a new one goes into {' or '.join(map(str, folders))}" if folders else ""
        raise UnknownNameError(f"{kind} model", name, entries, hint=place)

    def _checkpoint(self, name: str, entries: dict[str, ModelEntry]) -> ModelEntry:
        lora_id, _, step = name.rpartition("@")
        if lora_id not in entries:
            raise UnknownNameError("lora model", lora_id, entries)
        folder = self._warehouse.lora_folder(lora_id) / "checkpoints"
        found = {
            f"{lora_id}@{int(file.stem.rpartition('-step')[2])}": file
            for file in folder.glob(f"{lora_id}-step*.safetensors")
            if file.stem.rpartition("-step")[2].isdigit()
        }
        asked = f"{lora_id}@{int(step)}" if step.isdigit() else name
        if asked not in found:
            raise UnknownNameError("lora checkpoint", name, found)
        return _stored_entry(asked, "lora", entries[lora_id].family, found[asked])

    def _refuse_unloadable(self, name: str, kind: str) -> None:
        """Raise ModelFileError when `name` is there, but as a pickle or broken."""
        for folder in self._warehouse.kind_folders.get(kind, ()):
            for path in (folder / f"{name}{suffix}" for suffix in cards.PICKLE_SUFFIXES):
                if path.is_file():
                    raise ModelFileError(
                        f"{path} is a pickle, which can run code when it is loaded",
                        "convert it to .safetensors; only safetensors and ONNX files are loaded",
                    )
            for path in _models_in(folder):
                if cards.model_id(path) == name:
                    cards.read_card(path)

    def _stored(self, kind: str | None) -> Iterator[ModelEntry]:
        """Yield what lies in the warehouse; a broken file is logged and left out."""
        families = {self._warehouse.sd: "sd15", self._warehouse.sdxl: "sdxl"}
        for folder_kind, folders in self._warehouse.kind_folders.items():
            for folder in folders if kind in (None, folder_kind) else ():
                for path in _models_in(folder):
                    try:
                        yield _stored_entry(cards.model_id(path), folder_kind, families.get(folder, ""), path)
                    except ModelFileError as error:
                        logger.warning("left out: %s", error.message)


def _models_in(folder: Path) -> builtins.list[Path]:
    return [path for path in sorted(folder.iterdir()) if cards.is_model(path)] if folder.is_dir() else []


def _stored_entry(name: str, kind: str, family: str, path: Path) -> ModelEntry:
    card = cards.read_card(path)
    known = str(card.get("family") or family or cards.family_of(card))
    return ModelEntry(name, kind, known, path, embedded=False, card=card)


def _embedded() -> Iterator[ModelEntry]:
    weights = Path(str(resources.files("charaforge"))) / "mini" / "weights"
    for file in sorted(weights.glob("*/card.json")):
        card = cards.read_card(file.parent)
        yield ModelEntry(
            card["name"], card["kind"], card.get("family", ""), file.parent, embedded=True, card=card
        )


def _check_kind(kind: str | None) -> None:
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind of model", kind, KINDS)

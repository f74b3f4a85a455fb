"""What a batch may name, looked up once per submission: models of the registry, files inside the roots."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from backend.core.inputs import InputFault, InputFiles
from charaforge.errors import UsageError
from charaforge.warehouse.registry import ModelEntry, Registry


class WarehouseNames:
    """The names of a warehouse, as they are now; see `charaforge.requests.batch_rows.Names`.

    Args:
        registry: the models.
        files: finds files.
    """

    def __init__(self, registry: Registry, files: InputFiles) -> None:
        self._registry = registry
        self._files = files
        self._families = lru_cache(maxsize=None)(self._family)
        self._paths = lru_cache(maxsize=None)(self._path)
        self._known: dict[str, dict[str, ModelEntry]] = {}

    @property
    def wildcards(self) -> Path:
        """Folder of the wildcard files."""
        return self._registry.warehouse.wildcards

    def family(self, kind: str, name: str) -> str:
        """Return the family of a model.

        Raises:
            UnknownNameError: there is none; it names the nearest.
            ModelFileError: it cannot be used.
        """
        return self._families(kind, name)

    def file(self, told: str, json_too: bool) -> str:
        """Return the absolute path of an upload or a file inside the roots.

        Raises:
            UsageError: it is not there, may not be read, or is no picture.
        """
        path, fault = self._paths(told, json_too)
        if fault:
            raise UsageError(fault)
        return path

    def _family(self, kind: str, name: str) -> str:
        if kind not in self._known:
            self._known[kind] = {entry.name: entry for entry in self._registry.list(kind)}
        known = self._known[kind].get(name)
        return (known or self._registry.get(name, kind)).family

    def _path(self, told: str, json_too: bool) -> tuple[str, str]:
        try:
            return str(self._files.resolve(told, json_too)), ""
        except InputFault as fault:
            return "", str(fault)

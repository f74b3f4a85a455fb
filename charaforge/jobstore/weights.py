"""Which weights the pictures of a job are made with: fixed by the first picture that each model made.

A file that somebody puts in the place of a model or LoRA while a batch runs, as a newer training or the
choice of another checkpoint does, would otherwise give one batch pictures by both, and nobody would be told.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Mapping

from charaforge.jobstore.files import Files
from charaforge.jobstore.folder import JobFolder
from charaforge.jobstore.spec import canonical


class Weights:
    """The weights of one job, by model: a small file each, made exclusively.

    Args:
        files: the disk.
        folder: of the job.
    """

    def __init__(self, files: Files, folder: JobFolder) -> None:
        self._files = files
        self._folder = folder
        self._fixed: dict[str, str] = {}

    def fault(self, used: Mapping[str, str]) -> str:
        """Return what is wrong with a picture that was made with these weights; "" = nothing.

        What the job has not used before is fixed from now on.

        Args:
            used: model, as people know it, e.g. "lora charA" -> sha256 of its weights.

        Raises:
            OSError: it cannot be read or written now.
        """
        for name, sha256 in used.items():
            if name not in self._fixed:
                self._fixed[name] = self._first(name, sha256)
            if self._fixed[name] != sha256:
                return (
                    f"the {name} was replaced: its sha256 is {sha256[:12]}…, "
                    f"pictures of this job were made with {self._fixed[name][:12]}…"
                )
        return ""

    def used(self, name: str) -> bool:
        """Return whether pictures of the job were made with a model of this name, of whatever kind.

        The name may be that of a LoRA of which a checkpoint was used.
        """
        known = list(self._fixed)
        for file in self._files.names(self._folder.weights):
            known.append(_name(self._files.read(self._folder.weights / file) or b""))
        names = [one.partition(" ")[2] for one in known]
        return any(name in (one, one.partition("@")[0]) for one in names)

    def _first(self, name: str, sha256: str) -> str:
        """Return the weights that a model stood for at first; they are those told now where none were."""
        path = self._folder.weights / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"
        told = canonical({"name": name, "sha256": sha256})
        if self._files.create(path, told):
            return sha256
        data = self._files.read(path)
        if data is None:
            raise OSError(errno.ESTALE, "made on another machine just now, not seen here yet", str(path))
        try:
            return str(json.loads(data)["sha256"])
        except (ValueError, KeyError, TypeError):  # cut off by a loss of power
            self._files.write(path, told)
            return sha256


def _name(data: bytes) -> str:
    try:
        return str(json.loads(data)["name"])
    except (ValueError, KeyError, TypeError):
        return ""

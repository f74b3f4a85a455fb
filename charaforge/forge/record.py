"""``forge.json``: what went in, what was decided, how far it is, what came out; and the steps that it counts.

The file is replaced as a whole after every change, so a killed run leaves the state before or after it.
"""

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from charaforge import __version__
from charaforge.errors import WarehouseError
from charaforge.logs import get_logger
from charaforge.warehouse.atomic import write_json

SCHEMA_VERSION = 1
STEPS = ("curate", "decide", "train", "choose", "sheet")
_DONE, _RUNNING, _WAITING = "done", "running", "waiting"

logger = get_logger(__name__)

Values = Mapping[str, Any]


class Record:
    """The record of one forging.

    Args:
        path: Of ``forge.json``; what an earlier run wrote there is taken up.
        plan: What the run was asked for, as JSON values.

    Attributes:
        earlier: What the run before was asked for; empty for the first.
    """

    def __init__(self, path: Path, plan: Values) -> None:
        self._path = path
        told = _read(path)
        self.earlier: dict[str, Any] = told.get("plan", {})
        self._told: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "charaforge": __version__,
            "plan": dict(plan),
            "steps": {name: told.get("steps", {}).get(name, {"state": _WAITING}) for name in STEPS},
            "result": told.get("result"),
        }
        self._told["made"] = told.get("made", self._made_before())

    def step(
        self,
        name: str,
        inputs: Any,
        work: Callable[[], Values],
        makes: Path | None = None,
        forecast: str = "",
    ) -> dict[str, Any]:
        """Do the work of a step, unless it is done, its inputs are the same and what it made is there.

        Work that was stopped must be able to go on by itself when it is called again.

        Args:
            name: One of ``STEPS``.
            inputs: Everything that decides its outcome, as JSON values.
            work: Does it; what it returns is kept, as JSON values.
            makes: File that it leaves.
            forecast: What is said beside its name.

        Returns:
            What the work returned, now or then.
        """
        key, before = _key(inputs), self._told["steps"][name]
        label = f"[{STEPS.index(name) + 1}/{len(STEPS)}] {name}"
        if before["state"] == _DONE and before["key"] == key and (makes is None or makes.is_file()):
            logger.info("%s: done before, in %.0f s", label, before["seconds"])
            return dict(before["result"])
        logger.info("%s%s", label, f": {forecast}" if forecast else "")
        self._note(name, {"state": _RUNNING, "key": key})
        started = time.monotonic()
        result = json.loads(json.dumps(work()))
        seconds = round(time.monotonic() - started, 1)
        self._note(name, {"state": _DONE, "key": key, "seconds": seconds, "result": result})
        return dict(result)

    def begun(self, name: str, inputs: Any) -> bool:
        """Whether an earlier run began this step with other inputs, whose traces are still there."""
        key = _key(inputs)
        return bool(self._told["steps"][name].get("key", key) != key)

    def result(self, name: str) -> dict[str, Any]:
        """What a step's work returned; nothing where it is not done."""
        return dict(self._told["steps"][name].get("result", {}))

    def forget(self, name: str) -> None:
        """Say that a step has to be done again, because what it left is gone."""
        self._note(name, {"state": _WAITING})

    @property
    def made(self) -> dict[str, str]:
        """The LoRAs whose training was begun by this forging, and of which character each is."""
        return dict(self._told["made"])

    def make(self, lora: str, character: str) -> None:
        """Say that a LoRA is made by this forging, before anything of it is there."""
        self._told["made"][lora] = character
        write_json(self._path, self._told)

    @property
    def knows_training(self) -> bool:
        """Whether a training was begun by this forging."""
        return bool(self._told["steps"]["train"]["state"] != _WAITING)

    def finish(self, result: Values) -> None:
        """Write what came out."""
        self._told["result"] = dict(result)
        write_json(self._path, self._told)

    @property
    def seconds(self) -> dict[str, float]:
        """Time of every step that is done, s."""
        return {name: one["seconds"] for name, one in self._told["steps"].items() if "seconds" in one}

    def _made_before(self) -> dict[str, str]:
        """The same of a record without that list: one LoRA, that of its plan."""
        named = {"lora", "character"} <= self.earlier.keys()
        return {self.earlier["lora"]: self.earlier["character"]} if named and self.knows_training else {}

    def _note(self, name: str, told: Values) -> None:
        self._told["steps"][name] = dict(told)
        write_json(self._path, self._told)


@contextmanager
def alone(folder: Path, remedy: str) -> Iterator[None]:
    """Hold a folder for one run; the system lets go of it when the process ends, however it ends.

    Args:
        folder: Made where it is not there.
        remedy: What else to do than to wait.

    Raises:
        WarehouseError: another run holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise WarehouseError(
                f"another forging works in {folder}", f"wait until it has ended, or {remedy}"
            ) from error
        yield


def _key(inputs: Any) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """What an earlier run wrote; nothing where it is of another version or not ours."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    ours = isinstance(told, dict) and told.get("schema_version") == SCHEMA_VERSION
    return told if ours else {}

"""The nets beside a base: ControlNets, IP-Adapters, pose estimators, annotators, safety checkers.

Each is opened when it is first asked for and kept until its file changes or room is needed. Where a request
names none, the base's card (`"controlnets": {"pose": NAME, …}`, `"ipadapters": {"face": NAME, …}`) or the
cards of the nets (`"base": NAME, "uses": ["pose", …]`) say which one belongs to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.controlnet import load_controlnet
from charaforge.diffusion.ip_adapter import load_ip_adapter
from charaforge.errors import UnknownNameError
from charaforge.perception.annotator import Annotator
from charaforge.perception.safety import SafetyChecker
from charaforge.perception.simcc import PoseEstimator
from charaforge.warehouse.digests import weights_sha256
from charaforge.warehouse.registry import ModelEntry, Registry

KEPT = 4
POSE = "mini-pose"  # where neither request nor card names one
ANNOTATOR = "mini-annotator"


@dataclass(frozen=True)
class LoadedTool:
    """A net in memory.

    Attributes:
        name: its registry name.
        sha256: of its weights.
        net: what it is, by kind.
    """

    name: str
    sha256: str
    net: Any


class ToolShelf:
    """Opens nets by name and keeps some of them.

    Args:
        registry: where names are looked up.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._held: dict[tuple[str, str, str], LoadedTool] = {}  # kind, base, name; the last used at the end

    def controlnet(self, name: str | None, control: str, bundle: Bundle, card: dict[str, Any]) -> LoadedTool:
        """Return a ControlNet for a base, by name or, without one, the base's own for a type of map.

        Raises:
            UnknownNameError: there is none.
            ModelFileError: it cannot be loaded for this base.
        """
        chosen = name or self._own("controlnet", control, bundle, card)
        return self._tool(
            "controlnet",
            chosen,
            bundle.sha256,
            lambda entry: load_controlnet(entry.path, entry.name, bundle),
        )

    def ip_adapter(self, name: str | None, use: str, bundle: Bundle, card: dict[str, Any]) -> LoadedTool:
        """Return an IP-Adapter for a base; `use` is "face" or "style". Errors as of `controlnet`."""
        chosen = name or self._own("ipadapter", use, bundle, card)
        return self._tool(
            "ipadapter", chosen, bundle.sha256, lambda entry: load_ip_adapter(entry.path, entry.name, bundle)
        )

    def pose(self, name: str) -> LoadedTool:
        """Return a pose estimator."""
        return self._tool("pose", name, "", lambda entry: PoseEstimator(entry.path))

    def annotator(self, name: str) -> LoadedTool:
        """Return an annotator."""
        return self._tool("annotator", name, "", lambda entry: Annotator(entry.path))

    def safety(self, name: str | None) -> LoadedTool:
        """Return a safety checker, by name or, without one, the first that there is.

        Raises:
            UnknownNameError: there is none.
            ModelFileError: it cannot be loaded.
        """
        chosen = name or next((entry.name for entry in self._registry.list("safety")), "safety-checker")
        return self._tool("safety", chosen, "", lambda entry: SafetyChecker(entry.path))

    def release(self) -> None:
        """Let all nets go."""
        self._held.clear()

    def _tool(self, kind: str, name: str, base: str, load: Callable[[ModelEntry], Any]) -> LoadedTool:
        entry = self._registry.get(name, kind)
        sha256 = weights_sha256(entry.path)
        key = (kind, base, name)
        held = self._held.pop(key, None)
        if held is None or held.sha256 != sha256:
            for old in list(self._held)[: max(0, len(self._held) + 1 - KEPT)]:
                del self._held[old]
            held = LoadedTool(name, sha256, load(entry))
        self._held[key] = held
        return held

    def _own(self, kind: str, use: str, bundle: Bundle, card: dict[str, Any]) -> str:
        """Return the name of the net that belongs to a base, by its own card or by that of the net."""
        told = card.get(f"{kind}s", {})
        if isinstance(told, dict) and use in told:
            return str(told[use])
        entries = self._registry.list(kind)
        for entry in entries:
            if entry.card.get("base") == bundle.name and use in entry.card.get("uses", ()):
                return entry.name
        names = [entry.name for entry in entries]
        raise UnknownNameError(kind, f"{use} of {bundle.name}", names, hint="name one as its model")

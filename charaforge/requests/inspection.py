"""What a picture says of its making: by us, A1111 (and who writes its text), ComfyUI, InvokeAI, SwarmUI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from charaforge.requests.generation import GenerationRequest
from charaforge.requests.infotext_reading import read_infotext
from charaforge.requests.inspect_a1111 import read_a1111
from charaforge.requests.inspect_comfy import read_comfy
from charaforge.requests.inspect_files import picture_texts
from charaforge.requests.inspect_findings import Findings, read_json
from charaforge.requests.inspect_others import read_invoke, read_swarm


@dataclass(frozen=True)
class Inspected:
    """What a picture says.

    Attributes:
        source: "charaforge", "a1111", "comfyui", "invokeai", "swarmui", or "" where it says nothing.
        request: the request that it came from, as far as it can be said; None where not even the prompt can.
        unmapped: what of it has no place in a request, one line each.
        parameters: A1111's text, "" where there is none.
    """

    source: str
    request: GenerationRequest | None = None
    unmapped: tuple[str, ...] = ()
    parameters: str = ""


def inspect_picture(path: Path) -> Inspected:
    """Return what a picture's own metadata says about its making.

    Args:
        path: a PNG, JPEG or WebP.

    Raises:
        UsageError: it is none, or broken.
    """
    return inspect_texts(picture_texts(path))


def inspect_texts(texts: Mapping[str, str]) -> Inspected:
    """Return what the texts of a picture say, by their names; our own goes first."""
    parameters = texts.get("parameters", "")
    source, findings = _findings(texts)
    if findings is None:
        return Inspected("", parameters=parameters)
    request = findings.request()
    unmapped = tuple(findings.unmapped)
    return Inspected(source, request, unmapped, parameters if source in ("charaforge", "a1111") else "")


def _findings(texts: Mapping[str, str]) -> tuple[str, Findings | None]:
    """Return which program's metadata is read, and what it says."""
    own = read_json(texts.get("charaforge", ""))
    if isinstance(own, dict) and isinstance(own.get("request"), dict):
        return "charaforge", Findings(dict(own["request"]))
    invoke = read_json(texts.get("invokeai_metadata", ""))
    if isinstance(invoke, dict):
        return "invokeai", read_invoke(invoke)
    parameters = texts.get("parameters", "")
    swarm = read_json(parameters) if parameters.lstrip().startswith("{") else None
    if isinstance(swarm, dict) and isinstance(swarm.get("sui_image_params"), dict):
        return "swarmui", read_swarm(swarm["sui_image_params"])
    if parameters and read_infotext(parameters).values:
        return "a1111", read_a1111(parameters)
    graph = read_json(texts.get("prompt", ""))
    if isinstance(graph, dict) and any(isinstance(n, dict) and "class_type" in n for n in graph.values()):
        return "comfyui", read_comfy(graph)
    return ("a1111", read_a1111(parameters)) if parameters and swarm is None else ("", None)

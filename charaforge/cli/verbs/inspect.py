"""`charaforge inspect`: the request that a picture came from, whichever program made it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charaforge.errors import ExitCode
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.bootstrap import bootstrap

if TYPE_CHECKING:
    from charaforge.requests.inspection import Inspected

NAME = "inspect"
HELP = "read from a picture how it was made, whichever program made it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("file", type=Path, metavar="FILE", help="PNG, JPEG or WebP")
    parser.add_argument(
        "--json", action="store_true", help="print JSON: source, request, unmapped, parameters"
    )


def run(args: argparse.Namespace) -> int:
    """Print what the picture says; 1 where it says nothing."""
    bootstrap()
    from charaforge.requests.inspection import inspect_picture

    found = inspect_picture(args.file)
    print(json.dumps(_record(found), indent=2, ensure_ascii=False) if args.json else _told(args.file, found))
    return ExitCode.PASS if found.source else ExitCode.FAULT


def _record(found: Inspected) -> dict[str, Any]:
    return {
        "source": found.source,
        "request": found.request.plain() if found.request is not None else None,
        "unmapped": list(found.unmapped),
        "parameters": found.parameters,
    }


def _told(path: Path, found: Inspected) -> str:
    if not found.source:
        return f"{path} says nothing about how it was made"
    lines = [f"made by: {found.source}"]
    if found.request is None:
        lines.append("no request can be made of it")
    else:
        lines += [f"{name}: {value}" for name, value in _chosen(found.request).items()]
    if found.unmapped:
        lines += ["not mapped:", *(f"  {what}" for what in found.unmapped)]
    return "\n".join(lines)


def _chosen(request: GenerationRequest) -> dict[str, Any]:
    """Return the fields that matter: what differs from the defaults, and what every picture has."""
    always = {"prompt", "model", "width", "height", "steps", "seed", "scheduler", "guidance"}
    differing = request.model_dump(mode="json", exclude_defaults=True)
    return {name: value for name, value in request.plain().items() if name in always or name in differing}

"""Options of `generate` beside words: start, mask, controls, references, second pass, variation."""

from __future__ import annotations

import argparse
from typing import Any

from charaforge.errors import UsageError, suggestion
from charaforge.requests.inputs import CONTROL_TYPES

_INIT = ("denoise", "mask", "mask_blur", "fill", "area", "padding")


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    start = parser.add_argument_group("img2img and inpainting")
    start.add_argument("--init", metavar="FILE", help="picture to start from")
    start.add_argument("--denoise", type=float, metavar="D", help="0 keeps it, 1 redraws it [default: 0.75]")
    start.add_argument("--mask", metavar="FILE", help="white = redraw, black = keep")
    start.add_argument("--mask-blur", type=int, metavar="PX", help="softening of its edge [default: 4]")
    start.add_argument("--fill", metavar="KIND", help="original, noise or blur [default: original]")
    start.add_argument("--area", metavar="KIND", help="whole, or masked: at full resolution [default: whole]")
    start.add_argument("--padding", type=int, metavar="PX", help="around the masked area [default: 32]")
    more = parser.add_argument_group("controls, references, second pass")
    more.add_argument(
        "--control",
        action="append",
        metavar="TYPE=FILE[:S]",
        help=f"a ControlNet's map or picture (pose also JSON) and its strength; {', '.join(CONTROL_TYPES)}; "
        "repeatable",
    )
    more.add_argument(
        "--face-ref", action="append", metavar="FILE[:W]", help="picture of a face and its weight; repeatable"
    )
    more.add_argument(
        "--style-ref",
        action="append",
        metavar="FILE[:W]",
        help="picture of a style and its weight; repeatable",
    )
    more.add_argument("--hires", type=float, metavar="SCALE", help="a second pass, this much larger, 1 to 4")
    more.add_argument("--hires-upscaler", metavar="NAME", help="latent, lanczos or an upscaler's name")
    more.add_argument("--hires-denoise", type=float, metavar="D", help="of the second pass [default: 0.5]")
    more.add_argument(
        "--hires-steps", type=int, metavar="N", help="of the second pass [default: as the first]"
    )
    more.add_argument("--variation", metavar="SEED:S", help="a second seed, and how much of it, 0 to 1")


def picture_values(args: argparse.Namespace) -> dict[str, Any]:
    """Return the values of a request's fields, still unchecked, that the options stand for.

    Raises:
        UsageError: an option cannot be read, or belongs to one that is missing.
    """
    told: dict[str, Any] = {
        "init": _init(args),
        "controls": [_control(text) for text in args.control or []],
        "references": [
            {kind: file, **({} if weight is None else {"weight": weight})}
            for kind, texts in (("face_ref", args.face_ref), ("style_ref", args.style_ref))
            for file, weight in map(_with_number, texts or [])
        ],
        "hires": _hires(args),
        "variation": _variation(args.variation),
    }
    return {name: value for name, value in told.items() if value}


def _init(args: argparse.Namespace) -> dict[str, Any] | None:
    given = {name: getattr(args, name) for name in _INIT if getattr(args, name) is not None}
    if args.init is None:
        if given:
            raise UsageError(f"--{next(iter(given)).replace('_', '-')} needs --init", "name the picture")
        return None
    return {"image": args.init, **given}


def _hires(args: argparse.Namespace) -> dict[str, Any] | None:
    told = {"upscaler": args.hires_upscaler, "denoise": args.hires_denoise, "steps": args.hires_steps}
    given = {name: value for name, value in told.items() if value is not None}
    if args.hires is None:
        if given:
            raise UsageError(f"--hires-{next(iter(given))} needs --hires", "say how much larger: --hires 2")
        return None
    return {"scale": args.hires, **given}


def _control(text: str) -> dict[str, Any]:
    kind, sign, rest = text.partition("=")
    if not sign or kind not in CONTROL_TYPES:
        raise UsageError(f"--control {text!r}: {kind!r} is no type", suggestion(kind, list(CONTROL_TYPES)))
    file, strength = _with_number(rest)
    return {"type": kind, "image": file, **({} if strength is None else {"strength": strength})}


def _variation(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    seed, colon, strength = text.partition(":")
    if not colon:
        raise UsageError(f"--variation {text!r} has no strength", "write SEED:STRENGTH, e.g. 99:0.2")
    return {"seed": seed, "strength": strength}


def _with_number(text: str) -> tuple[str, float | None]:
    """Return file and number of `FILE` or `FILE:NUMBER`."""
    file, colon, number = text.rpartition(":")
    try:
        return (file, float(number)) if colon else (text, None)
    except ValueError:
        return text, None

"""The options of `charaforge lora`."""

from __future__ import annotations

import argparse
from pathlib import Path

_PRECISIONS = ("fp16", "bf16", "fp32", "keep")


def add_actions(parser: argparse.ArgumentParser) -> None:
    """Add the actions of the verb and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    info = actions.add_parser("info", help="everything worth knowing about a LoRA", allow_abbrev=False)
    _lora(info)
    info.add_argument("--json", action="store_true", help="print JSON")
    info.add_argument("--layers", action="store_true", help="list every layer too")

    converting = actions.add_parser("convert", help="other keys, another number format", allow_abbrev=False)
    _lora(converting)
    converting.add_argument("--to", required=True, choices=("kohya", "diffusers"), help="keys")
    _base(converting)
    _out(converting, "keep")

    resizing = actions.add_parser("resize", help="a lower rank; says what is lost", allow_abbrev=False)
    _lora(resizing)
    _rank(resizing, "rank of the layers, at most", required=True)
    _base(resizing)
    _out(resizing, "fp16")

    merging = actions.add_parser("merge", help="LoRAs into one LoRA, or into a model", allow_abbrev=False)
    merging.add_argument(
        "loras",
        nargs="+",
        metavar="LORA[:W[:T]]",
        help="file or name, its strength and that in text encoders",
    )
    merging.add_argument("--into", default="", metavar="MODEL", help="write a copy of this model instead")
    _rank(merging, "compress the sum to this rank [default: keep all of it]", required=False)
    _base(merging)
    _out(merging, "fp16")

    extracting = actions.add_parser("extract", help="the difference of two models", allow_abbrev=False)
    extracting.add_argument("tuned", metavar="MODEL", help="the fine-tuned one: a file, folder or name")
    extracting.add_argument("--base", required=True, metavar="MODEL", help="what it was fine-tuned from")
    _rank(extracting, "rank of the layers, at most", required=True)
    extracting.add_argument("--conv-rank", type=_positive, default=0, metavar="R", help="of 3x3 convolutions")
    extracting.add_argument("--no-text-encoder", action="store_true", help="leave the text encoders out")
    extracting.add_argument(
        "--min-diff", type=float, default=1e-6, metavar="D", help="leave out layers that differ by less"
    )
    _out(extracting, "fp16")


def _lora(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lora", metavar="LORA", help="a file, a folder, or a name in the warehouse")


def _base(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base",
        default="",
        metavar="MODEL",
        help="the model that it is for [default: the published one of its family]",
    )


def _rank(parser: argparse.ArgumentParser, told: str, *, required: bool) -> None:
    parser.add_argument("--rank", type=_positive, required=required, metavar="R", help=told)
    parser.add_argument(
        "--sv-ratio", type=float, metavar="X", help="keep singular values of at least the largest / X"
    )
    parser.add_argument(
        "--sv-fro", type=_share, metavar="X", help="the lowest rank with this share of the Frobenius norm"
    )


def _out(parser: argparse.ArgumentParser, precision: str) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="ends in .safetensors")
    parser.add_argument(
        "--precision", choices=_PRECISIONS, default=precision, help=f"number format [default: {precision}]"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number

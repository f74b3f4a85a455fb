"""LoRAs named within a prompt, as A1111 writes them.

    <lora:name>                    as trained
    <lora:name:0.8>                0.8 times, UNet and text encoders
    <lora:name:0.5:0.9>            text encoders 0.5 times, UNet 0.9 times
    <lora:name:te=0.5:unet=0.9>    the same
    <lora:name:1:lbw=1,0,0,…>      a factor for each block, in the order of the extension "LoRA Block Weight"

`<lyco:…>` means the same. Any other `<word:…>` is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import ValidationError

from charaforge.config.model import fault_lines
from charaforge.errors import PromptError, suggestion
from charaforge.requests.generation import LoraUse

_TAG = re.compile(r"<(?P<kind>\w+):(?P<values>[^>]*)>")
_KINDS = ("lora", "lyco")
_INNER = tuple(f"IN{n:02}" for n in range(12))
_OUTER = tuple(f"OUT{n:02}" for n in range(12))


def _block_order(inner: Sequence[int], outer: Sequence[int]) -> tuple[str, ...]:
    return ("BASE", *(_INNER[n] for n in inner), "MID", *(_OUTER[n] for n in outer))


_ORDERS = {
    len(order): order
    for order in (
        _block_order((4, 5, 7, 8), range(6)),  # 12: SDXL's attention
        _block_order(
            (1, 2, 4, 5, 7, 8), range(3, 12)
        ),  # 17: SD1.x's attention, hence also convolutions below
        _block_order(range(9), range(9)),  # 20: all of SDXL
        _block_order(range(12), range(12)),  # 26: all of SD1.x
    )
}


def extract_loras(prompt: str) -> tuple[str, tuple[LoraUse, ...]]:
    """Return the prompt without its LoRA tags, and the LoRAs.

    Raises:
        PromptError: a tag is of another kind (`<hypernet:…>`), or has a value that is not understood.
    """
    found: list[LoraUse] = []

    def take(match: re.Match[str]) -> str:
        if match["kind"].lower() not in _KINDS:
            raise PromptError(
                f"{match[0]!r}: only <lora:name:weight> is offered",
                suggestion(match["kind"], _KINDS[:1]) + "; escape it as <\\word:…> if text is meant",
            )
        found.append(_use(match[0], match["values"].split(":")))
        return ""

    return _TAG.sub(take, prompt), tuple(found)


def slug(name: str) -> str:
    """Return the registry name of a model that another tool calls `name`, a file name or a path."""
    stem = re.split(r"[\\/]", name.strip())[-1]
    stem = re.sub(r"\.(safetensors|ckpt|pt|pth|bin|onnx)$", "", stem, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._@-]+", "-", stem).strip("-")


def lora_tag(use: LoraUse) -> str:
    """Return the tag that `extract_loras` reads back to the same use."""
    unet, text = _shown(use.weight), _shown(use.te_weight)
    weights = unet if use.te_weight is None else f"te={text}:unet={unet}"
    blocks = "".join(f":{name}={_shown(factor)}" for name, factor in sorted(use.blocks.items()))
    return f"<lora:{use.name}:{weights}{blocks}>"


def _use(tag: str, values: list[str]) -> LoraUse:
    """Return what a tag means: its name, then weights by place or by name."""
    places = [value for value in values[1:] if "=" not in value]
    named = dict(value.split("=", 1) for value in values[1:] if "=" in value)
    if len(places) > 2:
        raise PromptError(f"{tag!r} has {len(places)} weights", "write <lora:name:text encoder:unet>")
    text = _number(tag, named.pop("te", places[0] if places else "1"))
    unet = _number(tag, named.pop("unet", places[1] if len(places) > 1 else f"{text!r}"))
    told = {
        "name": slug(values[0]),
        "weight": unet,
        "te_weight": None if text == unet else text,
        "blocks": _blocks(tag, named),
    }
    try:
        return LoraUse.model_validate(told)
    except ValidationError as error:
        raise PromptError(f"{tag!r}: {'; '.join(fault_lines(error, LoraUse))}") from None


def _blocks(tag: str, named: dict[str, str]) -> dict[str, float]:
    """Return block -> factor, of `lbw=` or of blocks by name."""
    listed = named.pop("lbw", "")
    valid = {*_ORDERS[26], *_ORDERS[12]}
    for name in named:
        if name.upper() not in valid:
            raise PromptError(
                f"{tag!r}: unknown word {name!r}",
                suggestion(name, ["te", "unet", "lbw", "BASE", "IN00", "OUT00"]),
            )
    factors = {name.upper(): _number(tag, value) for name, value in named.items()}
    if not listed:
        return factors
    numbers = [_number(tag, value) for value in listed.split(",")]
    if len(numbers) not in _ORDERS:
        raise PromptError(
            f"{tag!r}: lbw has {len(numbers)} numbers", f"give {', '.join(map(str, sorted(_ORDERS)))} of them"
        )
    return dict(zip(_ORDERS[len(numbers)], numbers, strict=True)) | factors


def _number(tag: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise PromptError(f"{tag!r}: {text!r} is no number", "write <lora:name:0.8>") from None


def _shown(number: float | None) -> str:
    return repr(number).removesuffix(".0")

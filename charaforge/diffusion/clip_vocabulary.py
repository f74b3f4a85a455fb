"""CLIP's tokenizer, built from its merges: what every full-size SD1.x and SDXL model reads words with."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77


def clip_tokenizer(pad: str = END) -> CLIPTokenizer:
    """Return a new tokenizer of 49,408 tokens.

    Args:
        pad: what fills up short texts: the end token, for SDXL's second text encoder "!".
    """
    vocabulary, merges = _vocabulary()
    told: dict[str, Any] = {"vocab": dict(vocabulary), "merges": list(merges)}
    return CLIPTokenizer(**told, model_max_length=LENGTH, pad_token=pad)


def byte_alphabet() -> list[str]:
    """Return the printable stand-ins of the 256 bytes, in the order of CLIP's vocabulary."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    rest = 256 - len(printable)
    return [*map(chr, printable), *(chr(256 + place) for place in range(rest))]


@cache
def _vocabulary() -> tuple[dict[str, int], tuple[tuple[str, str], ...]]:
    """Return token -> id, and the merges: letters, letters that end a word, merged ones, start and end."""
    file = resources.files("charaforge.diffusion") / "configs" / "clip_merges.txt"
    pairs = [line.split(" ") for line in file.read_text(encoding="utf-8").splitlines()]
    merges = tuple((left, right) for left, right in pairs)
    letters = byte_alphabet()
    tokens = [*letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in merges), START, END]
    return {token: number for number, token in enumerate(tokens)}, merges

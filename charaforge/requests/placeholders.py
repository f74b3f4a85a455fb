"""The four placeholders of prompts: `[character] [outfit] [style] [pose_tag]`.

They are filled from the chosen LoRA's metadata. Every other `[word]` is left alone: it is A1111's syntax.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

PLACEHOLDERS = ("character", "outfit", "style", "pose_tag")
_PATTERN = re.compile(r"\[(" + "|".join(PLACEHOLDERS) + r")\]")
_EMPTY_PARTS = re.compile(r"(?:\s*,)+(?=\s*,)")


def fill_placeholders(prompt: str, values: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the prompt with its placeholders filled, and the names of those that were dropped.

    Args:
        prompt: text as the user wrote it.
        values: placeholder name -> text, e.g. {"character": "zxq"}; an empty text counts as absent.

    Returns:
        The prompt, where a dropped placeholder leaves neither a doubled space nor an empty tag, and the names
        of the placeholders that nothing filled, each once, in their order.
    """
    dropped = [name for name in _PATTERN.findall(prompt) if not values.get(name)]
    if not _PATTERN.search(prompt):
        return prompt, []
    filled = _PATTERN.sub(lambda match: values.get(match[1], ""), prompt)
    if dropped:
        filled = re.sub(r"[ \t]{2,}", " ", filled)
        filled = _EMPTY_PARTS.sub("", re.sub(r"\s+,", ",", filled)).strip(" ,")
    return filled, list(dict.fromkeys(dropped))

"""The prompts of an evaluation: a JSON list of objects, typed and checked as a whole."""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from charaforge.config import StrictModel, fault_lines
from charaforge.errors import ConfigError, PromptError, UnknownNameError, UsageError
from charaforge.requests.grammar import parse_prompt
from charaforge.requests.grammar_loras import extract_loras
from charaforge.requests.placeholders import PLACEHOLDERS, fill_placeholders
from charaforge.requests.wildcards import expand

CHARACTER = "[character]"
"""Placeholder that every arm fills with its own words."""

_NO_FOLDER = Path(os.devnull)
"""A folder of wildcards in which there is none."""


class EvalPrompt(StrictModel):
    """One prompt of an evaluation."""

    id: str = Field(description="unique name, used in file names", pattern=r"^[A-Za-z0-9._-]{1,80}$")
    prompt: str = Field(
        description="text with [character] in it; [outfit], [style] may stand too, [pose_tag] is left out"
    )
    negative: str = Field(default="", description="negative prompt")
    pose: str = Field(default="", description="file of a pose in --pose_dir")
    expected_tags: tuple[str, ...] = Field(description="tags that the picture should show, traits left out")
    group: str = Field(description="what the prompt tries, e.g. own outfit, new outfit, pose, scene")

    @field_validator("prompt")
    @classmethod
    def _names_the_character(cls, text: str) -> str:
        if CHARACTER not in text:
            raise ValueError(f"has no {CHARACTER} for the character's words")
        return text

    @field_validator("prompt", "negative")
    @classmethod
    def _asks_every_arm_for_the_same(cls, text: str) -> str:
        fault = _fault_of(fill_placeholders(text, dict.fromkeys(PLACEHOLDERS, "words"))[0])
        if fault:
            raise ValueError(fault)
        return text


def _fault_of(text: str) -> str:
    """Why pictures of a text, its placeholders filled, could not be held against each other; "" if they can.

    The baselines would be drawn with a LoRA that it names, and each seed's picture with other words that it
    draws, from files that may have changed since. What a backslash escapes is text.
    """
    try:
        if extract_loras(text)[1]:
            return "names a LoRA, which the base would be drawn with as well"
        if _draws(text):
            return "draws its words, by __name__ or {a|b}: every picture of a prompt has to show the same"
        parse_prompt(text)
    except PromptError as error:
        return error.message
    return ""


def _draws(text: str) -> bool:
    """Whether wildcards or alternatives stand in a text."""
    try:
        return expand(text, _NO_FOLDER, seed=0) != text
    except (PromptError, UnknownNameError):
        return True


def load_prompts(path: Path) -> tuple[EvalPrompt, ...]:
    """Read a prompts file.

    Raises:
        UsageError: the file cannot be read.
        ConfigError: it is not a list of prompts, or has faults; all of them are named at once.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot read the prompts {path}: {error.strerror}", "give the path of a JSON file"
        ) from error
    except ValueError as error:
        raise ConfigError(str(path), [f"not valid JSON: {error}"]) from error
    if not isinstance(data, list) or len(data) < 2:
        raise ConfigError(str(path), ["expected a list of at least two prompts"])
    faults: list[str] = []
    prompts: list[EvalPrompt] = []
    for number, entry in enumerate(data, 1):
        try:
            prompts.append(EvalPrompt.model_validate(entry))
        except ValidationError as error:
            faults += [f"prompt {number}: {line}" for line in fault_lines(error, EvalPrompt)]
    names = [prompt.id for prompt in prompts]
    faults += [f"id {name!r} stands twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if faults:
        raise ConfigError(str(path), faults)
    return tuple(prompts)

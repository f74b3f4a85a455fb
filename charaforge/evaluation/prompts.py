"""The prompts of an evaluation: a JSON list of objects, typed and checked as a whole."""

import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from charaforge.config import StrictModel, fault_lines
from charaforge.errors import ConfigError, UsageError

CHARACTER = "[character]"
"""Placeholder that every arm fills with its own words."""


class EvalPrompt(StrictModel):
    """One prompt of an evaluation."""

    id: str = Field(description="unique name, used in file names", pattern=r"^[A-Za-z0-9._-]{1,80}$")
    prompt: str = Field(
        description="text with [character] in it; [outfit], [style], [pose_tag] may stand too"
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

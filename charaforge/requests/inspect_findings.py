"""What a reader finds, field by field, and made a request of: what does not fit is told, not guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from charaforge.errors import PromptError, UnknownNameError
from charaforge.requests.generation import MAX_LORAS, MAX_PROMPT, GenerationRequest
from charaforge.requests.grammar import check_prompt
from charaforge.requests.grammar_loras import extract_loras, slug
from charaforge.requests.inspect_editing import without_editing
from charaforge.requests.samplers import Sampler, find_sampler

MAX_UNMAPPED = 100  # lines
MAX_READ = MAX_PROMPT + 4096  # characters; a longer prompt cannot be taken, and is not looked into

_TAG = re.compile(r"<\w+:[^>]*>")
_BRACE = re.compile(r"(?<!\\)([{}])")
_DUNDER = re.compile(r"(?<!\\)__(?=\w)")


@dataclass
class Findings:
    """What is known so far.

    Attributes:
        told: field of the request -> value, unchecked.
        unmapped: what has no place in a request, one line each.
        first_size: (width, height) of the first of two passes, which the picture has where the second one
            is not taken.
    """

    told: dict[str, Any] = field(default_factory=dict)
    unmapped: list[str] = field(default_factory=list)
    first_size: tuple[int, int] | None = None

    def put(self, name: str, value: object) -> None:
        """Set a field, unless the value says nothing."""
        if value not in (None, ""):
            self.told[name] = value

    def miss(self, what: str) -> None:
        """Note what could not be mapped, once, shortened, and up to a limit."""
        line = _cut(what, 200)
        if len(self.unmapped) < MAX_UNMAPPED and line not in self.unmapped:
            self.unmapped.append(line)

    def put_name(self, name: str, value: object) -> None:
        """Set a field to the registry name of a model that the other program calls `value`."""
        if isinstance(value, str) and value.strip():
            self.put(name, slug(value))

    def put_prompts(self, prompt: object, negative: object) -> None:
        """Set both prompts, in which LoRAs are tags and nothing is a wildcard."""
        self.told["prompt"] = self._offered(self._without_tags(literal(_text(prompt)), acting=True))
        self.told["negative"] = self._offered(self._without_tags(literal(_text(negative)), acting=False))

    def add_lora(self, name: object, unet: object = 1.0, text: object = None) -> None:
        """Add a LoRA; `text` is its weight in the text encoders where that differs."""
        use = {"name": slug(_text(name)), "weight": unet, "te_weight": None if text == unet else text}
        self._add(use)

    def put_sampler(
        self, sampler: object, schedule: object = "", find: Callable[[str, str], Sampler] = find_sampler
    ) -> None:
        """Set the sampler by another program's names; without its schedule where that is not offered.

        Args:
            sampler: what the program calls it.
            schedule: what the program calls its schedule, "" where it says nothing.
            find: returns our sampler for both.
        """
        solver, spread = _text(sampler), _text(schedule)
        for told in (spread, "") if spread else ("",):
            try:
                self.put("scheduler", find(solver, told).name)
            except UnknownNameError:
                continue
            if told != spread:
                self.miss(f"schedule {spread!r}: not offered with sampler {solver!r}")
            return
        if solver:
            self.miss(f"sampler {' '.join((solver, spread)).strip()!r}: not offered")

    def request(self) -> GenerationRequest | None:
        """Return the request; fields that it does not take are told and left at their defaults.

        None where nothing is said of a prompt, or the fields do not go together.
        """
        if "prompt" not in self.told:
            return None
        if "model" not in self.told:
            self.miss("model: not told")
        while True:
            try:
                return GenerationRequest.model_validate(self.told)
            except ValidationError as error:
                bad = {str(fault["loc"][0]) if fault["loc"] else "": fault for fault in error.errors()}
            for name, fault in bad.items():
                why = fault["msg"].removeprefix("Value error, ")
                self.miss(f"{name}: {_cut(repr(self.told.get(name)), 80)}: {why}" if name else why)
            if not bad.keys() <= self.told.keys() or ("prompt" in bad and self.told["prompt"] == ""):
                return None
            for name in bad:
                del self.told[name]
            self.told.setdefault("prompt", "")
            if "hires" in bad and self.first_size is not None:
                self.told["width"], self.told["height"] = self.first_size
                self.first_size = None

    def _offered(self, text: str) -> str:
        """Return a prompt without syntax that is not offered; note what it was."""
        if len(text) > MAX_READ:
            return text
        try:
            check_prompt(text)
        except PromptError as error:
            self.miss(f"{error.message}; the words at its end, or the first of several, are taken")
            return without_editing(text)
        return text

    def _without_tags(self, text: str, acting: bool) -> str:
        if len(text) > MAX_READ:
            return text

        def take(match: re.Match[str]) -> str:
            try:
                _, uses = extract_loras(match[0])
            except PromptError as error:
                self.miss(f"{match[0]}: {error.message}")
                return ""
            for use in uses if acting else ():
                self._add(use.model_dump())
            if not acting:
                self.miss(f"{match[0]} in the negative prompt: it does nothing there")
            return ""

        return _TAG.sub(take, text).strip()

    def _add(self, use: dict[str, Any]) -> None:
        loras = self.told.setdefault("loras", [])
        if any(known["name"] == use["name"] for known in loras):
            self.miss(f"LoRA {use['name']!r} once more")
        elif len(loras) == MAX_LORAS:
            self.miss(f"LoRA {use['name']!r}: {MAX_LORAS} are the most")
        else:
            loras.append(use)


def literal(text: str) -> str:
    """Return a prompt of a program without wildcards so that it has none here."""
    if "|" in text or "$$" in text:
        text = _BRACE.sub(r"\\\1", text)
    return _DUNDER.sub(r"_\\_", text)


def read_json(text: str) -> Any:
    """Return the value of a JSON text, None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def dicts(value: object) -> Iterator[dict[str, Any]]:
    """Yield the dictionaries in a list; nothing of anything else."""
    yield from (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"

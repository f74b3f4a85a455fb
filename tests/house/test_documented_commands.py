"""Every command that the documents tell the reader to type names things that are there."""

import argparse
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from charaforge.cli.main import VERBS, load_verb

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, str]]:
    """Yield the page and every command line of its shell blocks."""
    for page in PAGES:
        for block in FENCE.findall(page.read_text(encoding="utf-8")) if page.is_file() else ():
            for line in block.replace("\\\n", " ").splitlines():
                words = line.strip().removeprefix("$ ").partition(" #")[0].strip()
                if words and not words.startswith("#"):
                    yield str(page.relative_to(ROOT)), words


def faults_of(command: str) -> list[str]:
    """Return what the command names that is not there; nothing for commands that are not ours."""
    words = shlex.split(command)
    while words and "=" in words[0] and not words[0].startswith("-"):
        words = words[1:]  # NAME=value before a command
    program, rest = (Path(words[0]).name, words[1:]) if words else ("", [])
    if program == "make":
        rules = (ROOT / "Makefile").read_text(encoding="utf-8")
        targets = [word for word in rest if "=" not in word and not word.startswith("-")]
        return [name for name in targets if not re.search(rf"^{name}:", rules, re.MULTILINE)]
    if program == "charaforge":
        return verb_faults(rest)
    if program in ("python", "python3", "accelerate"):
        return [word for word in rest if word.endswith(".py") and not (ROOT / word).is_file()]
    if program in ("uvicorn", "celery"):
        modules = [word.partition(":")[0] for word in rest if word.startswith("backend.")]
        return [name for name in modules if not (ROOT / f"{name.replace('.', '/')}.py").is_file()]
    if program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        asked = [
            name for word in rest for group in re.findall(r"^\.\[(.+)\]$", word) for name in group.split(",")
        ]
        return [name for name in asked if name not in extras]
    return []


def verb_faults(words: list[str]) -> list[str]:
    named = [word for word in words if not word.startswith("-")]
    if not named:
        return []
    if named[0] not in VERBS:
        return [named[0]]
    parser = argparse.ArgumentParser()
    load_verb(named[0]).add_arguments(parser)
    text = parser.format_help()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            text += "".join(sub.format_help() for name, sub in action.choices.items() if name in named)
    known = set(re.findall(r"--[\w-]+", text)) | {"--help"}
    return [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_a_documented_command_is_there(page: str, command: str) -> None:
    assert faults_of(command) == []


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("make demmo", "demmo"),
        ("X=1 make test V=2", None),
        ("charaforge genrate --prompt x", "genrate"),
        ("charaforge models list --knd base", "--knd"),
        ("charaforge models list --kind base", None),
        ("python train/lora_trian.py --config a", "train/lora_trian.py"),
        ("accelerate launch train/lora_train.py --config a", None),
        ("pip install -e '.[al]'", "al"),
        ("pip install -e '.[all,dev]'", None),
        ("uvicorn backend.mian:app --port 8000", "backend.mian"),
        ("docker run -p 6379:6379 redis:7", None),
    ],
)
def test_the_check_itself(command: str, fault: str | None) -> None:
    assert faults_of(command) == ([] if fault is None else [fault])

"""The one skeleton behind all verbs: find the verb, parse its options, run it, tell errors.

A verb is a module of `charaforge.cli.verbs`; only the one that was asked for is imported. Its `run` returns
an exit code: 0 pass, 1 fault, 2 usage, 3 not measurable, 4 measured and failed.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, cast

from charaforge import __version__, logs
from charaforge.errors import CharaForgeError, ExitCode, UsageError, suggestion

VERBS: Mapping[str, str] = {
    "demo": "the whole road on a new character: draw it into a folder, forge a LoRA, certificate and sheet",
    "forge": "a folder of pictures in; a LoRA proven by numbers, its certificate and a character sheet out",
    "generate": "render pictures from a prompt",
    "reproduce": "render a picture again from its own recipe and compare, byte for byte",
    "inspect": "read from a picture how it was made, whichever program made it",
    "train": "train a LoRA on pictures of one character",
    "eval": "measure how much generated pictures look like the character; --choose finds the best checkpoint",
    "sheet": "draw a character sheet of a LoRA: views, expressions, poses, outfits as one labelled picture",
    "compare": "compare two LoRAs of one character, paired by prompt and seed",
    "dedupe": "find copies of pictures, also resized, recompressed, mirrored and turned ones; delete nothing",
    "tag": "tag pictures with WD14 and DeepDanbooru taggers",
    "pose": "find key points, name poses, draw OpenPose maps",
    "merge": "merge what dedupe, tag and pose found into one table, with splits and a report",
    "curate": "a folder of pictures in, a clean training table out: dedupe, tag, pose, merge",
    "lora": "look into LoRA files, convert, resize, merge and extract them",
    "models": "list models, fetch or add one, verify their files, remove one",
    "batch": "submit a CSV or JSON file of pictures to the service, watch it, stop it, fetch its pictures",
    "score": "measure how much the pictures of a batch look like the characters of their LoRAs",
    "workers": "list the workers of the service: where they run, whether they live, what they are at",
    "gc": "show what of the warehouse can go (old pictures, jobs, uploads, caches); --delete deletes it",
    "ui": "open the panel for browsers, in front of a running REST service",
    "mini": "draw pictures of the embedded mini world; train the models embedded with it",
}
_DISK_HINTS: Mapping[int, str] = {
    errno.ENOSPC: "free some space, then run the same command again",
    errno.EDQUOT: "free some of your quota, then run the same command again",
    errno.EACCES: "choose a folder that you may write to, or ask for the right to",
    errno.EROFS: "choose a folder that can be written to",
}
INTERRUPTED = 130  # what a shell reports for a process stopped by Ctrl-C


class Verb(Protocol):
    """What a module of `charaforge.cli.verbs` provides."""

    NAME: str
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of the verb."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work; return the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments without the program's name; those of the process by default.

    Returns:
        The exit code. Errors are told on stderr, answers go to stdout.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with _stoppable():
            return _run(words)
    except CharaForgeError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except ModuleNotFoundError as error:
        if (error.name or "charaforge").startswith("charaforge"):
            raise
        sys.stderr.write(f"error: the package {error.name!r} is missing; run:  pip install -e '.[all]'\n")
        return ExitCode.USAGE
    except OSError as error:
        if error.filename is None and error.errno not in _DISK_HINTS:
            raise
        hint = _DISK_HINTS.get(error.errno or 0, "look whether it is there and may be used")
        sys.stderr.write(f"error: {error.strerror}: {error.filename or 'while writing'}\n  {hint}\n")
        return ExitCode.FAULT
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        return INTERRUPTED


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM stop a command as Ctrl-C does, and Ctrl-C also where a shell's `&` had it ignored."""
    if threading.current_thread() is not threading.main_thread():  # where Python takes no signals
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before: dict[signal.Signals, Any] = {
        number: signal.signal(number, signal.default_int_handler) for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(words: list[str]) -> int:
    name = next((word for word in words if not word.startswith("-")), None)
    if name is not None and name not in VERBS:
        raise UsageError(f"unknown command {name!r}", suggestion(name, list(VERBS)))
    parser, verb, verb_parser = _build(name)
    args, unknown = parser.parse_known_args(words)
    if verb is None or verb_parser is None:
        parser.print_help()
        return ExitCode.USAGE
    if unknown:
        raise _unknown_option(unknown[0], verb_parser)
    logs.configure(logging.DEBUG if args.verbose else logging.INFO)
    return verb.run(args)


def _build(
    name: str | None,
) -> tuple[argparse.ArgumentParser, Verb | None, argparse.ArgumentParser | None]:
    """Build the parser; only the verb called `name` is imported and gets its options."""
    parser = argparse.ArgumentParser(
        prog="charaforge", description="Pictures of a character in, a proven LoRA out.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"charaforge {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="also show debug lines")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    verb = verb_parser = None
    for verb_name, text in VERBS.items():
        sub = subparsers.add_parser(verb_name, help=text, description=text, allow_abbrev=False)
        if verb_name == name:
            verb, verb_parser = load_verb(verb_name), sub
            verb.add_arguments(sub)
    return parser, verb, verb_parser


def load_verb(name: str) -> Verb:
    """Import the module of a verb."""
    return cast(Verb, importlib.import_module(f"charaforge.cli.verbs.{name}"))


def _unknown_option(option: str, parser: argparse.ArgumentParser) -> UsageError:
    word = option.split("=")[0]
    hint = suggestion(word, sorted(_options(parser)))
    return UsageError(f"{parser.prog}: unknown argument {word!r}", hint)


def _options(parser: argparse.ArgumentParser) -> set[str]:
    """Return the long options of a parser and of its sub-commands."""
    found: set[str] = set()
    for action in parser._actions:  # argparse offers no public way to list them
        found.update(option for option in action.option_strings if option.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                found |= _options(sub)
    return found


if __name__ == "__main__":
    sys.exit(main())

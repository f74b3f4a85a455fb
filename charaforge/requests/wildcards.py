r"""What stands for one of many in a prompt: `__name__`, a line of a file, and `{a|b|c}`, one of these.

    __hair/colours__          a line of `hair/colours.txt` among the wildcards; `#` begins a comment
    {red|blue|}               one of them, here perhaps nothing
    {3::red|blue}             red three times as often
    {2$$a|b|c}  {1-2$$a|b}    two different ones, one or two, joined by ", "
    {2$$ and $$a|b|c}         joined by " and "

What is chosen may itself hold either. Braces without `|` and whatever a backslash precedes are text.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from charaforge.errors import PromptError, UnknownNameError

MAX_DEPTH = 16
MAX_CHOICES = 1000
MAX_LENGTH = 65536  # characters

_SIGN = re.compile(r"\\.|[{}|]|__(?P<name>[^\W_](?:[\w./ -]*?[^\W_])??)__", re.DOTALL)
_COUNT = re.compile(r"\s*(?P<low>\d{1,4})(?:-(?P<high>\d{1,4}))?\$\$(?:(?P<joint>[^$|]*)\$\$)?")
_SHARE = re.compile(r"\s*(?P<share>\d+\.?\d*|\.\d+)::")


def expand(text: str, folder: Path, seed: int, purpose: str = "prompt") -> str:
    """Return the text with every wildcard replaced; the same arguments and files always give the same text.

    Args:
        text: the prompt.
        folder: where the wildcard files are, `<name>.txt`.
        seed: decides what is chosen.
        purpose: texts of different purposes draw independently of each other.

    Raises:
        UnknownNameError: there is no such wildcard; it names the nearest.
        PromptError: a wildcard is empty or cannot be read, they nest or repeat without end, or more are asked
            for than there are.
    """
    return _Expansion(folder, _Draws(f"{seed}/{purpose}")).expand(text, ())


def wildcard_names(folder: Path) -> list[str]:
    """Return the names of all wildcards, as they are written between the underscores."""
    files = sorted(path for path in folder.rglob("*.txt") if path.is_file()) if folder.is_dir() else []
    return [path.relative_to(folder).with_suffix("").as_posix() for path in files]


@dataclass
class _Draws:
    """Numbers that only depend on the key and on how many were drawn before."""

    key: str
    count: int = 0

    def below(self, limit: float) -> float:
        """Return a number from 0 to below `limit`."""
        self.count += 1
        if self.count > MAX_CHOICES:
            raise PromptError(
                f"the prompt asks for more than {MAX_CHOICES} choices", "use fewer wildcards in wildcards"
            )
        digest = hashlib.sha256(f"{self.key}/{self.count}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48 * limit


@dataclass(frozen=True)
class _Option:
    text: str
    share: float


@dataclass
class _Expansion:
    """One prompt being expanded."""

    folder: Path
    draws: _Draws
    lines: dict[str, list[str]] = field(default_factory=dict)

    def expand(self, text: str, above: tuple[str, ...]) -> str:
        """Replace what stands in `text`; `above` are the wildcards and groups that it came out of."""
        if len(above) > MAX_DEPTH:
            raise PromptError(
                f"wildcards nest deeper than {MAX_DEPTH}: {' > '.join(above[:4])} …",
                "a wildcard must not lead back to itself",
            )
        groups = _groups(text)
        parts: list[str] = []
        place = 0
        for match in _SIGN.finditer(text):
            if match.start() < place:
                continue  # inside of a group that is done
            parts.append(text[place : match.start()])
            place = match.end()
            if match.start() in groups:
                place = groups[match.start()][-1] + 1
                parts.append(self._group(text, groups[match.start()], above))
            elif match["name"] is not None:
                parts.append(self._wildcard(match["name"], above))
            else:
                parts.append(match[0])
        return _limited("".join([*parts, text[place:]]))

    def _wildcard(self, name: str, above: tuple[str, ...]) -> str:
        if name not in self.lines:
            self.lines[name] = _read(self.folder, name)
        lines = self.lines[name]
        return self.expand(lines[int(self.draws.below(len(lines)))], (*above, f"__{name}__"))

    def _group(self, text: str, signs: list[int], above: tuple[str, ...]) -> str:
        """Choose among the options between the signs, which are those of `{`, every `|` and `}`."""
        first = text[signs[0] + 1 : signs[1]]
        count = _COUNT.match(first)
        pieces = [first[count.end() :] if count else first]
        pieces += [text[left + 1 : right] for left, right in pairwise(signs[1:])]
        options = [_option(piece) for piece in pieces]
        low, high = (int(count["low"]), int(count["high"] or count["low"])) if count else (1, 1)
        if not low <= high <= len(options):
            raise PromptError(
                f"{text[signs[0] : signs[-1] + 1][:60]!r} asks for {low} to {high} of {len(options)}",
                "ask for as many as there are, or fewer",
            )
        wanted = low + int(self.draws.below(high - low + 1)) if high > low else low
        chosen = [self._take(options) for _ in range(wanted)]
        joint = count["joint"] if count and count["joint"] is not None else ", "
        return joint.join(self.expand(option.text, (*above, "{…}")) for option in chosen)

    def _take(self, options: list[_Option]) -> _Option:
        """Take one option off the list, each as likely as its share says."""
        left = self.draws.below(sum(option.share for option in options))
        for option in options:
            left -= option.share
            if left < 0:
                break
        options.remove(option)
        return option


def _groups(text: str) -> dict[int, list[int]]:
    """Return, for each `{` that has a `|` and a `}` of its own, the places of the three kinds of signs."""
    found: dict[int, list[int]] = {}
    open_groups: list[list[int]] = []
    for match in _SIGN.finditer(text):
        if match[0] == "{":
            open_groups.append([match.start()])
        elif match[0] == "|" and open_groups:
            open_groups[-1].append(match.start())
        elif match[0] == "}" and open_groups:
            group = [*open_groups.pop(), match.start()]
            if len(group) > 2:
                found[group[0]] = group
    return found


def _option(text: str) -> _Option:
    share = _SHARE.match(text)
    return _Option(text[share.end() :], float(share["share"])) if share else _Option(text, 1.0)


def _read(folder: Path, name: str) -> list[str]:
    """Return the values of a wildcard: the lines of its file that are neither empty nor comments."""
    names = wildcard_names(folder)
    if name not in names:  # also keeps `..` and absolute paths out
        raise UnknownNameError("wildcard", name, names, f"a new one is a file {name}.txt in {folder}")
    try:
        lines = (folder / f"{name}.txt").read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(
            f"the wildcard {name!r} cannot be read: {error}", "write it as UTF-8 text, one value per line"
        ) from error
    values = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not values:
        raise PromptError(f"the wildcard {name!r} has no values", "write one value per line")
    return values


def _limited(text: str) -> str:
    if len(text) > MAX_LENGTH:
        raise PromptError(
            f"the prompt grows beyond {MAX_LENGTH} characters", "use fewer wildcards in wildcards"
        )
    return text

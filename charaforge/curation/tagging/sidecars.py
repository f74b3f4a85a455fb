"""Caption files as kohya's scripts read them: `NAME.txt` for `NAME.png`, tags separated by ", "."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from charaforge.curation.captions import words_beside
from charaforge.errors import UsageError
from charaforge.perception.tag_names import spaced
from charaforge.warehouse.atomic import replacing

SOURCE = "sidecar"
"""What stands for the tagger's name beside words that lay beside a picture."""


def read_sidecars(pictures: Iterable[Path]) -> dict[Path, list[str]]:
    """Return the tags that lie beside pictures, for those that have some; they are not written to."""
    names: dict[Path, frozenset[str]] = {}
    found = {}
    for picture in pictures:
        folder = picture.parent
        if folder not in names:
            names[folder] = (
                frozenset(file.name for file in folder.iterdir()) if folder.is_dir() else frozenset()
            )
        tags = split_tags(words_beside(picture, names[folder]).caption)
        if tags:
            found[picture] = tags
    return found


def split_tags(caption: str) -> list[str]:
    """Return the tags of a caption, each once, with spaces; parentheses lose their backslashes."""
    plain = caption.replace("\\(", "(").replace("\\)", ")")
    return list(dict.fromkeys(filter(None, (spaced(part) for part in plain.split(",")))))


def write_sidecars(captions: Mapping[Path, str], folder: Path) -> int:
    """Write one `.txt` per picture into `folder`, in the pictures' subfolders.

    Files that stand beside the pictures are never written: they may be somebody's work.

    Args:
        captions: picture -> its caption.
        folder: where to.

    Returns:
        How many were written.

    Raises:
        UsageError: `folder` is that of the pictures, or two pictures have the same name but for their suffix.
    """
    targets = _targets(list(captions), folder)
    for picture, caption in captions.items():
        text = caption + "\n"
        if not _holds(targets[picture], text):
            with replacing(targets[picture], durable=False) as temporary:
                temporary.write_text(text, encoding="utf-8")
    return len(captions)


def _targets(pictures: list[Path], folder: Path) -> dict[Path, Path]:
    """Return where each caption goes; pictures of one name with several suffixes keep their suffix."""
    root = _common(pictures)
    counts: dict[Path, int] = {}
    for picture in pictures:
        plain = picture.with_suffix("")
        counts[plain] = counts.get(plain, 0) + 1
    targets = {}
    for picture in pictures:
        single = counts[picture.with_suffix("")] == 1
        name = picture.with_suffix(".txt") if single else picture.with_name(picture.name + ".txt")
        targets[picture] = folder / name.relative_to(root)
        if targets[picture].parent.resolve() == picture.parent.resolve():
            raise UsageError(
                f"{folder} is where the pictures are", "give another folder: originals stay as they are"
            )
    return targets


def _common(pictures: list[Path]) -> Path:
    """Return the folder that all pictures lie in."""
    parents = {picture.parent for picture in pictures}
    root = min(parents, key=lambda path: len(path.parts), default=Path())
    while not all(path.is_relative_to(root) for path in parents):
        root = root.parent
    return root


def _holds(file: Path, text: str) -> bool:
    try:
        return file.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False

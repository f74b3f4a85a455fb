"""Files and functions stay small enough to be read in one go."""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDERS = ("charaforge", "backend", "train", "tools", "ui-web", "ui-desktop", "tests")
MEDIAN_LINES, P90_LINES, MAX_LINES, MAX_FUNCTION_LINES = 120, 300, 400, 60
DUMPING_GROUNDS = {"utils", "util", "helpers", "helper", "common", "misc"}


def sources(repository: Path) -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (repository / folder).rglob("*.py"))


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """Yield length in lines and name of every function of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1, f"{path.name}:{node.name}"


def test_sizes(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sources(repository)
    product = [path for path in files if "tests" not in path.parts and path.name != "__init__.py"]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    ordered = sorted(lengths[path] for path in product)
    p90 = ordered[int(0.9 * (len(ordered) - 1))]
    longest_file = max(files, key=lengths.__getitem__)
    longest_function = max(found for path in files for found in functions(path))
    with capsys.disabled():
        sys.stdout.write(
            f"\nsizes: {len(product)} files, median {statistics.median(ordered):.0f} lines, p90 {p90},"
            f" longest {lengths[longest_file]} ({longest_file.relative_to(repository)}),"
            f" longest function {longest_function[0]} ({longest_function[1]})\n"
        )
    assert statistics.median(ordered) <= MEDIAN_LINES
    assert p90 <= P90_LINES
    assert lengths[longest_file] <= MAX_LINES
    assert longest_function[0] <= MAX_FUNCTION_LINES


def test_no_file_is_named_after_nothing(repository: Path) -> None:
    assert [path for path in sources(repository) if path.stem in DUMPING_GROUNDS] == []


def test_datasets_holds_no_code(repository: Path) -> None:
    """A module there would hide the package `datasets` of Hugging Face."""
    assert list((repository / "datasets").rglob("*.py")) == []

"""The files that users start by path do nothing but call the command line."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("train", "tools", "ui-web", "ui-desktop")
LAUNCHERS = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in LAUNCHERS]
INSTALL_LINE = "pip install -e '.[all]'"

each_launcher = pytest.mark.parametrize("launcher", LAUNCHERS, ids=IDS)


def test_the_launchers_of_the_mission_are_there() -> None:
    assert {"train/lora_train.py", "train/evaluators/run_eval.py"} <= set(IDS)


@each_launcher
def test_a_launcher_is_short_and_imports_only_the_command_line(launcher: Path) -> None:
    text = launcher.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 20
    nodes = list(ast.walk(ast.parse(text)))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name for name in modules if not name.startswith("charaforge.cli")} <= {"sys"}


@each_launcher
def test_the_first_line_names_code_that_is_there(launcher: Path) -> None:
    first = launcher.read_text(encoding="utf-8").splitlines()[0]
    named = [word.strip(".,:;()\"'") for word in first.split() if word.startswith("charaforge/")]
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.launch
@each_launcher
def test_without_the_package_the_install_line_is_printed(launcher: Path, tmp_path: Path) -> None:
    # -I -S: an interpreter that sees neither the environment nor installed packages
    command = [sys.executable, "-I", "-S", str(launcher), "--help"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert INSTALL_LINE in result.stderr


@pytest.mark.launch
@each_launcher
def test_with_the_package_the_verb_answers(launcher: Path, repository: Path) -> None:
    command = [sys.executable, str(launcher), "--help"]
    env = {"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "usage: charaforge" in result.stdout

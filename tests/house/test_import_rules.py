"""The contracts at the end of pyproject.toml hold, and they bite."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.launch

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"
PLANTED = {
    "charaforge/logs.py": "import fastapi",
    "charaforge/config/model.py": "import charaforge.warehouse.layout",
    "charaforge/warehouse/cards.py": "import torch",
    "charaforge/training/captions.py": "import charaforge.evaluation",
    "charaforge/generation/__init__.py": "import charaforge.mini",
    "backend/api/health.py": "def later():\n    import charaforge.generation",
    "backend/jobs/__init__.py": "import charaforge.training",
    "backend/schemas/__init__.py": "import backend.jobs",
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LINT, "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def contracts(output: str, state: str) -> list[str]:
    return [line for line in output.splitlines() if line.endswith(f" {state}")]


def test_all_contracts_hold(repository: Path) -> None:
    result = lint(repository)
    assert result.returncode == 0, result.stdout
    assert contracts(result.stdout, "KEPT")


def test_planted_violations_break_every_contract_they_are_against(repository: Path, tmp_path: Path) -> None:
    for name in ("charaforge", "backend"):
        shutil.copytree(
            repository / name, tmp_path / name, ignore=shutil.ignore_patterns("weights", "__pycache__")
        )
    shutil.copy(repository / "pyproject.toml", tmp_path)
    for name, line in PLANTED.items():
        with (tmp_path / name).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    result = lint(tmp_path)
    assert result.returncode == 1
    for pair in (
        "charaforge.config is not allowed to import charaforge.warehouse",
        "charaforge.training is not allowed to import charaforge.evaluation",
        "charaforge.generation is not allowed to import charaforge.mini",
        "charaforge is not allowed to import fastapi",
        "charaforge.warehouse is not allowed to import torch",
        "backend.schemas is not allowed to import backend.jobs",
        "backend.api is not allowed to import charaforge.generation",
        "backend.jobs is not allowed to import charaforge.training",
    ):
        assert pair in result.stdout

import ctypes
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def check(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "system_libraries", repository / ".ci" / "system_libraries.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_library_that_cannot_be_loaded_is_named_by_its_package(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> None:
        if name.startswith("libEGL"):
            raise OSError("libEGL.so.1: cannot open shared object file")

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", load)
    assert check.missing_packages() == ["libegl1"]


@pytest.mark.launch
def test_make_refuses_early_without_a_new_enough_python(repository: Path, tmp_path: Path) -> None:
    command = ["make", "demo", "PYTHON=", f"VENV={tmp_path / 'venv'}"]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "needs Python 3.11 or newer" in result.stdout
    assert not (tmp_path / "venv").exists()


@pytest.mark.launch
def test_make_help_lists_the_targets(repository: Path) -> None:
    result = subprocess.run(["make", "help"], cwd=repository, capture_output=True, text=True, check=True)
    assert [
        name for name in ("demo", "test", "check", "bars", "serve") if f"make {name} " not in result.stdout
    ] == []

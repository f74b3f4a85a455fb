"""Equal requests give equal files, whichever process renders them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from charaforge.warehouse.layout import Warehouse

pytestmark = pytest.mark.launch


def render(out: Path, words: list[str]) -> str:
    """Run `charaforge generate` in a process of its own; return the sha256 of its picture."""
    command = [sys.executable, "-m", "charaforge.cli.main", "generate", *words, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return hashlib.sha256((out / "0001.png").read_bytes()).hexdigest()


def test_two_processes_write_the_same_file(
    tiny: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_CACHE_ROOT", str(tiny.root))
    words = [
        "--prompt",
        "blue hair girl, [character]",
        "--model",
        "tiny-sd",
        "--width",
        "64",
        "--height",
        "64",
    ]
    words += ["--seed", "1234", "--lora", "charA:0.8", "--scheduler", "euler_a"]
    first = render(tmp_path / "a", words)
    assert render(tmp_path / "b", words) == first


def test_the_embedded_model_does_so_at_512_pixels(tmp_path: Path) -> None:
    words = ["--prompt", "1girl, blue hair, hoodie, smile", "--model", "mini-sd", "--seed", "1234"]
    assert render(tmp_path / "a", words) == render(tmp_path / "b", words)

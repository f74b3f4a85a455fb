import json
import os
import stat
from pathlib import Path

import pytest

from charaforge.warehouse import atomic


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "er" / "a.json"
    atomic.write_text(path, "old")
    return path


def test_a_crash_before_the_rename_leaves_the_old_content(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_text(file, "new")
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


def test_a_kill_in_the_middle_leaves_the_old_content_and_a_hidden_file(file: Path) -> None:
    child = os.fork()
    if child == 0:
        with atomic.replacing(file) as temporary:
            temporary.write_text("ne")
            os._exit(9)
    os.waitpid(child, 0)
    assert file.read_text() == "old"
    assert [path.name.startswith(".") for path in file.parent.iterdir() if path != file] == [True]


def test_a_failing_writer_leaves_nothing(file: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic.replacing(file) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise ZeroDivisionError
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


def test_the_content_is_on_the_disk_before_the_rename(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    replace = Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: order.append("fsync"))
    monkeypatch.setattr(Path, "replace", lambda self, to: order.append("rename") or replace(self, to))
    atomic.write_bytes(file, b"new")
    assert order == ["fsync", "rename", "fsync"]
    assert file.read_bytes() == b"new"


def test_permissions_follow_the_umask(file: Path) -> None:
    before = os.umask(0o022)
    try:
        atomic.write_text(file, "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_json_keeps_order_and_refuses_nan(file: Path) -> None:
    atomic.write_json(file, {"b": "é", "a": [1]})
    assert file.read_text().startswith('{\n  "b": "é"')
    with pytest.raises(ValueError, match="JSON"):
        atomic.write_json(file, float("nan"))
    assert json.loads(file.read_text()) == {"b": "é", "a": [1]}


def test_temporary_names_keep_the_suffix(file: Path) -> None:
    with atomic.replacing(file) as temporary:
        assert temporary.suffix == ".json"
        temporary.write_text("x")

import os
import subprocess
import sys
from pathlib import Path

import pytest

import charaforge
from charaforge.errors import WarehouseError
from charaforge.warehouse import bootstrap as module

bootstrap = charaforge.bootstrap


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty project folder, which is the current one, with no setting in the environment."""
    monkeypatch.delenv("AI_CACHE_ROOT")
    monkeypatch.setattr(module, "SHARED_ROOT", tmp_path / "no-such-mount")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def test_env_file_is_read_and_the_real_environment_wins(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEFAULT_MODEL", "from-shell")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "placeholder")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (project / ".env").write_text(
        f"AI_CACHE_ROOT={project}/wh\nDEFAULT_MODEL=from-file\nCUDA_VISIBLE_DEVICES=3\n"
    )
    assert bootstrap().root == project / "wh"
    assert os.environ["DEFAULT_MODEL"] == "from-shell"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"


def test_env_file_of_the_project_counts_in_its_subfolders_but_not_one_above(project: Path) -> None:
    (project / "train").mkdir()
    (project.parent / ".env").write_text("A=1")
    assert module.find_env_file(project / "train") is None
    (project / ".env").write_text("A=1")
    assert module.find_env_file(project / "train") == project / ".env"


@pytest.mark.parametrize("value", ["", "  ", None])
def test_unset_root_falls_back_to_the_home_cache(
    project: Path, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("AI_CACHE_ROOT", value)
    assert bootstrap().root == Path.home() / ".cache" / "charaforge"


def test_unset_root_takes_the_shared_mount_where_it_is(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "mount").mkdir()
    monkeypatch.setattr(module, "SHARED_ROOT", project / "mount")
    assert bootstrap().root == project / "mount"


def test_variables_and_folders_of_the_mission(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_CACHE_ROOT", str(project / "wh"))
    bootstrap()
    root = f"{project}/wh"
    assert {name: os.environ[name] for name in ("HF_HOME", "HUGGINGFACE_HUB_CACHE", "TORCH_HOME")} == {
        "HF_HOME": f"{root}/hf",
        "HUGGINGFACE_HUB_CACHE": f"{root}/hf/hub",
        "TORCH_HOME": f"{root}/torch",
    }
    assert os.environ["TRANSFORMERS_CACHE"] == f"{root}/hf/transformers"
    assert os.environ["HF_DATASETS_CACHE"] == f"{root}/hf/datasets"
    kinds = ("sd", "sdxl", "controlnet", "lora", "ipadapter")
    made = [f"models/{kind}" for kind in kinds] + [
        f"datasets/{kind}" for kind in ("raw", "processed", "metadata")
    ]
    for folder in [*made, "outputs/charaforge-t2i-lab"]:
        assert Path(root, folder).is_dir(), folder


def test_unwritable_root_is_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "file").touch()
    monkeypatch.setenv("AI_CACHE_ROOT", str(project / "file" / "wh"))
    with pytest.raises(WarehouseError, match=r"file/wh cannot be written to \(Not a directory") as caught:
        bootstrap()
    assert "AI_CACHE_ROOT" in caught.value.hint


def test_folders_that_are_there_but_read_only_are_found_out(
    warehouse: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, data: bytes) -> int:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(WarehouseError, match="Permission denied"):
        bootstrap()


def test_the_line_is_written_once_to_stderr(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AI_CACHE_ROOT", str(project / "once"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    bootstrap()
    bootstrap()
    captured = capsys.readouterr()
    assert captured.err == f"[cache] {project}/once | GPU: False\n"
    assert captured.out == ""


@pytest.mark.launch
def test_bootstrap_imports_neither_torch_nor_hub(tmp_path: Path) -> None:
    heavy = "{'torch', 'huggingface_hub', 'numpy'}"
    code = f"import charaforge, sys; charaforge.bootstrap(); print({heavy} & set(sys.modules))"
    env = {**os.environ, "AI_CACHE_ROOT": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"

"""`charaforge models pull` against a hub on this machine: resumable, checked, safetensors and ONNX only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry
from charaforge.warehouse.upkeep import verify
from tests.fixtures.tiny_hub import COMMIT, TinyHub

pytestmark = pytest.mark.launch


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[TinyHub]:
    """A hub with a base in several variants, a ControlNet, a LoRA and a model of pickles."""
    root = tmp_path / "hub"
    base = root / "base"
    for part in ("unet", "vae", "text_encoder"):
        (base / part).mkdir(parents=True)
        (base / part / "config.json").write_text("{}")
    weights(base / "unet" / "diffusion_pytorch_model.safetensors", 40_000)
    weights(base / "unet" / "diffusion_pytorch_model.fp16.safetensors", 20_000)
    weights(base / "vae" / "diffusion_pytorch_model.fp16.safetensors", 300)
    weights(base / "text_encoder" / "model.safetensors", 300)
    for name in ("unet/diffusion_pytorch_model.bin", "whole.ckpt", "README.md"):
        (base / name).write_bytes(b"x" * 50)
    (base / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}))
    control = root / "control"
    control.mkdir()
    (control / "config.json").write_text(json.dumps({"_class_name": "ControlNetModel"}))
    weights(control / "diffusion_pytorch_model.safetensors", 300)
    lora = root / "loras"
    lora.mkdir()
    weights(lora / "style.safetensors", 300, ss_base_model_version="sdxl_base_v1-0")
    weights(lora / "other.safetensors", 300)
    (root / "pickles").mkdir()
    (root / "pickles" / "model.ckpt").write_bytes(b"x")
    running = TinyHub()
    running.models = {
        "some/base-xl": base,
        "some/control": control,
        "some/loras": lora,
        "some/pickles": root / "pickles",
    }
    with running.running():
        yield running


def weights(file: Path, count: int, **metadata: str) -> None:
    numbers = np.random.default_rng(count).standard_normal(count, dtype=np.float32)
    save_file({"a": numbers}, file, metadata=metadata)


def pull(hub: TinyHub, warehouse: Warehouse, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "AI_CACHE_ROOT": str(warehouse.root),
        "HF_ENDPOINT": hub.address,
        "HF_HUB_OFFLINE": "1",
        "no_proxy": "*",
    }
    command = [sys.executable, "-m", "charaforge.cli.main", "models", "pull", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_a_base_comes_whole_and_without_pickles(hub: TinyHub, warehouse: Warehouse) -> None:
    done = pull(hub, warehouse, "some/base-xl@v1")
    assert done.returncode == 0, done.stderr
    folder = warehouse.sdxl / "base-xl"
    assert done.stdout.strip() == str(folder)
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert files == {
        "card.json",
        "model_index.json",
        *(f"{part}/config.json" for part in ("unet", "vae", "text_encoder")),
        *(f"{part}/diffusion_pytorch_model.safetensors" for part in ("unet", "vae")),
        "text_encoder/model.safetensors",
    }
    source = hub.models["some/base-xl"]
    plain = "unet/diffusion_pytorch_model.safetensors"
    assert (folder / plain).read_bytes() == (source / plain).read_bytes()
    card = json.loads((folder / "card.json").read_text())
    assert card["source"] == {"hub": "some/base-xl", "revision": COMMIT, "asked": "v1"}
    assert (card["kind"], card["family"], card["license"]) == ("base", "sdxl", "mit")
    assert set(card["files"]) == files - {"card.json"}
    asked = [path for _, path, _ in hub.seen if "resolve" in path]
    assert len(asked) == len(set(asked)) + 1  # model_index.json is also looked into
    assert all(f"/resolve/{COMMIT}/" in path for path in asked)
    entry = Registry(warehouse).get("base-xl", "base")
    assert [finding.faults for finding in verify([entry])] == [()]


def test_an_interrupted_download_goes_on_in_another_process(hub: TinyHub, warehouse: Warehouse) -> None:
    hub.cut_after = 20_000
    broken = pull(hub, warehouse, "some/base-xl")
    assert broken.returncode == 1
    assert "connection broke" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert Registry(warehouse).list("base")[-1].embedded
    hub.cut_after = None
    hub.seen.clear()
    done = pull(hub, warehouse, "some/base-xl")
    assert done.returncode == 0, done.stderr
    ranges = [told for _, path, told in hub.seen if path.endswith("unet/diffusion_pytorch_model.safetensors")]
    assert ranges == [f"bytes={4 * 20_000}-"]
    unet = warehouse.sdxl / "base-xl" / "unet" / "diffusion_pytorch_model.safetensors"
    source = hub.models["some/base-xl"] / "unet" / "diffusion_pytorch_model.safetensors"
    assert unet.read_bytes() == source.read_bytes()


def test_a_file_that_arrives_changed_is_refused(hub: TinyHub, warehouse: Warehouse) -> None:
    hub.lies = {"diffusion_pytorch_model.safetensors"}
    done = pull(hub, warehouse, "some/control")
    assert done.returncode == 1
    assert "arrived broken" in done.stderr
    assert Registry(warehouse).list("controlnet") == [
        entry for entry in Registry(warehouse).list("controlnet") if entry.embedded
    ]
    hub.lies = set()
    assert pull(hub, warehouse, "some/control").returncode == 0
    assert (
        Registry(warehouse).get("control", "controlnet").path == warehouse.models / "controlnet" / "control"
    )


def test_one_file_of_several(hub: TinyHub, warehouse: Warehouse) -> None:
    several = pull(hub, warehouse, "some/loras", "--kind", "lora")
    assert several.returncode == 2
    assert "--file" in several.stderr
    done = pull(hub, warehouse, "some/loras", "--kind", "lora", "--file", "style.safetensors")
    assert done.returncode == 0, done.stderr
    entry = Registry(warehouse).get("style", "lora")
    assert (entry.family, (entry.path / "style.safetensors").is_file()) == ("sdxl", True)
    again = pull(hub, warehouse, "some/loras", "--kind", "lora", "--file", "style.safetensors")
    assert again.returncode == 2
    assert "already" in again.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["some/pickles", "--kind", "base"], "pickles only"),
        (["some/nothing"], "no model 'some/nothing'"),
        (["some/base-xl@v9"], "no revision 'v9'"),
        (["a b c"], "owner/name"),
        (["some/loras", "--file", "style.safetensors"], "--kind"),
        (["some/loras", "--file", "stile.safetensors"], "no file 'stile.safetensors'"),
        (["some/loras", "--file", "style.safetensors", "--kind", "loras"], "did you mean 'lora'"),
    ],
)
def test_what_cannot_be_fetched(hub: TinyHub, warehouse: Warehouse, words: list[str], told: str) -> None:
    done = pull(hub, warehouse, *words)
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hub_that_is_not_there(hub: TinyHub, warehouse: Warehouse) -> None:
    hub.address = "http://127.0.0.1:9"
    done = pull(hub, warehouse, "some/base-xl")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr

"""Models are kept as memory allows, with the LoRAs that are pinned to them."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from charaforge.diffusion.bundle import load_bundle
from charaforge.diffusion.lora_adapters import read_adapter
from charaforge.diffusion.single_file_export import write_single_file
from charaforge.errors import ModelFileError, UnknownNameError, UsageError
from charaforge.generation import lora_shelf, model_memory
from charaforge.generation.model_memory import Kept, budget_on, free_memory
from charaforge.generation.models import ModelShelf
from charaforge.requests.generation import LoraUse
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.pins import pin, unpin
from charaforge.warehouse.registry import Registry
from tests.fixtures.tiny_loras import random_lora
from tests.fixtures.tiny_models import tiny_sd
from tests.fixtures.tiny_sdxl import tiny_sdxl

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two bases of SD1.x, one of SDXL, and a LoRA for the first."""
    root = tmp_path_factory.mktemp("stock")
    first = tiny_sd(root / "sd" / "one")
    tiny_sd(root / "sd" / "two", seed=2)
    tiny_sdxl(root / "sdxl" / "xl")
    random_lora(root / "lora" / "charA" / "charA.safetensors", load_bundle(first, "one"), seed=1)
    return root


@pytest.fixture
def models(stock: Path, tmp_path: Path) -> Warehouse:
    warehouse = Warehouse(tmp_path / "warehouse")
    for folder in warehouse.folders:
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(stock, warehouse.models, dirs_exist_ok=True)
    return warehouse


@pytest.fixture
def shelf(models: Warehouse) -> ModelShelf:
    return ModelShelf(Registry(models), CPU)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The LoRA files that are read from now on."""
    seen: list[Path] = []
    real = lora_shelf.read_lora

    def counted(path: Path) -> object:
        seen.append(path)
        return real(path)

    monkeypatch.setattr(lora_shelf, "read_lora", counted)
    return seen


def test_bases_of_both_families_are_kept_side_by_side(shelf: ModelShelf) -> None:
    one, xl = shelf.base("one"), shelf.base("xl")
    assert (one.bundle.family, xl.bundle.family) == ("sd15", "sdxl")
    assert shelf.base("one") is one
    assert shelf.held == ["xl", "one"]


def test_the_one_used_longest_ago_makes_room(shelf: ModelShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    size = shelf.base("one").size
    monkeypatch.setenv("MODEL_MEMORY_GB", str(2.5 * size / 2**30))
    shelf.base("two")
    shelf.base("one")
    shelf.base("xl")
    assert shelf.held == ["xl"] if shelf.base("xl").size > 1.5 * size else ["one", "xl"]
    assert "two" not in shelf.held


def test_a_base_larger_than_the_budget_is_loaded_alone(
    shelf: ModelShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_MEMORY_GB", "1e-9")
    shelf.base("one")
    shelf.base("two")
    assert shelf.held == ["two"]


def test_the_budget_follows_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_memory(CPU) > 2**20
    monkeypatch.setattr(model_memory, "free_memory", lambda device: 1000)
    assert budget_on(CPU)(500) == 900
    monkeypatch.setenv("MODEL_MEMORY_GB", "many")
    with pytest.raises(UsageError, match="many"):
        budget_on(CPU)(0)


def test_pinned_models_go_last() -> None:
    kept: Kept[int] = Kept(lambda size: size, lambda held: 10)
    for name in ("a", "b", "c"):
        kept.put(name, 3)
    kept.make_room(6, frozenset({"a"}))
    assert list(kept) == ["a"]
    kept.make_room(9, frozenset({"a"}))
    assert list(kept) == []


def test_a_changed_file_is_loaded_again(shelf: ModelShelf, models: Warehouse) -> None:
    first = shelf.base("one")
    weights = models.sd / "one" / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(models.sd / "two" / "unet" / "diffusion_pytorch_model.safetensors", weights)
    again = shelf.base("one")
    assert again is not first
    assert again.bundle.sha256 != first.bundle.sha256


@pytest.mark.parametrize("place", ["loose", "folder"])
def test_single_files_are_bases(shelf: ModelShelf, models: Warehouse, place: str) -> None:
    file = models.sdxl / ("solo.safetensors" if place == "loose" else "solo/weights.safetensors")
    write_single_file(file, shelf.base("xl").bundle)
    base = shelf.base("solo")
    assert base.bundle.family == "sdxl"
    assert torch.equal(base.bundle.unet.conv_in.weight, shelf.base("xl").bundle.unet.conv_in.weight)
    shutil.copytree(models.sd / "one" / "vae", models.sd / "parts")
    (models.sd / "parts" / "config.json").unlink()
    shutil.copy(file, models.sd / "parts" / "more.safetensors")
    with pytest.raises(ModelFileError, match="2 safetensors files"):
        shelf.base("parts")


def test_another_vae(shelf: ModelShelf, models: Warehouse) -> None:
    shutil.copytree(models.sd / "two" / "vae", models.models / "vae" / "other")
    base, changed = shelf.base("one"), shelf.base("one", "other")
    assert changed.bundle.unet is base.bundle.unet
    assert changed.bundle.vae is not base.bundle.vae
    assert changed.vae is not None
    assert changed.vae.name == "other"
    assert shelf.base("one", "other") is changed
    assert shelf.base("one").vae is None
    with pytest.raises(UnknownNameError, match="did you mean 'other'"):
        shelf.base("one", "othr")


@pytest.mark.parametrize(
    ("told", "dtype"), [("", torch.float32), ("bf16", torch.bfloat16), ("float16", torch.float16)]
)
def test_types_of_weights(
    models: Warehouse, monkeypatch: pytest.MonkeyPatch, told: str, dtype: torch.dtype
) -> None:
    monkeypatch.setenv("MODEL_DTYPE", told)
    assert ModelShelf(Registry(models), CPU).base("one").bundle.dtype == dtype


def test_a_wrong_type_names_the_nearest(models: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_DTYPE", "float61")
    with pytest.raises(UnknownNameError, match="did you mean 'float16'"):
        ModelShelf(Registry(models), CPU)


def adapters(shelf: ModelShelf) -> Callable[[], int]:
    """Return how to count the layers that carry the LoRA."""
    base = shelf.base("one")
    lora = base.loras._read("charA")
    name = lora_shelf._adapter(lora)
    return lambda: len(read_adapter(base.bundle, name))


def test_what_is_pinned_is_read_once_and_freed_afterwards(
    shelf: ModelShelf, models: Warehouse, reads: list[Path]
) -> None:
    pin(models, "charA", "one")
    shelf.follow_pins()
    base = shelf.base("one")
    assert len(reads) == 1
    size = base.loras.size
    assert size > 0
    layers = adapters(shelf)
    assert layers() > 0
    active = base.loras.use([LoraUse(name="charA", weight=0.5)])
    assert active[0].file.layers
    base.loras.use([])
    shelf.follow_pins()
    assert len(reads) == 1
    unpin(models, "charA")
    count = layers()
    shelf.follow_pins()
    assert base.loras.size == 0
    assert count > 0
    assert read_adapter(base.bundle, lora_shelf._adapter(active[0].file)) == {}


def test_pinned_loras_outlive_many_others(shelf: ModelShelf, models: Warehouse, reads: list[Path]) -> None:
    base = shelf.base("one")
    for number in range(lora_shelf.KEPT + 2):
        random_lora(models.lora / f"other{number}.safetensors", base.bundle, seed=10 + number)
    pin(models, "charA", "one")
    shelf.follow_pins()
    for number in range(lora_shelf.KEPT + 2):
        base.loras.use([LoraUse(name=f"other{number}")])
    before = len(reads)
    base.loras.use([LoraUse(name="charA")])
    assert len(reads) == before
    base.loras.use([LoraUse(name="other0")])
    assert len(reads) == before + 1


def test_a_pin_that_cannot_be_loaded_is_told(
    shelf: ModelShelf, models: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    pin(models, "charA", "xl")
    with caplog.at_level(logging.WARNING, logger="charaforge"):
        faults = shelf.follow_pins()
    assert list(faults) == ["charA"]
    assert "charA, pinned to xl, is not loaded" in caplog.text
    assert shelf.follow_pins() == faults


def test_one_that_cannot_be_loaded_does_not_keep_others_out(
    shelf: ModelShelf, models: Warehouse, reads: list[Path]
) -> None:
    (models.lora / "broken.safetensors").write_bytes(b"no weights")
    pin(models, "broken", "one")
    pin(models, "charA", "one")
    assert list(shelf.follow_pins()) == ["broken"]
    assert adapters(shelf)() > 0


def test_the_same_content_under_two_names_acts_twice(shelf: ModelShelf, models: Warehouse) -> None:
    shutil.copy(models.lora / "charA" / "charA.safetensors", models.lora / "twin.safetensors")
    base = shelf.base("one")
    latents, states = torch.ones(1, 8, 8, 8), torch.ones(1, 77, 32)

    def output(*uses: LoraUse) -> torch.Tensor:
        base.loras.use(uses)
        with torch.no_grad():
            told: torch.Tensor = base.bundle.unet(latents, torch.tensor(500), states).sample
        return told

    both = output(LoraUse(name="charA", weight=0.25), LoraUse(name="twin", weight=0.5))
    assert torch.allclose(both, output(LoraUse(name="charA", weight=0.75)), atol=1e-4)
    assert torch.equal(output(LoraUse(name="charA", weight=0.0)), output())
    assert not torch.equal(output(LoraUse(name="charA", weight=1.0, blocks={"MID": 0.0})), output())
    text_only = output(LoraUse(name="charA", weight=0.0, te_weight=1.0))
    assert torch.equal(text_only, output())

"""What stands in a prompt acts on the picture, for both families, through the generator."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import save_file

from charaforge.diffusion.bundle import load_bundle
from charaforge.generation.generator import Generator
from charaforge.generation.outputs import png_bytes
from charaforge.perception.wd14 import WD14Tagger
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry
from tests.fixtures.tiny_loras import random_lora
from tests.fixtures.tiny_models import tiny_warehouse
from tests.fixtures.tiny_sdxl import tiny_sdxl


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """A warehouse with tiny-sd and tiny-sdxl."""
    warehouse = tiny_warehouse(tmp_path_factory.mktemp("both"))
    tiny_sdxl(warehouse.sdxl / "tiny-sdxl")
    return warehouse


def draw(generator: Generator, prompt: str, model: str = "tiny-sd", **given: object) -> bytes:
    told = {"prompt": prompt, "model": model, "width": 64, "height": 64, "steps": 3, "seed": 5}
    return png_bytes(generator.generate(GenerationRequest.model_validate(told | given))[0])


@pytest.mark.parametrize("model", ["tiny-sd", "tiny-sdxl"])
def test_each_part_of_the_syntax_changes_the_picture(both: Warehouse, model: str) -> None:
    generator = Generator(both, device="cpu")
    plain = draw(generator, "blue hair girl", model)
    assert draw(generator, "blue hair girl", model) == plain
    changed = [
        draw(generator, prompt, model)
        for prompt in ("(blue hair:1.5) girl", "blue hair [girl]", "blue hair BREAK girl", "girl " * 90)
    ]
    assert len({plain, *changed}) == 5


def test_sdxl_draws_what_plain_diffusers_draws(both: Warehouse) -> None:
    request = GenerationRequest(
        prompt="blue hair girl", model="tiny-sdxl", width=64, height=64, steps=4, seed=7, scheduler="euler"
    )
    ours = np.asarray(Generator(both, device="cpu").generate(request)[0].image, np.int16)
    pipe = StableDiffusionXLPipeline.from_pretrained(both.sdxl / "tiny-sdxl")
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(
        "blue hair girl",
        negative_prompt="",
        width=64,
        height=64,
        num_inference_steps=4,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(7),
    ).images[0]
    assert np.abs(ours - np.asarray(theirs, np.int16)).max() <= 1


def test_equal_prompts_of_different_models_are_not_confused(both: Warehouse) -> None:
    generator = Generator(both, device="cpu")
    first = draw(generator, "girl"), draw(generator, "girl", "tiny-sdxl")
    again = draw(generator, "girl"), draw(generator, "girl", "tiny-sdxl")
    assert first == again


def test_a_textual_inversion_acts_where_its_name_stands_and_is_recorded(both: Warehouse) -> None:
    generator = Generator(both, device="cpu")
    without = draw(generator, "girl, glow-x"), draw(generator, "girl")
    folder = both.embeddings / "glow-x"
    folder.mkdir(parents=True)
    pictures = []
    for seed in (1, 2):  # another file of the same name is noticed
        vectors = torch.randn(2, 32, generator=torch.Generator().manual_seed(seed))
        save_file({"emb_params": vectors}, folder / "glow-x.safetensors")
        pictures.append(draw(generator, "girl, Glow-X"))
    assert len({without[0], *pictures}) == 3
    assert draw(generator, "girl") == without[1]
    told = {"prompt": "glow-x", "model": "tiny-sd", "width": 64, "height": 64, "steps": 1}
    (picture,) = generator.generate(GenerationRequest.model_validate(told))
    digest = hashlib.sha256((folder / "glow-x.safetensors").read_bytes()).hexdigest()
    assert picture.recipe["nets"] == {"glow-x": digest}
    assert f'TI hashes: "glow-x: {digest[:12]}"' in picture.parameters


def test_a_placeholder_may_stand_for_a_textual_inversion(both: Warehouse) -> None:
    bundle = load_bundle(both.sd / "tiny-sd", "tiny-sd")
    random_lora(both.lora_folder("charA") / "charA.safetensors", bundle, seed=1)  # its character is "zxq"
    folder = both.embeddings / "zxq"
    folder.mkdir(parents=True)
    save_file({"emb_params": torch.ones(1, 32)}, folder / "zxq.safetensors")
    generator, lora = Generator(both, device="cpu"), [{"name": "charA"}]
    named = draw(generator, "girl, zxq", loras=lora)
    filled = draw(generator, "girl, [character]", loras=lora)
    pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in (named, filled)]
    assert np.array_equal(*pixels)
    shutil.rmtree(folder)
    without = draw(Generator(both, device="cpu"), "girl, [character]", loras=lora)
    assert not np.array_equal(np.asarray(Image.open(io.BytesIO(without))), pixels[0])


def test_a_weight_moves_what_a_tagger_sees(tmp_path: Path) -> None:
    """On the really trained mini-sd: two colours compete, the one with the weight wins."""
    warehouse = Warehouse(tmp_path)
    generator, registry = Generator(warehouse, device="cpu"), Registry(warehouse)
    tagger = WD14Tagger(registry.get("mini-tagger", "tagger").path)

    def blueness(weight: float) -> float:
        requests = [
            GenerationRequest(
                prompt=f"1girl, upper body, (blue hair:{weight}), red hair, short hair, white background",
                model="mini-sd",
                width=128,
                height=128,
                steps=8,
                seed=seed,
            )
            for seed in range(8)
        ]
        pictures: list[Image.Image] = [p.image for p in generator.generate_many(requests)]
        scores = tagger.tag(pictures)
        names = [name.replace("_", " ") for name in scores.names]
        return float(scores.probabilities[:, names.index("blue hair")].mean())

    assert blueness(1.6) > blueness(0.4) + 0.1

"""On the really trained mini family: a textual inversion and a style reference bring what they stand for."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

from charaforge.generation.generator import Generator
from charaforge.mini.render import render
from charaforge.mini.scenes import sample_scene
from charaforge.perception.wd14 import WD14Tagger
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

PICTURES = 8


class Bench:
    """Renders `PICTURES` pictures of a request, and tells how sure mini-tagger is of a tag in them."""

    def __init__(self, root: Path) -> None:
        self.warehouse = Warehouse(root)
        self.registry = Registry(self.warehouse)
        self._generator = Generator(self.warehouse, self.registry, device="cpu")
        self._tagger = WD14Tagger(self.registry.get("mini-tagger", "tagger").path)

    def sureness(self, tag: str, prompt: str, **fields: object) -> float:
        told = {"prompt": prompt, "model": "mini-sd", "width": 128, "height": 128, "steps": 8, **fields}
        requests = [GenerationRequest.model_validate({**told, "seed": seed}) for seed in range(PICTURES)]
        pictures: list[Image.Image] = [made.image for made in self._generator.generate_many(requests)]
        scores = self._tagger.tag(pictures)
        names = [name.replace("_", " ") for name in scores.names]
        return float(scores.probabilities[:, names.index(tag)].mean())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_textual_inversion_brings_its_look(bench: Bench) -> None:
    base = bench.registry.get("mini-sd", "base").path
    text = CLIPTextModel.from_pretrained(base / "text_encoder")
    ids = CLIPTokenizer.from_pretrained(base / "tokenizer")("blue hair", add_special_tokens=False).input_ids
    folder = bench.warehouse.embeddings / "aoi"
    folder.mkdir(parents=True)
    vectors = text.get_input_embeddings().weight[ids].detach().clone()
    save_file({"emb_params": vectors}, folder / "aoi.safetensors")
    prompt = "1girl, upper body, {}, short hair, white background"
    without, within = (bench.sureness("blue hair", prompt.format(word)) for word in ("smile", "aoi"))
    assert within > 0.9
    assert within > without + 0.5


def test_a_reference_of_style_brings_its_look(bench: Bench, tmp_path: Path) -> None:
    rng = random.Random(5)
    shown = next(scene for scene in iter(lambda: sample_scene(rng), None) if scene.hair == "green")
    picture = tmp_path / "reference.png"
    Image.fromarray(render(shown)).save(picture)
    prompt = "1girl, upper body, smile, standing, white background"
    references = [{"style_ref": str(picture)}]
    without = bench.sureness("green hair", prompt)
    within = bench.sureness("green hair", prompt, references=references)
    assert within > without + 0.5

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from PIL import Image

from charaforge.diffusion.bundle import load_bundle
from charaforge.errors import UnknownNameError
from charaforge.generation.generator import Generator
from charaforge.generation.lora_shelf import KEPT
from charaforge.generation.outputs import png_bytes
from charaforge.generation.provenance import GeneratedImage
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.samplers import SOLVERS
from charaforge.warehouse.layout import Warehouse
from tests.fixtures.tiny_loras import random_lora


def request(**fields: Any) -> GenerationRequest:
    told = {"prompt": "blue hair girl", "model": "tiny-sd", "steps": 3, "seed": 7, "width": 64, "height": 64}
    return GenerationRequest.model_validate({**told, **fields})


def pixels(image: Image.Image) -> Any:
    return np.asarray(image, dtype=np.int16)


def render(generator: Generator, **fields: Any) -> GeneratedImage:
    (image,) = generator.generate(request(**fields))
    return image


@pytest.mark.parametrize("size", [(64, 64), (512, 512), (96, 160), (768, 512)])
def test_pictures_have_exactly_the_size_asked(generator: Generator, size: tuple[int, int]) -> None:
    image = render(generator, width=size[0], height=size[1])
    assert image.image.size == size
    assert image.image.mode == "RGB"
    assert (image.recipe["upscaler"] is None) == (size == (64, 64))


def test_an_enlarged_picture_is_the_native_one_made_larger(generator: Generator) -> None:
    small, large = render(generator), render(generator, width=256, height=256)
    assert large.recipe["native"] == {"width": 64, "height": 64}
    assert np.array_equal(pixels(large.image)[::4, ::4], pixels(small.image))  # the upscaler repeats pixels


@pytest.mark.parametrize("field", ["prompt", "negative", "seed", "steps", "guidance", "scheduler"])
def test_every_field_acts(generator: Generator, field: str) -> None:
    other = {
        "prompt": "red hair girl",
        "negative": "smile",
        "seed": 8,
        "steps": 4,
        "guidance": 2.0,
        "scheduler": "euler_a",
    }
    changed = render(generator, **{field: other[field]})
    assert np.abs(pixels(changed.image) - pixels(render(generator).image)).max() > 1


@pytest.mark.parametrize("sampler", [*(s.name for s in SOLVERS), "dpmpp_2m_karras", "euler_exponential"])
def test_pictures_equal_those_of_plain_diffusers(generator: Generator, tiny: Warehouse, sampler: str) -> None:
    """Same model, prompt, seed and sampler in StableDiffusionPipeline."""
    import torch

    from charaforge.diffusion.samplers import make_scheduler

    diffusers_logging.disable_progress_bar()
    pipe = StableDiffusionPipeline.from_pretrained(tiny.sd / "tiny-sd", local_files_only=True)
    pipe.scheduler = make_scheduler(sampler, pipe.scheduler.config, 3)
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(
        "blue hair girl",
        negative_prompt="smile",
        width=64,
        height=64,
        num_inference_steps=3,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(7),
    ).images[0]
    ours = render(generator, negative="smile", scheduler=sampler).image
    assert np.array_equal(pixels(ours), pixels(theirs))


def test_guidance_1_is_the_prompt_alone(generator: Generator) -> None:
    assert png_pixels(generator, guidance=1.0, negative="smile") == png_pixels(generator, guidance=1.0)


def png_pixels(generator: Generator, **fields: Any) -> bytes:
    return render(generator, **fields).image.tobytes()


def test_loras_never_show_in_what_comes_after(generator: Generator) -> None:
    plain = render(generator)
    with_a = render(generator, loras=[{"name": "charA"}])
    with_b = render(generator, loras=[{"name": "charB", "weight": 0.5}])
    again = render(generator, loras=[{"name": "charA"}])
    assert png_bytes(again) == png_bytes(with_a)
    assert png_bytes(render(generator)) == png_bytes(plain)
    assert len({image.image.tobytes() for image in (plain, with_a, with_b)}) == 3
    both = render(generator, loras=[{"name": "charA"}, {"name": "charB", "weight": 0.5}])
    assert both.image.tobytes() != with_a.image.tobytes()
    assert (
        render(generator, loras=[{"name": "charA", "weight": 0.0}]).image.tobytes() == plain.image.tobytes()
    )


def test_a_picture_does_not_depend_on_its_neighbours(generator: Generator) -> None:
    eight = list(generator.generate_many([request(prompt=f"girl {n}", seed=n) for n in range(8)]))
    others = [request(prompt="smile", seed=90 + n) for n in range(5)]
    mixed = list(generator.generate_many([others[0], request(prompt="girl 3", seed=3), *others[1:]]))
    assert png_bytes(mixed[1]) == png_bytes(eight[3])
    assert {image.run["micro_batch"] for image in eight + mixed} == {8}


def test_count_gives_following_seeds(generator: Generator) -> None:
    three = generator.generate(request(count=3))
    assert [image.request.seed for image in three] == [7, 8, 9]
    assert png_bytes(three[2]) == png_bytes(render(generator, seed=9))


def test_a_random_seed_is_recorded_and_renders_the_same_again(generator: Generator) -> None:
    first = render(generator, seed=-1)
    seed = first.recipe["request"]["seed"]
    assert seed >= 0
    assert png_bytes(render(generator, seed=seed)) == png_bytes(first)


def test_placeholders_are_filled_from_the_lora(
    generator: Generator, caplog: pytest.LogCaptureFixture
) -> None:
    filled = render(generator, prompt="[character], [outfit], [style]", loras=[{"name": "charA"}])
    assert filled.recipe["rendered"]["prompt"] == "zxq, red hoodie"
    assert filled.recipe["request"]["prompt"] == "[character], [outfit], [style]"
    assert "[style] is left out" in caplog.text
    with caplog.at_level(logging.WARNING, logger="charaforge"):
        assert render(generator, prompt="girl [character]").recipe["rendered"]["prompt"] == "girl"
    assert "[character] is left out" in caplog.text


def test_progress_is_told_and_raising_in_it_cancels(generator: Generator) -> None:
    seen: list[tuple[int, int]] = []
    generator.generate(request(count=2, scheduler="heun"), lambda done, total: seen.append((done, total)))
    assert seen[-1] == (6, 6)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = render(generator)
    with pytest.raises(KeyboardInterrupt):
        generator.generate(request(), cancel)
    assert png_bytes(render(generator)) == png_bytes(before)


def test_unknown_names_are_told_with_the_nearest(generator: Generator) -> None:
    with pytest.raises(UnknownNameError, match="tiny-sd"):
        generator.generate(request(model="tiny-sf"))
    with pytest.raises(UnknownNameError, match="charA"):
        generator.generate(request(loras=[{"name": "charX"}]))


def test_a_lora_that_changes_on_the_disk_is_used_as_it_now_is(
    generator: Generator, tiny: Warehouse, tmp_path: Path
) -> None:
    before = render(generator, loras=[{"name": "charA"}])
    file = tiny.lora_folder("charA") / "charA.safetensors"
    original = file.read_bytes()
    try:
        file.write_bytes((tiny.lora_folder("charB") / "charB.safetensors").read_bytes())
        changed = render(generator, loras=[{"name": "charA"}])
    finally:
        file.write_bytes(original)
    assert changed.image.tobytes() == render(generator, loras=[{"name": "charB"}]).image.tobytes()
    assert changed.image.tobytes() != before.image.tobytes()


def test_two_names_of_the_same_lora_add_up(generator: Generator, tiny: Warehouse) -> None:
    file = tiny.lora_folder("charA") / "charA.safetensors"
    (tiny.lora / "copy.safetensors").write_bytes(file.read_bytes())
    halves = [{"name": "charA", "weight": 0.5}, {"name": "copy", "weight": 0.25}]
    whole = render(generator, loras=[{"name": "charA", "weight": 0.75}])
    joined = render(generator, loras=halves)
    assert np.abs(pixels(joined.image) - pixels(whole.image)).max() <= 1


def test_more_loras_than_are_kept_still_act_alike(generator: Generator, tiny: Warehouse) -> None:
    first = render(generator, loras=[{"name": "charA"}])
    bundle = load_bundle(tiny.sd / "tiny-sd", "tiny-sd")
    for seed in range(10, 10 + KEPT + 1):
        random_lora(tiny.lora / f"more{seed}.safetensors", bundle, seed=seed)
        render(generator, loras=[{"name": f"more{seed}"}], steps=1)
    assert png_bytes(render(generator, loras=[{"name": "charA"}])) == png_bytes(first)

"""Img2img, inpainting, hires passes, variations, controls and references, on tiny random models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from charaforge.errors import ModelFileError, UnknownNameError, UsageError
from charaforge.generation.generator import Generator, Way
from charaforge.generation.outputs import png_bytes
from charaforge.generation.provenance import GeneratedImage
from charaforge.requests.generation import GenerationRequest
from charaforge.warehouse.layout import Warehouse

KEYPOINTS = {
    "canvas_width": 64,
    "canvas_height": 64,
    "people": [{"pose_keypoints_2d": [v for n in range(18) for v in (8 + 3 * n, 60 - 3 * n, 1.0)]}],
}


def request(**fields: Any) -> GenerationRequest:
    told = {"prompt": "blue hair girl", "model": "tiny-sd", "steps": 4, "seed": 7, "width": 64, "height": 64}
    return GenerationRequest.model_validate({**told, **fields})


def render(generator: Generator, **fields: Any) -> GeneratedImage:
    (image,) = generator.generate(request(**fields))
    return image


def pixels(image: GeneratedImage | Image.Image) -> Any:
    return np.asarray(image if isinstance(image, Image.Image) else image.image, np.int16)


def differ(one: GeneratedImage, two: GeneratedImage) -> bool:
    return bool((pixels(one) != pixels(two)).any())


class TestImg2Img:
    def test_more_denoising_goes_further_from_the_start(self, generator: Generator, drawn: Path) -> None:
        start = str(drawn / "square.png")
        found = [
            render(generator, init={"image": start, "denoise": share}, steps=8) for share in (0.125, 0.5, 1.0)
        ]
        original = pixels(Image.open(start))
        far = [np.abs(pixels(image) - original).mean() for image in found]
        assert far[0] != far[1] != far[2]
        assert [differ(found[0], found[1]), differ(found[1], found[2])] == [True, True]

    def test_without_denoising_the_picture_is_kept(self, generator: Generator, drawn: Path) -> None:
        kept = render(generator, init={"image": str(drawn / "square.png"), "denoise": 0.0})
        assert np.array_equal(pixels(kept), pixels(Image.open(drawn / "square.png")))

    @pytest.mark.parametrize("sampler", ["ddim", "euler_a", "heun", "dpmpp_2m_karras", "dpmpp_sde", "lcm"])
    def test_every_kind_of_sampler_starts_in_the_middle(
        self, generator: Generator, drawn: Path, sampler: str
    ) -> None:
        steps: list[int] = []
        generator.generate(
            request(
                init={"image": str(drawn / "square.png"), "denoise": 0.5},
                steps=10,
                scheduler=sampler,
                guidance=1,
            ),
            lambda done, total: steps.append(done),
        )
        assert len(steps) == (9 if sampler == "heun" else 5)
        assert steps[-1] == 10

    def test_the_start_may_have_any_size(self, generator: Generator, drawn: Path) -> None:
        image = render(generator, init={"image": str(drawn / "photo.png")}, width=256, height=128)
        assert image.image.size == (256, 128)


class TestInpainting:
    def masked(self, generator: Generator, drawn: Path, **more: Any) -> GeneratedImage:
        init = {"image": str(drawn / "square.png"), "mask": str(drawn / "mask.png"), "denoise": 1.0, **more}
        return render(generator, init=init)

    @pytest.mark.parametrize(
        "more", [{}, {"area": "masked", "padding": 8}, {"fill": "noise"}, {"fill": "blur"}]
    )
    def test_only_the_masked_part_changes(
        self, generator: Generator, drawn: Path, more: dict[str, Any]
    ) -> None:
        original = pixels(Image.open(drawn / "square.png"))
        changed = np.abs(pixels(self.masked(generator, drawn, mask_blur=2, **more)) - original).max(-1)
        assert changed[8:32, 8:24].mean() > 5
        changed[2:38, 2:30] = 0  # the mask and its blur
        assert not changed.any()

    def test_a_hard_mask_keeps_all_outside_of_it(self, generator: Generator, drawn: Path) -> None:
        original = pixels(Image.open(drawn / "square.png"))
        changed = np.abs(pixels(self.masked(generator, drawn, mask_blur=0)) - original).max(-1)
        changed[8:32, 8:24] = 0
        assert not changed.any()

    def test_fills_and_areas_act(self, generator: Generator, drawn: Path) -> None:
        kinds: list[dict[str, Any]] = [
            {},
            {"fill": "noise"},
            {"fill": "blur"},
            {"area": "masked", "padding": 0},
        ]
        found = [self.masked(generator, drawn, **{**kind, "denoise": 0.25}) for kind in kinds]
        assert len({image.image.tobytes() for image in found}) == 4

    def test_large_pictures_keep_what_is_not_masked(self, generator: Generator, drawn: Path) -> None:
        init = {"image": str(drawn / "square.png"), "mask": str(drawn / "mask.png"), "area": "masked"}
        large = render(generator, init={**init, "padding": 0, "mask_blur": 1}, width=512, height=512)
        original = Image.open(drawn / "square.png").resize((512, 512), Image.Resampling.LANCZOS)
        changed = np.abs(pixels(large) - pixels(original)).max(-1)
        assert changed[80:240, 80:180].mean() > 5
        assert not changed[300:].any()

    def test_a_black_mask_is_an_error(self, generator: Generator, drawn: Path, tmp_path: Path) -> None:
        Image.new("L", (8, 8)).save(tmp_path / "black.png")
        with pytest.raises(UsageError, match="black everywhere"):
            self.masked(generator, drawn, mask=str(tmp_path / "black.png"))


class TestHires:
    @pytest.mark.parametrize("upscaler", ["latent", "lanczos", "tiny-upscaler"])
    def test_a_second_pass_changes_what_the_first_made(self, generator: Generator, upscaler: str) -> None:
        hires = {"scale": 2.0, "upscaler": upscaler, "denoise": 0.5}
        image = render(generator, width=256, height=256, hires=hires)
        assert image.image.size == (256, 256)
        assert image.recipe["native"] == {"width": 64, "height": 64}
        assert differ(image, render(generator, width=256, height=256))

    def test_other_models_begin_smaller_and_every_upscaler_acts(self, generator: Generator) -> None:
        large: dict[str, Any] = {"model": "tiny-large", "width": 128, "height": 128}
        plain = render(generator, **large)
        found = [plain.image.tobytes()]
        for upscaler in ("latent", "lanczos", "tiny-upscaler"):
            hires = {"scale": 2.0, "upscaler": upscaler, "denoise": 0.25}
            image = render(generator, **large, hires=hires)
            assert image.image.size == (128, 128)
            assert image.recipe["native"] == {"width": 128, "height": 128}
            found.append(image.image.tobytes())
        assert len(set(found)) == 4

    def test_small_pictures_are_refined_in_place(self, generator: Generator) -> None:
        image = render(generator, hires={"scale": 2.0, "steps": 2, "denoise": 0.5})
        assert image.recipe["native"] == {"width": 64, "height": 64}
        assert image.recipe["upscaler"] is None

    def test_progress_reaches_the_end_once(self, generator: Generator) -> None:
        seen: list[tuple[int, int]] = []
        generator.generate(request(hires={"scale": 2.0}), lambda *told: seen.append(told))
        assert seen[-1] == (4, 4)
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    def test_with_a_start_it_is_refused(self, drawn: Path) -> None:
        with pytest.raises(ValidationError, match="with init"):
            request(hires={}, init={"image": str(drawn / "square.png")})


class TestVariation:
    def test_its_ends_are_the_two_seeds(self, generator: Generator) -> None:
        def varied(strength: float) -> GeneratedImage:
            return render(generator, scheduler="ddim", variation={"seed": 99, "strength": strength})

        plain, other = render(generator, scheduler="ddim"), render(generator, scheduler="ddim", seed=99)
        assert not differ(varied(0.0), plain)
        assert not differ(varied(1.0), other)
        assert differ(varied(0.3), plain)
        assert differ(varied(0.3), other)

    def test_several_pictures_vary_around_one_seed(self, generator: Generator) -> None:
        two = generator.generate(request(count=2, variation={"strength": 0.2}))
        told = [image.recipe["request"] for image in two]
        assert [one["seed"] for one in told] == [7, 7]
        assert told[1]["variation"]["seed"] == told[0]["variation"]["seed"] + 1
        assert png_bytes(render(generator, variation=told[1]["variation"])) == png_bytes(two[1])


class TestControl:
    def controlled(self, generator: Generator, *controls: dict[str, Any], **more: Any) -> GeneratedImage:
        return render(generator, controls=list(controls), **more)

    def test_strength_0_is_the_base_exactly_and_more_is_not(self, generator: Generator, drawn: Path) -> None:
        control = {"type": "lineart", "image": str(drawn / "map.png")}
        plain = render(generator)
        none = self.controlled(generator, {**control, "strength": 0.0})
        assert np.array_equal(pixels(none), pixels(plain))
        acting = self.controlled(generator, control)
        assert differ(acting, plain)
        assert differ(self.controlled(generator, {**control, "strength": 0.4}), acting)
        assert png_bytes(render(generator)) == png_bytes(plain)

    def test_start_and_end_bound_it(self, generator: Generator, drawn: Path) -> None:
        control = {"type": "lineart", "image": str(drawn / "map.png")}
        parts = [{}, {"end": 0.5}, {"start": 0.5}, {"start": 0.9, "end": 0.95}]
        found = [self.controlled(generator, {**control, **part}).image.tobytes() for part in parts]
        assert len(set(found)) == 4
        assert found[3] == render(generator).image.tobytes()  # it would act in no step

    def test_several_add_up(self, generator: Generator, drawn: Path) -> None:
        lines = {"type": "lineart", "image": str(drawn / "map.png")}
        pose = {"type": "pose", "keypoints": KEYPOINTS}
        both = self.controlled(generator, lines, pose)
        assert differ(both, self.controlled(generator, lines))
        assert differ(both, self.controlled(generator, pose))
        assert both.recipe["nets"].keys() == {"tiny-edges", "tiny-pose"}

    def test_keypoints_are_the_same_from_the_request_and_from_a_file(
        self, generator: Generator, tmp_path: Path
    ) -> None:
        (tmp_path / "pose.json").write_text(json.dumps(KEYPOINTS), encoding="utf-8")
        told = self.controlled(generator, {"type": "pose", "keypoints": KEYPOINTS})
        filed = self.controlled(generator, {"type": "pose", "image": str(tmp_path / "pose.json")})
        assert told.image.tobytes() == filed.image.tobytes()

    @pytest.mark.parametrize("kind", ["canny", "depth", "lineart"])
    def test_pictures_become_maps(self, generator: Generator, drawn: Path, kind: str) -> None:
        control = {"type": kind, "image": str(drawn / "photo.png")}
        made = self.controlled(generator, control)
        raw = self.controlled(generator, {**control, "preprocessor": "none"})
        assert differ(made, raw)
        assert ("mini-annotator" in made.recipe["nets"]) == (kind != "canny")

    def test_unknown_names_and_other_bases_are_told(
        self, generator: Generator, drawn: Path, tiny: Warehouse
    ) -> None:
        control = {"type": "depth", "image": str(drawn / "photo.png")}
        with pytest.raises(UnknownNameError, match="mini-annotator"):
            self.controlled(generator, {**control, "preprocessor": "mini-anotator"})
        with pytest.raises(UnknownNameError, match="tiny-edges"):
            self.controlled(generator, {**control, "model": "tiny-edge"})
        foreign = tiny.models / "controlnet" / "foreign"
        (foreign).mkdir(exist_ok=True)
        source = tiny.models / "controlnet" / "tiny-edges"
        config = json.loads((source / "config.json").read_text())
        (foreign / "config.json").write_text(json.dumps({**config, "in_channels": 4}))
        weights = "diffusion_pytorch_model.safetensors"
        (foreign / weights).write_bytes((source / weights).read_bytes())
        with pytest.raises(ModelFileError, match="foreign"):
            self.controlled(generator, {**control, "model": "foreign"})


class TestReferences:
    def test_weight_0_is_the_base_exactly_and_more_is_not(self, generator: Generator, drawn: Path) -> None:
        face = {"face_ref": str(drawn / "square.png")}
        plain = render(generator)
        assert np.array_equal(pixels(render(generator, references=[{**face, "weight": 0.0}])), pixels(plain))
        acting = render(generator, references=[face])
        assert differ(acting, plain)
        other = render(generator, references=[{"face_ref": str(drawn / "other.png")}])
        both = render(generator, references=[face, {"style_ref": str(drawn / "other.png"), "weight": 0.5}])
        weak = render(generator, references=[{**face, "weight": 0.3}])
        pictures = (plain, acting, other, both, weak)
        assert len({image.image.tobytes() for image in pictures}) == 5
        assert png_bytes(render(generator)) == png_bytes(plain)

    def test_with_lora_and_control_and_back(self, generator: Generator, drawn: Path) -> None:
        everything: dict[str, Any] = {
            "references": [{"face_ref": str(drawn / "square.png")}],
            "controls": [{"type": "lineart", "image": str(drawn / "map.png")}],
            "loras": [{"name": "charA"}, {"name": "charB", "weight": 0.5}],
        }
        first = render(generator, **everything)
        render(generator, references=everything["references"])
        assert png_bytes(render(generator, **everything)) == png_bytes(first)
        for left_out in everything:
            rest = {key: value for key, value in everything.items() if key != left_out}
            assert differ(render(generator, **rest), first)

    def test_they_equal_those_of_plain_diffusers(
        self, generator: Generator, tiny: Warehouse, drawn: Path
    ) -> None:
        import torch
        from diffusers import StableDiffusionPipeline

        from charaforge.diffusion.bundle import load_bundle
        from charaforge.diffusion.ip_adapter import load_ip_adapter
        from charaforge.diffusion.samplers import make_scheduler

        bundle = load_bundle(tiny.sd / "tiny-sd", "tiny-sd")
        adapter = load_ip_adapter(tiny.models / "ipadapter" / "tiny-face", "tiny-face", bundle)
        pipe = StableDiffusionPipeline.from_pretrained(tiny.sd / "tiny-sd", local_files_only=True)
        pipe.set_progress_bar_config(disable=True)
        pipe.load_ip_adapter(
            str(tiny.models / "ipadapter"),
            subfolder="tiny-face",
            weight_name="ip-adapter.safetensors",
            image_encoder_folder=None,
            local_files_only=True,
        )
        pipe.set_ip_adapter_scale(0.7)
        pipe.scheduler = make_scheduler("ddim", pipe.scheduler.config, 4)
        with torch.no_grad():
            from charaforge.diffusion.ip_adapter import prepare

            pixel_values = prepare(Image.open(drawn / "square.png"), 32)
            embeds = adapter.encoder(pixel_values).image_embeds[:, None]
        theirs = pipe(
            "blue hair girl",
            width=64,
            height=64,
            num_inference_steps=4,
            guidance_scale=5.0,
            ip_adapter_image_embeds=[torch.cat([torch.zeros_like(embeds), embeds])],
            generator=torch.Generator().manual_seed(7),
        ).images[0]
        face = {"face_ref": str(drawn / "square.png"), "weight": 0.7}
        ours = render(generator, references=[face], scheduler="ddim")
        assert np.abs(pixels(ours) - pixels(theirs)).max() <= 1


def test_neighbours_with_other_inputs_do_not_matter(generator: Generator, drawn: Path) -> None:
    def one(seed: int, name: str) -> GenerationRequest:
        path = str(drawn / f"{name}.png")
        return request(
            seed=seed,
            controls=[{"type": "lineart", "image": path, "preprocessor": "none"}],
            references=[{"face_ref": path}],
            init={"image": path, "denoise": 0.5},
            variation={"seed": seed, "strength": 0.2},
        )

    chosen = one(3, "square")
    crowd = [one(n, "other" if n % 2 else "photo") for n in range(7)]
    in_first, in_last = ([*crowd[:place], chosen, *crowd[place:]] for place in (0, 7))
    first, *_ = generator.generate_many(in_first)
    last = list(generator.generate_many(in_last))[7]
    assert first.run["micro_batch"] == last.run["micro_batch"] == 8
    assert png_bytes(first) == png_bytes(last)
    (padded,) = generator.generate_many([chosen], way=Way(micro_batch=8))
    assert png_bytes(padded) == png_bytes(first)


def test_recipes_name_files_by_content_and_keep_them(
    generator: Generator, tiny: Warehouse, drawn: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.png"
    moved.write_bytes((drawn / "square.png").read_bytes())
    one, two = (
        render(generator, init={"image": str(path), "denoise": 0.5}) for path in (drawn / "square.png", moved)
    )
    assert png_bytes(one) == png_bytes(two)
    named = one.recipe["request"]["init"]["image"]
    moved.unlink()
    (kept,) = tiny.uploads.glob(f"*/{named.removeprefix('sha256:')}.png")
    assert png_bytes(render(generator, init={"image": named, "denoise": 0.5})) == png_bytes(one)
    kept.write_bytes(b'{"changed": 1}')
    with pytest.raises(UsageError, match="was changed"):
        render(generator, init={"image": named, "denoise": 0.5})
    kept.write_bytes((drawn / "square.png").read_bytes())


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n broken", None])
def test_files_that_are_no_pictures_are_told(
    generator: Generator, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "file.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"file\.png"):
        render(generator, init={"image": str(path)})
    with pytest.raises(UsageError, match="no file sha256"):
        render(generator, init={"image": "sha256:" + "0" * 64})


def test_too_many_pixels_are_refused_before_they_are_decoded(generator: Generator, tmp_path: Path) -> None:
    Image.new("1", (4097, 4097)).save(tmp_path / "large.png")
    with pytest.raises(UsageError, match="4097"):
        render(generator, init={"image": str(tmp_path / "large.png")})

"""What pictures say of their making, as each program writes it."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from charaforge.errors import UsageError
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.infotext import infotext
from charaforge.requests.inspection import Inspected, inspect_picture, inspect_texts
from charaforge.requests.samplers import SAMPLERS

A1111 = """masterpiece, (1girl:1.2), {a|b},
blue hair <lora:My Char v2:0.8> <hypernet:x:1>
Negative prompt: blurry,
bad hands
Steps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 99, Size: 512x768, \
Model hash: abcdef0123, Model: some Model v3, VAE: x.vae.safetensors, Denoising strength: 0.4, Clip skip: 2, \
Variation seed: 5, Variation seed strength: 0.25, ENSD: 31337, Hires upscale: 1.5, Hires steps: 12, \
Hires upscaler: Latent, Lora hashes: "My Char v2: 0123456789ab", ADetailer model: "face, hand: x", \
Version: v1.10"""

COMFY: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 7,
            "steps": 18,
            "cfg": 4.5,
            "sampler_name": "euler_ancestral",
            "scheduler": "normal",
            "denoise": 1.0,
            "model": ["11", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sub/base v1.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 640, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["20", 0], "clip": ["9", 0]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry AND embedding:bad-x", "clip": ["9", 0]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["13", 0], "vae": ["4", 2]}},
    "9": {"class_type": "CLIPSetLastLayer", "inputs": {"stop_at_clip_layer": -2, "clip": ["11", 1]}},
    "10": {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "a.safetensors",
            "strength_model": 0.8,
            "strength_clip": 0.8,
            "model": ["4", 0],
        },
    },
    "11": {
        "class_type": "LoraLoader",
        "inputs": {
            "lora_name": "b.safetensors",
            "strength_model": 0.5,
            "strength_clip": 1,
            "model": ["10", 0],
        },
    },
    "12": {
        "class_type": "LatentUpscaleBy",
        "inputs": {"upscale_method": "bilinear", "scale_by": 1.5, "samples": ["3", 0]},
    },
    "13": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 8,
            "steps": 10,
            "cfg": 4.5,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 0.45,
            "model": ["11", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["12", 0],
        },
    },
    "19": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "x"}},
    "20": {"class_type": "PrimitiveString", "inputs": {"value": "girl [hat], (blue hair:1.2)"}},
    "21": {"class_type": "FreeU_V2", "inputs": {}},
}


def request_of(found: Inspected) -> GenerationRequest:
    assert found.request is not None, found.unmapped
    return found.request


def test_a1111_text_is_read() -> None:
    found = inspect_texts({"parameters": A1111})
    request = request_of(found)
    assert found.source == "a1111"
    assert request.prompt == "masterpiece, (1girl:1.2), \\{a|b\\},\nblue hair"
    assert request.negative == "blurry,\nbad hands"
    assert (request.steps, request.guidance, request.seed, request.clip_skip) == (25, 6.5, 99, 2)
    assert (request.scheduler, request.model, request.vae) == ("dpmpp_2m_karras", "some-Model-v3", "x.vae")
    assert (request.width, request.height) == (768, 1152)
    assert request.hires is not None
    assert (request.hires.scale, request.hires.denoise, request.hires.steps) == (1.5, 0.4, 12)
    assert request.variation is not None
    assert (request.variation.seed, request.variation.strength) == (5, 0.25)
    assert [(lora.name, lora.weight) for lora in request.loras] == [("My-Char-v2", 0.8)]
    told = "\n".join(found.unmapped)
    for word in ("hypernet", "ENSD: 31337", "ADetailer model: face, hand: x", "RNG: GPU"):
        assert word in told
    assert "Version" not in told


def test_older_a1111_wrote_sampler_and_schedule_in_one() -> None:
    pairs = (
        "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, Size: 512x512, Denoising strength: 0.6"
    )
    text = f"girl\n{pairs}"
    found = inspect_texts({"parameters": text})
    assert request_of(found).scheduler == "dpmpp_2m_karras"
    assert any("drawn over" in what for what in found.unmapped)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\nSteps: 20, Sampler: Restart, CFG scale: 7, Seed: 1", "sampler 'Restart': not offered"),
        ("a\nSteps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7", "schedule 'Karras'"),
        ("a\nSteps: 999, Sampler: Euler, CFG scale: 7", "steps: '999'"),
        ("a\nSteps: 20, Sampler: Euler, CFG scale: 7, Size: 513x512", "width: 513"),
        ("a\nSteps: 20, Sampler: Euler, CFG scale: 7", "model: not told"),
        ("a <lora:x:1> <lora:x:2>\nSteps: 20, Sampler: Euler, CFG scale: 7", "'x' once more"),
    ],
)
def test_what_does_not_fit_is_told_and_left_out(text: str, told: str) -> None:
    found = inspect_texts({"parameters": text})
    assert request_of(found).prompt == "a"
    assert told in "\n".join(found.unmapped)


def test_comfyui_is_walked_back_from_what_was_saved() -> None:
    found = inspect_texts({"prompt": json.dumps(COMFY), "workflow": "{}"})
    request = request_of(found)
    assert found.source == "comfyui"
    assert request.prompt == r"girl \[hat\], (blue hair:1.2)"
    assert request.negative == r"blurry A\ND bad-x"
    assert (request.steps, request.guidance, request.seed, request.clip_skip) == (18, 4.5, 7, 2)
    assert (request.scheduler, request.model) == ("euler_a_uniform", "base-v1")
    assert (request.width, request.height) == (768, 960)
    assert request.hires is not None
    assert (request.hires.scale, request.hires.denoise, request.hires.steps) == (1.5, 0.45, 10)
    assert [(lora.name, lora.weight, lora.te_weight) for lora in request.loras] == [
        ("a", 0.8, None),
        ("b", 0.5, 1.0),
    ]
    assert found.unmapped == ("node FreeU_V2",)


def test_a_graph_in_a_circle_or_of_other_nodes_is_no_trouble() -> None:
    circle = json.loads(json.dumps(COMFY))
    circle["10"]["inputs"]["model"] = ["11", 0]
    circle["5"] = {"class_type": "X", "inputs": {"samples": ["3", 0], "width": "wide"}}
    assert inspect_texts({"prompt": json.dumps(circle)}).source == "comfyui"
    found = inspect_texts({"prompt": json.dumps({"1": {"class_type": "SamplerCustom"}})})
    assert (found.source, found.request) == ("comfyui", None)
    assert "SamplerCustom" in found.unmapped[0]


def test_invokeai_is_read() -> None:
    said = {
        "app_version": "6.1.0",
        "generation_mode": "txt2img",
        "positive_prompt": "girl, (blue hair)1.2, smile++",
        "negative_prompt": "blurry",
        "width": 512,
        "height": 640,
        "seed": 3,
        "rand_device": "cpu",
        "cfg_scale": 6.0,
        "steps": 22,
        "scheduler": "dpmpp_2m_k",
        "clip_skip": 1,
        "model": {"key": "k", "name": "Dream Shaper 8", "base": "sd-1", "type": "main"},
        "loras": [{"model": {"name": "charA"}, "weight": 0.75}],
        "seamless_x": True,
    }
    found = inspect_texts({"invokeai_metadata": json.dumps(said)})
    request = request_of(found)
    assert (found.source, found.unmapped) == ("invokeai", ("seamless_x: True",))
    assert request.prompt == "girl, (blue hair:1.2), (smile:1.21)"
    assert (request.scheduler, request.clip_skip, request.model) == ("dpmpp_2m_karras", 2, "Dream-Shaper-8")
    assert (request.steps, request.guidance, request.width, request.height) == (22, 6.0, 512, 640)
    assert [(lora.name, lora.weight) for lora in request.loras] == [("charA", 0.75)]


def test_swarmui_is_read() -> None:
    said = {
        "prompt": "girl",
        "negativeprompt": "blurry",
        "model": "OfficialStableDiffusion/sd_xl_base_1.0",
        "seed": 4,
        "steps": 20,
        "cfgscale": 7,
        "width": 1024,
        "height": 1024,
        "sampler": "dpmpp_2m",
        "scheduler": "karras",
        "loras": ["charA", "charB"],
        "loraweights": ["0.5", "1"],
        "clipstopatlayer": -2,
        "freeuversion": "2",
        "swarm_version": "0.9.8",
    }
    found = inspect_texts({"parameters": json.dumps({"sui_image_params": said, "sui_extra_data": {}})})
    request = request_of(found)
    assert (found.source, found.unmapped) == ("swarmui", ("freeuversion: 2",))
    assert (request.model, request.clip_skip, request.scheduler) == ("sd_xl_base_1.0", 2, "dpmpp_2m_karras")
    assert [(lora.name, lora.weight) for lora in request.loras] == [("charA", 0.5), ("charB", 1.0)]


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_jpeg_and_webp_carry_the_text_in_exif(tmp_path: Path, suffix: str, order: str) -> None:
    text = A1111 + ", Note: 東京"
    coded = text.encode("utf-16-be" if order == ">" else "utf-16-le")
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + coded
    Image.new("RGB", (8, 8)).save(tmp_path / f"a{suffix}", exif=exif)
    found = inspect_picture(tmp_path / f"a{suffix}")
    assert found.source == "a1111"
    assert found.parameters == text
    assert "Note: 東京" in found.unmapped


def test_a_picture_without_words_and_what_is_no_picture(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    assert inspect_picture(tmp_path / "plain.png") == Inspected("")
    (tmp_path / "no.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 99))
    for name in ("no.png", "missing.png"):
        with pytest.raises(UsageError, match=f"{name} cannot be read"):
            inspect_picture(tmp_path / name)


SAID = st.text(st.sampled_from('{}[]"\\:,|<>()_ abc123\nSteps'), max_size=80)
VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), SAID),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(SAID, inner, max_size=3)),
    max_leaves=8,
)
COMFY_KEYS = [
    *("text", "model", "positive", "negative", "latent_image", "width", "height", "scale_by", "seed"),
    *("samples", "images", "lora_name", "ckpt_name", "strength_model", "clip", "denoise", "sampler_name"),
]
LINK = st.tuples(st.sampled_from("12345"), st.integers(0, 2)).map(list)
GRAPH = st.dictionaries(
    st.sampled_from("12345"),
    st.fixed_dictionaries(
        {
            "class_type": st.sampled_from(
                [
                    "KSampler",
                    "SaveImage",
                    "CLIPTextEncode",
                    "LatentUpscaleBy",
                    "EmptyLatentImage",
                    "LoraLoader",
                ]
            ),
            "inputs": st.dictionaries(st.sampled_from(COMFY_KEYS), st.one_of(LINK, VALUE), max_size=8),
        }
    ),
    max_size=5,
)
INVOKE = st.dictionaries(
    st.sampled_from(["positive_prompt", "seed", "scheduler", "model", "loras", "clip_skip", "width", "vae"]),
    st.one_of(
        VALUE, st.lists(st.dictionaries(st.sampled_from(["model", "lora", "weight"]), VALUE), max_size=3)
    ),
)
SWARM = st.dictionaries(
    st.sampled_from(["prompt", "loras", "loraweights", "sampler", "vae", "clipstopatlayer", "variationseed"]),
    VALUE,
)


@given(st.one_of(SAID, st.text()), GRAPH, INVOKE, SWARM, VALUE)
def test_nothing_that_a_file_may_say_breaks_the_readers(
    text: str, graph: dict[str, Any], invoke: dict[str, Any], swarm: dict[str, Any], own: object
) -> None:
    inspect_texts({"parameters": f"{text}\nSteps: {text}, Sampler: Euler, Size: 8x8, Hires upscale: {text}"})
    inspect_texts({"parameters": text, "prompt": text})
    inspect_texts({"prompt": json.dumps(graph)})
    inspect_texts({"invokeai_metadata": json.dumps(invoke)})
    inspect_texts({"parameters": json.dumps({"sui_image_params": swarm})})
    inspect_texts({"charaforge": json.dumps({"request": own})})
    inspect_texts({"charaforge": json.dumps({"request": {"prompt": own, "loras": own, "hires": own}})})


def some_request(draw: random.Random) -> GenerationRequest:
    """Return a request of words alone, settled, of all that A1111's text can say."""
    words = [
        "1girl",
        "(blue hair:1.3)",
        "[hat]",
        r"zxq \(series\)",
        "16:9, x",
        "a\nb",
        "BREAK",
        '"q"',
        "東京",
    ]
    scale = draw.choice([1.25, 1.5, 2.0, 3.0])
    told: dict[str, Any] = {
        "prompt": ", ".join(draw.sample(words, draw.randint(1, 6))),
        "negative": draw.choice(["", "blurry", "a: b,\nc"]),
        "model": draw.choice(["mini-sd", "some.model_v1"]),
        "width": draw.randrange(256, 1025, 8),
        "height": draw.randrange(256, 1025, 8),
        "steps": draw.randint(1, 150),
        "seed": draw.randrange(2**32),
        "scheduler": draw.choice(SAMPLERS).name,
        "guidance": draw.choice([1.0, 7.0, 4.55, draw.uniform(0.1, 30.0)]),
        "clip_skip": draw.choice([1, 1, 2, 3]),
        "vae": draw.choice([None, "vae-x"]),
        "variation": draw.choice(
            [None, {"seed": draw.randrange(2**32), "strength": draw.uniform(0.01, 1.0)}]
        ),
        "hires": draw.choice(
            [
                None,
                {
                    "scale": scale,
                    "upscaler": draw.choice(["latent", "lanczos", "mini-upscaler"]),
                    "steps": draw.choice([0, 7]),
                    "denoise": draw.uniform(0.01, 1.0),
                },
            ]
        ),
        "loras": [
            {"name": name, "weight": draw.choice([1.0, 0.8, -0.35]), "te_weight": draw.choice([None, 0.5])}
            for name in draw.sample(["charA", "style.b", "c@200"], draw.randint(0, 3))
        ],
    }
    return GenerationRequest.model_validate(told)


def test_200_random_requests_come_back_from_infotext_and_png(tmp_path: Path) -> None:
    draw = random.Random(20)
    path = tmp_path / "a.png"
    for _ in range(200):
        request = some_request(draw)
        text = infotext(request, "ab" * 32, {lora.name: "cd" * 32 for lora in request.loras}, "0.1.0")
        chunks = PngInfo()
        chunks.add_text("parameters", text)
        Image.new("RGB", (8, 8)).save(path, pnginfo=chunks)
        found = inspect_picture(path)
        assert found == Inspected("a1111", request, (), text)
        chunks.add_text("charaforge", json.dumps({"request": request.plain()}))
        Image.new("RGB", (8, 8)).save(path, pnginfo=chunks)
        assert inspect_picture(path) == Inspected("charaforge", request, (), text)

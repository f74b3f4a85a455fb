"""Image encoders: embeddings equal transformers' own of the same squashed pixels, whatever the kind."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from charaforge.errors import ModelFileError
from charaforge.perception.vision import VisionEncoder
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
PATCHES = {"image_size": 32, "patch_size": 8}


def saved(folder: Path, kind: str) -> Path:
    torch.manual_seed(0)
    if kind == "clip":
        config = transformers.CLIPVisionConfig(**SIZES, **PATCHES, projection_dim=12)
        transformers.CLIPVisionModelWithProjection(config).save_pretrained(folder)
    elif kind == "dinov2":
        sizes = {k: v for k, v in SIZES.items() if k != "intermediate_size"}
        transformers.Dinov2Model(transformers.Dinov2Config(**sizes, **PATCHES)).save_pretrained(folder)
    else:
        transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**SIZES, **PATCHES)).save_pretrained(
            folder
        )
    return folder


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 40, 3), np.uint8))


@pytest.mark.parametrize("kind", ["clip", "dinov2", "siglip"])
def test_embeddings_are_unit_and_tell_pictures_apart(tmp_path: Path, kind: str) -> None:
    encoder = VisionEncoder(saved(tmp_path / kind, kind))
    assert encoder.kind == kind
    assert encoder.preproc_id == f"{kind}-squash-32"
    found = encoder.embed([picture(0), picture(1), picture(0)])
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.allclose(found[0], found[2], atol=1e-6)
    assert found[0] @ found[1] < 0.99999


def test_the_folder_says_how_pictures_are_prepared(tmp_path: Path) -> None:
    folder = saved(tmp_path / "clip", "clip")
    told = {
        "size": {"height": 32, "width": 32},
        "image_mean": [0, 0, 0],
        "image_std": [1, 1, 1],
        "resample": 2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(told), encoding="utf-8")
    pixels = np.asarray(picture(0).resize((32, 32), Image.Resampling.BILINEAR), np.float32) / 255
    model = transformers.CLIPVisionModelWithProjection.from_pretrained(folder).eval()
    with torch.inference_mode():
        raw = model(pixel_values=torch.from_numpy(pixels.transpose(2, 0, 1))[None]).image_embeds[0].numpy()
    assert np.allclose(VisionEncoder(folder).embed([picture(0)])[0], raw / np.linalg.norm(raw), atol=1e-5)


def test_the_mini_encoder_opens() -> None:
    entry = Registry(Warehouse(Path("/nowhere"))).get("mini-ip-adapter", "ipadapter")
    assert VisionEncoder(entry.path / "image_encoder").embed([picture(0)]).shape == (1, 128)


def test_what_is_no_image_encoder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"config\.json"):
        VisionEncoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(ModelFileError, match="'bert'"):
        VisionEncoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "dinov2"}', encoding="utf-8")
    with pytest.raises(ModelFileError, match="cannot be opened"):
        VisionEncoder(tmp_path)

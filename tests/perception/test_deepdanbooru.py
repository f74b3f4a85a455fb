from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from charaforge.errors import ModelFileError
from charaforge.perception.deepdanbooru import DeepDanbooruTagger, prepare

from .onnx_models import channel_means, echo


def folder_of(tmp_path: Path, table: str, name: str = "deepdanbooru_tags.csv") -> Path:
    channel_means(tmp_path / "deepdanbooru.onnx", 16, channel_axis=3)
    (tmp_path / name).write_text(table)
    return tmp_path


CSV = "name,real_name,category\nblue_hair,blue_hair,0\nmiku_(vocaloid),miku,4\nsafe,rating:safe,9\n"


def test_channels_are_rgb_from_0_to_1_and_the_table_tells_categories(tmp_path: Path) -> None:
    scores = DeepDanbooruTagger(folder_of(tmp_path, CSV)).tag([Image.new("RGB", (16, 16), (255, 128, 0))])
    assert scores.probabilities[0].tolist() == pytest.approx([1, 128 / 255, 0])
    assert scores.names == ("blue hair", "miku (vocaloid)", "safe")
    assert scores.categories == (0, 4, 9)


def test_the_makers_own_list_of_tags_is_read(tmp_path: Path) -> None:
    tagger = DeepDanbooruTagger(folder_of(tmp_path, "blue_hair\n^_^\nrating:safe\n", "tags.txt"))
    assert tagger.names == ("blue hair", "^_^", "safe")
    assert tagger.categories == (0, 0, 9)
    assert tagger.preproc_id == "deepdanbooru"


def test_a_net_of_one_picture_at_a_time_sees_what_was_prepared(tmp_path: Path) -> None:
    echo(tmp_path / "model.onnx", 12, batch=1)
    (tmp_path / "tags.txt").write_text("\n".join(f"tag_{i}" for i in range(12 * 12 * 3)))
    noise = np.random.default_rng(0).integers(0, 256, (3, 9, 14, 3), dtype=np.uint8)
    images = [Image.fromarray(one) for one in noise]
    seen = DeepDanbooruTagger(tmp_path).tag(images).probabilities.reshape(3, 12, 12, 3)
    assert np.allclose(seen, np.stack([prepare(image, 12) for image in images]), atol=1e-6)


def test_the_edges_go_on_into_the_padding() -> None:
    picture = Image.new("RGB", (32, 8), "white")
    picture.paste("red", (0, 0, 32, 1))
    prepared = prepare(picture, 32)
    assert prepared[0, 5].tolist() == [1, 0, 0]
    assert prepared[31, 5].tolist() == [1, 1, 1]


def test_missing_tables_and_several_nets_are_named(tmp_path: Path) -> None:
    channel_means(tmp_path / "a.onnx", 16, channel_axis=3)
    with pytest.raises(ModelFileError, match="no table of tags"):
        DeepDanbooruTagger(tmp_path)
    channel_means(tmp_path / "b.onnx", 16, channel_axis=3)
    with pytest.raises(ModelFileError, match="holds 2 ONNX files"):
        DeepDanbooruTagger(tmp_path)

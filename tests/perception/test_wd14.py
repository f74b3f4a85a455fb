from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper
from PIL import Image
from torch.nn import functional as F

from charaforge.errors import ModelFileError, UnknownNameError
from charaforge.perception.tag_names import spaced, underscored
from charaforge.perception.wd14 import WD14Tagger, prepare

from .onnx_models import channel_means, echo, save

HEADER = "tag_id,name,category,count\n"


def folder_of(tmp_path: Path, table: str = HEADER + "0,blue_hair,0,5\n1,green_hair,0,3\n2,^_^,0,1\n") -> Path:
    channel_means(tmp_path / "model.onnx", 16, channel_axis=3, scale=1 / 255)
    (tmp_path / "selected_tags.csv").write_text(table)
    return tmp_path


def test_channels_are_bgr_from_0_to_255(tmp_path: Path) -> None:
    scores = WD14Tagger(folder_of(tmp_path)).tag([Image.new("RGB", (16, 16), (255, 128, 0))])
    assert (scores.probabilities * 255).tolist() == [pytest.approx([0, 128, 255])]
    assert scores.names == ("blue hair", "green hair", "^_^")


def test_more_pictures_than_a_batch_keep_their_order(tmp_path: Path) -> None:
    shades = [Image.new("RGB", (16, 16), (i, i, i)) for i in range(70)]
    scores = WD14Tagger(folder_of(tmp_path)).tag(shades)
    assert np.rint(scores.probabilities[:, 0] * 255).tolist() == list(range(70))


def test_no_pictures_give_no_rows(tmp_path: Path) -> None:
    assert WD14Tagger(folder_of(tmp_path)).tag([]).probabilities.shape == (0, 3)


def test_transparent_and_wide_pictures_as_computed_by_hand() -> None:
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (40, 64, 4), dtype=np.uint8)
    ours = prepare(Image.fromarray(rgba, "RGBA"), 32)
    alpha = rgba[..., 3:].astype(np.float64) / 255
    flat = rgba[..., :3] * alpha + 255 * (1 - alpha)
    square = np.full((64, 64, 3), 255.0)
    square[12:52] = flat
    tensor = torch.from_numpy(square).permute(2, 0, 1)[None]
    theirs = F.interpolate(tensor, (32, 32), mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()
    apart = np.abs(ours - theirs.clip(0, 255)[..., ::-1])
    assert apart.max() <= 4  # Pillow rounds and clips between its two passes
    assert apart.mean() < 0.5


def test_grey_pictures_are_not_taken_for_their_own_mask() -> None:
    grey = Image.fromarray(np.array([[0, 64], [128, 255]], np.uint8), "L")
    assert prepare(grey, 2)[..., 0].tolist() == [[0, 64], [128, 255]]


def test_a_table_of_another_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gives 3 tags, its table names 1"):
        WD14Tagger(folder_of(tmp_path, HEADER + "0,blue_hair,0,5\n"))


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no WD14 tag table"):
        WD14Tagger(folder_of(tmp_path, "a,b\n1,2\n"))


def test_missing_and_broken_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"model\.onnx does not exist"):
        WD14Tagger(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelFileError, match="cannot be opened"):
        WD14Tagger(tmp_path)


def whole_input(tmp_path: Path, batch: int | str = "n", scale: float = 1 / 255) -> WD14Tagger:
    """Return a tagger whose probabilities are its input."""
    echo(tmp_path / "model.onnx", 12, batch, scale)
    table = HEADER + "".join(f"{i},tag_{i},0,1\n" for i in range(12 * 12 * 3))
    (tmp_path / "selected_tags.csv").write_text(table)
    return WD14Tagger(tmp_path)


@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_the_net_sees_what_was_prepared_whatever_its_batch(tmp_path: Path, batch: int | str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, 9, 14, 3), dtype=np.uint8)
    images = [Image.fromarray(one) for one in noise]
    seen = whole_input(tmp_path, batch).tag(images).probabilities.reshape(5, 12, 12, 3)
    assert np.allclose(seen * 255, np.stack([prepare(image, 12) for image in images]), atol=1e-3)


def test_both_generations_are_chosen_by_card_or_by_argument(tmp_path: Path) -> None:
    small = Image.new("RGB", (4, 4), "red")
    corner = (0, 0, 0, 2)  # picture, row, column, red
    third = whole_input(tmp_path)
    assert third.preproc_id == "wd14-v3"
    assert third.tag([small]).probabilities.reshape(1, 12, 12, 3)[corner] == pytest.approx(1)  # enlarged
    (tmp_path / "card.json").write_text('{"preproc_id": "wd14-v2"}')
    second = WD14Tagger(tmp_path)
    assert second.preproc_id == "wd14-v2"
    seen = second.tag([small]).probabilities.reshape(1, 12, 12, 3)
    assert seen[0, 0, 0].tolist() == pytest.approx([1, 1, 1])  # padded with white, not enlarged
    assert seen[0, 5, 5].tolist() == pytest.approx([0, 0, 1])
    assert WD14Tagger(tmp_path, "wd14-v3").preproc_id == "wd14-v3"
    with pytest.raises(UnknownNameError, match="wd14-v3"):
        WD14Tagger(tmp_path, "wd14-3")


def test_logits_and_double_sigmoids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="gives 0 to 255, which are no probabilities"):
        whole_input(tmp_path, scale=1).tag([Image.new("RGB", (12, 12), "red")])
    with pytest.raises(ModelFileError, match=r"gives -0\.51 to"):
        whole_input(tmp_path, scale=-0.002).tag([Image.new("RGB", (12, 12), "red")])
    echo(tmp_path / "model.onnx", 20, scale=1 / 255)
    rows = "".join(f"{i},tag_{i},0,1\n" for i in range(1200))
    (tmp_path / "selected_tags.csv").write_text(HEADER + rows)
    with pytest.raises(ModelFileError, match="sigmoid is applied twice"):
        WD14Tagger(tmp_path).tag([Image.new("RGB", (20, 20), "white")])


def test_a_model_that_does_not_tell_its_width_is_checked_when_it_runs(tmp_path: Path) -> None:
    node = helper.make_node("ReduceMean", ["input"], ["output"], axes=[1, 2], keepdims=0)
    save(tmp_path / "model.onnx", [node], ["n", 16, 16, 3], {"output": ["n", "tags"]})
    (tmp_path / "selected_tags.csv").write_text(HEADER + "0,a,0,5\n")
    with pytest.raises(ModelFileError, match="gives 3 tags, its table names 1"):
        WD14Tagger(tmp_path).tag([Image.new("RGB", (16, 16))])


def test_embeddings_beside_the_probabilities_are_passed_over(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["embedding"], axes=[1, 2, 3]),
        helper.make_node("ReduceMean", ["input"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["prediction"]),
    ]
    outputs = {"embedding": ["n", 1, 1, 1], "prediction": ["n", 3]}
    save(tmp_path / "model.onnx", nodes, ["n", 16, 16, 3], outputs, {"scale": np.float32(1 / 255)})
    (tmp_path / "selected_tags.csv").write_text(HEADER + "0,a,0,5\n1,b,4,3\n2,c,9,1\n")
    scores = WD14Tagger(tmp_path).tag([Image.new("RGB", (16, 16), (0, 0, 255))])
    assert scores.probabilities[0].tolist() == pytest.approx([1, 0, 0])
    assert scores.categories == (0, 4, 9)


def test_emoticons_keep_their_underscores() -> None:
    faces = ["^_^", "0_0", ">_<", "(o)_(o)", "<o>_<o>", "<|>_<|>", "||_||", ">_o", "x_x", "=_=", "+_-"]
    faces += ["3_3", "6_9", "._.", "u_u"]
    assert [spaced(face) for face in faces] == faces
    words = {
        "blue_hair": "blue hair",
        "k-on!": "k-on!",
        "a-1_pictures": "a-1 pictures",
        "v-neck_top": "v-neck top",
    }
    assert {name: spaced(name) for name in words} == words
    assert underscored("very long hair") == "very_long_hair"

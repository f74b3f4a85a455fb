"""Impostors from packs, tables and folders; hard negatives, and the gallery."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from charaforge.errors import DatasetError, ModelFileError, PictureError, UsageError
from charaforge.evaluation.gallery import SIZE, gallery_of
from charaforge.evaluation.impostors import (
    PER_CHARACTER,
    Impostors,
    from_place,
    hard_negatives,
    joined,
    read_pack,
)
from charaforge.evaluation.judges import open_judges
from charaforge.evaluation.subject import Subject
from charaforge.evaluation.threshold import threshold_at, threshold_with_hard
from charaforge.perception.ccip import IdentityEncoder
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import ModelEntry, Registry
from tests.fixtures.tiny_judges import tiny_identity

TRAITS = ("blue hair", "long hair", "red eyes")


@pytest.fixture
def encoder(tmp_path: Path) -> IdentityEncoder:
    return IdentityEncoder(tiny_identity(tmp_path / "identity", np.zeros((1, 48), np.float32)))


def known(names: list[str], traits: list[tuple[str, ...]]) -> Impostors:
    embeddings = np.eye(len(names), 64, dtype=np.float32)
    return Impostors("real", embeddings, tuple(names), tuple(frozenset(t) for t in traits))


def picture(path: Path, color: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 40), color).save(path)


def test_hard_negatives_share_hair_and_eye_colour() -> None:
    group = known(
        ["a", "b", "c", "d"],
        [("blue hair", "red eyes"), ("blue hair", "green eyes"), ("long hair", "closed eyes"), ()],
    )
    assert hard_negatives(group, TRAITS).tolist() == [True, False, False, False]
    assert not hard_negatives(group, ("long hair",)).any(), "without colours nobody can be told to resemble"


def test_a_folder_names_characters_by_its_subfolders(
    tmp_path: Path, encoder: IdentityEncoder, warehouse: Warehouse
) -> None:
    for index in range(PER_CHARACTER + 3):
        picture(tmp_path / "others" / "anna" / f"{index:02}.png", "red")
    picture(tmp_path / "others" / "zxq" / "1.png", "blue")
    picture(tmp_path / "others" / "loose.jpg", "green")
    found = from_place(tmp_path / "others", encoder, warehouse, "zxq")
    assert sorted(found.characters) == ["", *["anna"] * PER_CHARACTER]
    assert len(found) == PER_CHARACTER + 1, "of one character enough is enough; the judged one is none"


def test_a_table_tells_traits(tmp_path: Path, encoder: IdentityEncoder, warehouse: Warehouse) -> None:
    for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
        picture(tmp_path / f"{name}.png", color)
    table = tmp_path / "t.csv"
    table.write_text(
        "image_path,character,tags,split,notes,dup_of\n"
        'a.png,anna,smile,train,"traits: blue hair, red eyes",\n'
        'b.png,berta,"green hair, smile",ref,,\n'
        "c.png,carla,,train,,a.png\n"
        "gone.png,dora,,train,,\n",
        encoding="utf-8",
    )
    found = from_place(table, encoder, warehouse, "zxq", excluded=[tmp_path / "b.png"])
    assert found.characters == ("anna",), "copies, missing and excluded pictures are no impostors"
    assert found.traits == (frozenset({"blue hair", "red eyes"}),)


def test_a_table_that_cannot_be_read_is_left_out_unless_it_was_asked_for(
    tmp_path: Path, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    (warehouse.metadata / "broken.parquet").write_bytes(b"no table")
    registry = Registry(warehouse)
    subject, base = Subject("zxq", TRAITS, "", "", (), ()), registry.get("mini-sd", "base")
    judges = open_judges(registry, base, subject, None)
    assert [(group.kind, len(group)) for group in judges.impostors] == [("real", 6000), ("generated", 3000)]
    assert judges.names["clip"] == "mini-ip-adapter"
    with pytest.raises(DatasetError, match="not a Parquet"):
        open_judges(registry, base, subject, warehouse.metadata / "broken.parquet")


def test_of_many_impostors_as_many_as_asked_for(
    tmp_path: Path, encoder: IdentityEncoder, warehouse: Warehouse
) -> None:
    for index in range(9):
        picture(tmp_path / "others" / f"c{index}" / "1.png", "red")
    found = from_place(tmp_path / "others", encoder, warehouse, "zxq", most=3)
    assert found.characters == ("c0", "c3", "c6")


def test_a_broken_picture_is_left_out_with_a_warning(
    tmp_path: Path, encoder: IdentityEncoder, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    others = tmp_path / "others"
    picture(others / "anna" / "good.png", "red")
    for name in ("anna/broken.png", "berta/broken.png"):
        (others / name).parent.mkdir(exist_ok=True)
        (others / name).write_bytes(b"no picture")
    found = from_place(others, encoder, warehouse, "zxq")
    assert (len(found), found.characters, len(found.traits)) == (1, ("anna",), 1)
    assert "2 of 3 pictures" in caplog.text
    assert str(others / "anna" / "broken.png") in caplog.text
    (others / "anna" / "good.png").unlink()
    with pytest.raises(PictureError, match="cannot be read"):
        from_place(others, encoder, warehouse, "zxq")


def test_copies_of_the_characters_own_pictures_are_no_impostors(
    tmp_path: Path, encoder: IdentityEncoder, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    own, others = tmp_path / "own.png", tmp_path / "others"
    picture(own, "blue")
    picture(others / "anna" / "1.png", "red")
    assert len(from_place(others, encoder, warehouse, "zxq", excluded=[own])) == 1
    assert not caplog.text
    (others / "anna" / "nowhere.png").symlink_to(tmp_path / "gone.png")
    for name in ("x.png", "y.png"):
        picture(others / "another name" / name, "blue")
    found = from_place(others, encoder, warehouse, "zxq", excluded=[own])
    assert found.characters == ("anna",)
    assert "2 files" in caplog.text
    assert str(others / "another name" / "x.png") in caplog.text


def test_nothing_there(tmp_path: Path, encoder: IdentityEncoder, warehouse: Warehouse) -> None:
    with pytest.raises(UsageError, match="no impostors"):
        from_place(tmp_path / "nowhere", encoder, warehouse, "zxq")
    (tmp_path / "bad.npz").write_bytes(b"no pack")
    with pytest.raises(ModelFileError, match="no pack"):
        read_pack(tmp_path / "bad.npz", "real")


def test_a_third_of_the_weight_lies_on_hard_negatives() -> None:
    rng = np.random.default_rng(0)
    easy, alike = rng.normal(0, 1, 3000), rng.normal(2, 1, 50)
    scores, hard = np.concatenate([easy, alike]), np.arange(3050) >= 3000
    plain, weighted = threshold_at(scores, "real"), threshold_with_hard(scores, hard)
    assert weighted is not None
    assert weighted.value > plain.value
    carried = (alike >= weighted.value).mean() / 3 + 2 * (easy >= weighted.value).mean() / 3
    assert carried <= 0.01
    assert (weighted.source, weighted.impostors) == ("hard", 50)
    assert weighted.rate_low <= weighted.rate <= weighted.rate_high


def test_too_few_hard_negatives_set_no_threshold() -> None:
    assert threshold_with_hard(np.zeros(100), np.arange(100) < 9) is None
    assert threshold_with_hard(np.zeros(100), np.arange(100) < 40) is None, "they are a third anyhow"


def test_the_gallery_is_a_third_of_hard_negatives() -> None:
    names = [f"c{i:03}" for i in range(100) for _ in range(3)]
    traits = [("blue hair", "red eyes") if i < 20 else ("red hair",) for i in range(100) for _ in range(3)]
    group = Impostors(
        "real",
        np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32),
        tuple(names),
        tuple(frozenset(t) for t in traits),
    )
    gallery = gallery_of([group], TRAITS, "c000")
    assert (len(gallery), gallery.hard) == (SIZE, SIZE // 3)
    assert "c000" not in gallery.characters
    assert gallery_of([group], TRAITS, "c000").characters.keys() == gallery.characters.keys()


def test_the_nearest_of_the_gallery() -> None:
    group = joined(
        [
            Impostors("real", np.eye(2, dtype=np.float32)[[i] * 3], (n,) * 3, (frozenset(),) * 3)
            for i, n in enumerate(("anna", "berta"))
        ]
    )
    scores, names = gallery_of([group], TRAITS, "zxq").strongest(np.array([[0.8, 0.6]], np.float32))
    assert names == ["anna"]
    assert scores == pytest.approx([0.8])
    few = known(["anna"], [()])
    scores, names = gallery_of([few], TRAITS, "zxq").strongest(np.ones((2, 64), np.float32))
    assert (scores.tolist(), names) == ([-np.inf, -np.inf], ["", ""])


def test_a_pack_holds_no_impostors_of_the_name_that_is_judged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names, traits = ["zxq", "anna", "", "zxq"], ["a", "b", "c", "d"]
    np.savez(tmp_path / "p.npz", embeddings=np.eye(4), characters=names, traits=traits)
    assert len(read_pack(tmp_path / "p.npz", "real")) == 4
    assert not caplog.text
    found = read_pack(tmp_path / "p.npz", "real", "zxq")
    assert found.characters == ("anna", "")
    assert found.embeddings.tolist() == np.eye(4)[1:3].tolist()
    assert found.traits == (frozenset("b"), frozenset("c"))
    assert "p.npz: left out as pictures of zxq itself: 2 pictures" in caplog.text


def test_judges_leave_the_character_out_of_every_pack(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tiny_identity(warehouse.models / "identity" / "tiny", np.eye(48, dtype=np.float32))
    names = np.array(["zxq"] * 20 + ["x"] * 180)
    embeddings = np.random.default_rng(0).normal(size=(200, 48))
    np.savez(folder / "impostors.npz", embeddings=embeddings, characters=names)
    np.savez(folder / "impostors_generated.npz", embeddings=embeddings[:20], characters=names[:20])
    base = ModelEntry("sd", "base", "sd15", folder, embedded=False)
    judges = open_judges(Registry(warehouse), base, Subject("zxq", TRAITS, "", "", (), ()), None)
    assert [(group.kind, len(group)) for group in judges.impostors] == [("real", 180)]
    assert caplog.text.count("left out as pictures of zxq itself: 20 pictures") == 2

"""Batch files into requests; whatever is wrong is told with row and column."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charaforge.requests.batch_columns import COLUMNS
from charaforge.requests.inputs import Control, Hires, InitImage, Reference, Variation
from tests.requests.batches import read, told

MISSION = "prompt,negative,pose_image,lora,seed,width,height,steps\n"


def test_the_mission_s_columns() -> None:
    batch = read(MISSION + '"anime [character] running","blurry","there.png","charA",42,1024,1024,25\n')
    assert told(batch) == []
    request = batch.items[0].request
    assert (request.prompt, request.negative, request.seed) == ("anime [character] running", "blurry", 42)
    assert (request.width, request.height, request.steps) == (1024, 1024, 25)
    assert [(lora.name, lora.weight) for lora in request.loras] == [("charA", 1.0)]
    assert request.controls == (Control(type="pose", image="/abs/there.png"),)


def test_every_other_field() -> None:
    cells = {
        "prompt": "x",
        "lora": "charA:0.8|style:-0.5",
        "guidance": "4.5",
        "clip_skip": "2",
        "vae": "bright",
        "canny_image": "there-edges.png",
        "strength": "0.7",
        "end": "0.5",
        "image": "there-init.png",
        "denoise": "0.4",
        "mask": "there-mask.png",
        "face_ref": "there-face.png:0.6",
        "variation": "99:0.25",
        "wildcard_seed": "5",
        "note": "scene 3",
    }
    batch = read(json.dumps([cells]), "a.json")
    assert [str(fault) for fault in batch.faults.listed] == []
    request = batch.items[0].request
    assert [(lora.name, lora.weight) for lora in request.loras] == [("charA", 0.8), ("style", -0.5)]
    assert request.controls == (Control(type="canny", image="/abs/there-edges.png", strength=0.7, end=0.5),)
    assert request.init == InitImage(image="/abs/there-init.png", denoise=0.4, mask="/abs/there-mask.png")
    assert request.references == (Reference(face_ref="/abs/there-face.png", weight=0.6),)
    assert request.variation == Variation(seed=99, strength=0.25)
    assert (request.guidance, request.clip_skip, request.vae) == (4.5, 2, "bright")
    assert batch.items[0].note == {"row": 1, "note": "scene 3"}


def test_a_second_pass() -> None:
    batch = read("prompt,hires,hires_denoise\nx,2,0.3\ny,9,\n")
    assert batch.items[0].request.hires == Hires(scale=2.0, denoise=0.3)
    assert told(batch) == [(3, "hires")]


def test_the_bodies_of_the_routes_are_items() -> None:
    body = {
        "prompt": "x",
        "lora_ids": ["charA", "style"],
        "lora_scales": [0.8, 0.2],
        "ip_adapter": {"style_ref": "there.png", "weight": 0.5},
        "controls": [{"type": "depth", "image": "there-depth.png"}],
        "pose_keypoints": {"people": []},
    }
    request = read(json.dumps([body]), "a.json").items[0].request
    assert [(lora.name, lora.weight) for lora in request.loras] == [("charA", 0.8), ("style", 0.2)]
    assert [control.type for control in request.controls] == ["pose", "depth"]
    assert request.references == (Reference(style_ref="/abs/there.png", weight=0.5),)


@pytest.mark.parametrize(
    ("cell", "seeds"),
    [("7", [7]), ("100..103", [100, 101, 102, 103]), ("1|5|7..8", [1, 5, 7, 8]), ("0..0", [0])],
)
def test_seeds(cell: str, seeds: list[int]) -> None:
    assert [item.request.seed for item in read(f"prompt,seed\nx,{cell}\n").items] == seeds


@pytest.mark.parametrize("cell", ["", "-1"])
def test_a_random_seed_is_drawn_now(cell: str) -> None:
    seeds = {item.request.seed for item in read("prompt,seed\n" + f"x,{cell}\n" * 20).items}
    assert len(seeds) == 20
    assert min(seeds) >= 0


def test_count_counts_on() -> None:
    assert [item.request.seed for item in read("prompt,seed,count\nx,5,3\n").items] == [5, 6, 7]


def test_wildcards_are_drawn_by_their_own_seed(tmp_path: Path) -> None:
    (tmp_path / "colour.txt").write_text("red\ngreen\nblue\nblack\nwhite\n", encoding="utf-8")
    rows = "".join(f"{{cat|dog}} __colour__,1,{seed}\n" for seed in range(30))
    batch = read(f"prompt,seed,wildcard_seed\n{rows}", wildcards=tmp_path)
    prompts = [item.request.prompt for item in batch.items]
    assert len(set(prompts)) > 5
    assert not any("{" in prompt or "__" in prompt for prompt in prompts)
    again = read(f"prompt,seed,wildcard_seed\n{rows}", wildcards=tmp_path)
    assert [item.request.prompt for item in again.items] == prompts
    assert told(read("prompt\n__colur__\n", wildcards=tmp_path)) == [(2, "prompt")]


def test_a_lora_in_the_prompt_is_looked_up_too() -> None:
    batch = read("prompt\nx <lora:charA:0.7>\ny <lora:charB:0.7>\n")
    assert [lora.weight for lora in batch.items[0].request.loras] == [0.7]
    assert "did you mean 'charA'?" in batch.faults.listed[0].message


def test_a_row_of_which_one_picture_fails_is_refused_whole() -> None:
    batch = read("prompt,seed\n{x|<lora:none:1>},1..20\ny,3\n")
    assert told(batch) == [(2, "prompt")]
    assert [item.request.prompt for item in batch.items] == ["y"]


def test_all_faults_of_all_rows_are_listed_and_the_good_ones_kept() -> None:
    rows = [
        '"fine","","","charA",1,512,512,20',
        '"x","","there.png","charB",2,513,512,0',
        '"","","","",3,512,512,20',
        '"y","","gone.png","",seven,512,512,20',
        '"a [b|c]","","","bigger",9..3,512,512,20',
        '"fine too","","","",4,512,512,20',
    ]
    batch = read(MISSION + "\n".join(rows) + "\n")
    assert sorted(told(batch)) == [
        *[(3, "lora"), (3, "steps"), (3, "width")],
        (4, "prompt"),
        *[(5, "pose_image"), (5, "seed")],
        *[(6, "lora"), (6, "prompt"), (6, "seed")],
    ]
    assert [item.note["row"] for item in batch.items] == [2, 7]
    texts = {(fault.row, fault.column): str(fault) for fault in batch.faults.listed}
    assert "did you mean 'charA'" in texts[3, "lora"]
    assert "made for sdxl, mini-sd is sd15" in texts[6, "lora"]
    assert "got '513'" in texts[3, "width"]
    assert "write 3..9" in texts[6, "seed"]


def test_the_refused_rows_can_be_mended_and_sent_again() -> None:
    batch = read(MISSION + '"x","","","charB",2,512,512,20\n"y","","","charA",2,512,512,20\n')
    mended = batch.refused().replace("charB", "charA", 1)
    again = read(mended)
    assert told(again) == []
    assert [item.request.prompt for item in again.items] == ["x"]


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"lora": "charA", "lora_ids": "charA"}, "lora_ids"),
        ({"lora_scales": "1"}, "lora_scales"),
        ({"lora_ids": "charA|style", "lora_scales": "1"}, "lora_scales"),
        ({"lora": "charA:much"}, "lora"),
        ({"lora": "charA|charA"}, "lora"),
        ({"strength": "1"}, "strength"),
        ({"pose_image": "there.png", "strength": "3"}, "strength"),
        ({"pose_image": "gone.png"}, "pose_image"),
        ({"controls": "{"}, "controls"),
        ({"denoise": "0.5"}, "denoise"),
        ({"image": "there.png", "denoise": "2"}, "denoise"),
        ({"face_ref": "there.png:9"}, "face_ref"),
        ({"hires_steps": "3"}, "hires_steps"),
        ({"hires": "9"}, "hires"),
        ({"variation": "5"}, "variation"),
        ({"model": "mini-sf"}, "model"),
        ({"vae": "dark"}, "vae"),
        ({"scheduler": "eulr"}, "scheduler"),
        ({"seed": str(2**32)}, "seed"),
        ({"seed": "4294967295", "count": "2"}, "seed"),
        ({"wildcard_seed": "-1"}, "wildcard_seed"),
        ({"negative": "a AND b"}, "negative"),
        ({"init": 3}, "init"),
    ],
)
def test_a_fault_names_its_column(cells: dict[str, object], column: str) -> None:
    batch = read(json.dumps([{"prompt": "x", **cells}]), "a.json")
    assert told(batch) == [(1, column)], [str(fault) for fault in batch.faults.listed]
    assert batch.items == []


def test_too_many_rows_are_counted_and_none_is_queued() -> None:
    batch = read("prompt\n" + "x\n" * 1001)
    assert "1,001 rows, more than 1,000 pictures" in batch.faults.listed[0].message
    assert "BATCH_MAX_ITEMS" in batch.faults.listed[0].message
    assert batch.items == []


@pytest.mark.parametrize("note", ["NaN", '{"a": [1e999]}', '"\\ud800"'])
def test_a_note_that_no_sidecar_can_hold(note: str) -> None:
    batch = read(f'[{{"prompt": "x", "note": {note}}}]', "a.json")
    assert told(batch) == [(1, "note")]
    assert batch.items == []


def test_halves_of_characters_can_be_told() -> None:
    batch = read('[{"prompt": "\\ud800"}, {"prompt": "x", "\\udfff": 1}]', "a.json")
    assert len(batch.faults.listed) == 2
    json.dumps([vars(fault) for fault in batch.faults.listed], ensure_ascii=False).encode()
    batch.refused().encode()


def test_faulty_rows_count_too() -> None:
    """Each is kept to be given back, so there must be an end to them."""
    for row in ("x,one\n", "x,1,2\n", ",1\n"):
        batch = read("prompt,seed\n" + row * 1001)
        assert "1,001 rows, more than 1,000 pictures" in str(batch.faults.of_the_file[0])
        assert len(batch.faults.refused) == 1000
    assert len(read("prompt,seed\n" + "x,one\n\n" * 1000).faults.refused) == 1000


def test_a_huge_range_is_not_expanded() -> None:
    start = time.monotonic()
    assert "more than 1,000 pictures" in read("prompt,seed\nx,0..4294967295\n").faults.listed[0].message
    assert time.monotonic() - start < 1.0


def test_a_grid() -> None:
    grid = {
        "items": [{"prompt": "hat, smile"}, {"prompt": "hat, night"}],
        "defaults": {"seed": 7},
        "axes": {"steps": [10, 20], "lora": ["charA:0.6", "charA:1.0"], "replace": ["hat", "cap"]},
    }
    items = read(json.dumps(grid), "a.json").items
    found = [(i.request.steps, i.request.loras[0].weight, i.request.prompt) for i in items]
    assert len(found) == 16
    assert found[:3] == [(10, 0.6, "hat, smile"), (20, 0.6, "hat, smile"), (10, 1.0, "hat, smile")]
    assert found[4] == (10, 0.6, "cap, smile")
    assert [item.note["row"] for item in items] == [1] * 8 + [2] * 8


def test_a_field_is_the_same_by_all_its_names() -> None:
    told = {"defaults": {"negative": "blurry"}, "items": [{"prompt": "x", "negative_prompt": "bad hands"}]}
    assert [one.request.negative for one in read(json.dumps(told), "a.json").items] == ["bad hands"]
    grid = {"items": [{"prompt": "x", "negative": "n"}], "axes": {"negative_prompt": ["a", "b"]}}
    assert [one.request.negative for one in read(json.dumps(grid), "a.json").items] == ["a", "b"]
    twice = read(json.dumps([{"prompt": "x", "cfg": 5, "guidance": 9}]), "a.json")
    assert "there twice" in twice.faults.listed[0].message
    assert "there twice" in read("prompt,guidance,cfg\nx,5,9\n").faults.listed[0].message


def test_a_file_s_fault_counts_behind_however_many_of_its_rows() -> None:
    rows = "prompt,seed\n" + "x,bad\n" * 10_001 + '"open,1\ny,2\n'
    faults = read(rows, limit=20_000).faults
    assert [fault.row for fault in faults.of_the_file] == [10_003]


def test_refused_items_of_a_document_can_be_sent_again() -> None:
    grid = {
        "items": [{"prompt": "hat", "seed": "one", "controls": [{"type": "pose", "image": "there.png"}]}],
        "axes": {"replace": ["hat", "cap"]},
    }
    refused = read(json.dumps(grid), "a.json").refused()
    assert "replace" not in refused.splitlines()[0]
    mended = read(refused.replace("one", "1"))
    assert mended.faults.listed == []
    assert mended.items[0].request.controls


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("3", "valid dictionary"),
        ("{}", "no items"),
        ('{"items": [3]}', "items.0"),
        ('{"itms": []}', "did you mean 'items'"),
        ('{"items": [{"prompt": "x"}], "axes": {"stps": [1]}}', "did you mean 'steps'"),
        ('{"items": [{"prompt": "x"}], "axes": {"steps": []}}', "no values"),
        ('{"items": [{"prompt": "x"}], "axes": {"replace": ["hat"]}}', "stands in no prompt"),
        ('{"items": [{"promt": "x"}]}', "did you mean 'prompt'"),
        ('{"items": [{"prompt": 3}]}', "no text"),
        (json.dumps({"items": [{"prompt": "x"}], "axes": {"seed": list(range(2000))}}), "2,000 pictures"),
    ],
)
def test_documents_that_are_no_batch(document: str, message: str) -> None:
    batch = read(document, "a.json")
    assert message in " ".join(map(str, batch.faults.listed))
    assert batch.items == []


VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=12),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["type", "image", "name", "model"]), st.text(max_size=4)),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), VALUES, max_size=5), max_size=4))
def test_any_items_are_read_or_told(items: list[dict[str, object]]) -> None:
    batch = read(json.dumps(items), "a.json")
    assert batch.items or batch.faults.count
    batch.refused()


def test_ten_thousand_rows_are_read_quickly() -> None:
    """100,000 within the 15 s of a submission leave 1.5 s of work for these; measured: 0.3 s."""
    rows = "".join(f"girl {n},bad,charA:0.8,{n},512,512,25\n" for n in range(10_000))
    start = time.process_time()
    batch = read("prompt,negative,lora,seed,width,height,steps\n" + rows, limit=10_000)
    assert time.process_time() - start < 1.5
    assert len(batch.items) == 10_000

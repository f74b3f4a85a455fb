from typing import Any

from charaforge.curation.report import frequent_fragments, lines, validate


def _row(index: int, **told: Any) -> dict[str, Any]:
    plain = {
        "image_path": f"{index}.png", "w": 512, "h": 512, "tags": f"smile, tag{index}", "notes": "",
        "source": "", "split": "train", "pose_tag": "standing", "outfit": "", "error": "", "dup_of": "",
    }  # fmt: skip
    return plain | told


def _kinds(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {finding["kind"]: finding["count"] for finding in validate(rows)["findings"]}


def test_a_good_table_has_no_findings() -> None:
    rows = [_row(index, tags=f"tag{index}", split="ref" if index < 8 else "train") for index in range(40)]
    assert validate(rows)["findings"] == []


def test_everything_that_spoils_a_training_is_found() -> None:
    rows = [_row(index, split="ref" if index < 8 else "train") for index in range(20)]
    rows += [
        _row(20, w=100, h=100),
        _row(21, w=2000),
        _row(22, tags=""),
        _row(23, tags=", ".join(f"word{n}" for n in range(50)) + ", smile"),
        _row(24, notes="extension says png, content is jpeg"),
        _row(25, notes="pose: standing by key points, sitting by tags"),
        _row(26, pose_tag="unknown"),
        _row(27, people=2),
    ]
    assert _kinds(rows) == {
        "renamed": 1, "tiny": 1, "extreme": 1, "frequent": 1, "empty": 1, "long": 1,
        "pose": 1, "unknown pose": 1, "people": 1,
    }  # fmt: skip


def test_too_few_references_and_collections_are_told() -> None:
    assert _kinds([_row(index, source="site", tags=f"t{index}") for index in range(10)]) == {
        "collections": 1,
        "references": 1,
    }


def test_rows_that_are_left_out_are_counted_and_not_judged() -> None:
    rows = [_row(0, error="broken or cut off: x", w=None, h=None), _row(1, dup_of="0.png", tags="", split="")]
    told = validate(rows)
    assert (told["pictures"], told["errors"], told["copies"], told["kept"]) == (2, 1, 1, 0)
    assert told["findings"] == []
    assert "1 × broken or cut off" in "\n".join(lines(told))


def test_fragments_are_counted_whole() -> None:
    captions = ["blue hair, smile"] * 4 + ["blue hair ribbon, smile"] * 6
    assert frequent_fragments(captions) == [("smile", 1.0)]
    assert frequent_fragments(["smile"] * 4) == []


def test_problems_of_tables_are_told() -> None:
    told = validate(
        [_row(index, split="ref", tags=f"t{index}") for index in range(9)], ["metadata.csv: line 2"]
    )
    assert lines(told)[2:] == [
        "look at:   1 lines of tables cannot be used: mend them, and run again",
        "           metadata.csv: line 2",
    ]

"""What the panel says of a job."""

from __future__ import annotations

import json

import pytest

from charaforge.requests.answers import JobReply, PictureReply
from charaforge.ui.web.fields import seed_of, told_of

DONE = JobReply(
    job_id="j",
    state="completed",
    result=PictureReply(image_path="/w/0001.png", metadata_path="/w/0001.json", elapsed_ms=1500),
)


def test_a_finished_job_tells_its_seed() -> None:
    assert told_of(DONE, 1234) == "Done in 1.5 s, seed 1234.  \n`/w/0001.png`"
    assert told_of(DONE) == "Done in 1.5 s.  \n`/w/0001.png`"


@pytest.mark.parametrize(
    ("text", "seed"),
    [
        (json.dumps({"request": {"seed": 7}}), 7),
        (json.dumps({"request": 3}), None),
        (json.dumps([1]), None),
        ("{", None),
        ("", None),
    ],
)
def test_the_seed_stands_in_the_picture(text: str, seed: int | None) -> None:
    assert seed_of({"charaforge": text}) == seed
    assert seed_of({}) is None

"""The first stage: is it a picture, how large, in which format, and what is odd about it?"""

from __future__ import annotations

from charaforge.curation.pictures import Picture
from charaforge.curation.stage import Row, Stage

NAME = "look"


def look_stage() -> Stage:
    """Return the stage; its rows hold "width", "height" (px, upright), "format" and "oddities" (a text)."""
    return Stage(NAME, _look)


def _look(pictures: list[Picture]) -> list[Row]:
    return [
        {"width": one.width, "height": one.height, "format": one.format, "oddities": "; ".join(one.notes)}
        for one in pictures
    ]

"""The colour of eyes that are not always open."""

from charaforge.evaluation.colors import EYES, colored, with_colors


def test_colors_are_told_from_other_words() -> None:
    tags = ["red eyes", "closed eyes", "blue hair", "long hair", "heart-shaped eyes"]
    assert colored(tags, EYES) == {"red eyes"}


def test_an_eye_color_is_added_where_eyes_are_seen() -> None:
    open_eyes, closed = ["red eyes", "smile"], ["closed eyes"]
    assert with_colors(["white hair"], [open_eyes] * 5 + [closed] * 5) == ("white hair", "red eyes")
    assert with_colors(["white hair"], [open_eyes] * 2 + [closed] * 8) == ("white hair",), "hardly ever seen"


def test_what_differs_is_no_trait() -> None:
    assert with_colors([], [["red eyes"], ["blue eyes"], ["red eyes"]]) == ()


def test_what_the_traits_tell_stays() -> None:
    assert with_colors(["green eyes", "pink hair"], [["red eyes"]] * 9) == ("green eyes", "pink hair")

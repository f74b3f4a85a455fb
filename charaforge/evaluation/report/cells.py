"""Judged pictures as the page shows them: contact sheets, extremes, the three groups on top."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from charaforge.evaluation.apart import was_checked
from charaforge.evaluation.report.pictures import Thumbnails
from charaforge.evaluation.results import ArmResult, CandidateRecord, ChoiceRecord, Evaluation, PictureScore

_HERO_SIDE, _CELL_SIDE, _SMALL_SIDE = 320, 192, 112
SHOWN_SEEDS = 2
_EXTREMES = 8
_CHOICE_PROMPTS = 12


@dataclass(frozen=True, slots=True)
class Card:
    """One of the three groups on top of the page."""

    title: str
    role: str
    caption: str
    pictures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One judged picture."""

    uri: str
    accepted: bool
    likeness: float
    prompt_id: str
    seed: int
    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt of the contact sheet: cells per arm."""

    prompt: str
    arms: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """One prompt of the sheet of checkpoints: a picture per checkpoint."""

    prompt: str
    pictures: tuple[str, ...]


def trio(e: Evaluation, folder: Path, thumbnails: Thumbnails) -> list[Card]:
    """Real pictures, the words alone, the LoRA: four each, the latter two of the same prompts and seeds."""
    per_prompt = len(e.seeds)
    spread = [round(i * (len(e.prompts) - 1) / 3) * per_prompt for i in range(4)]

    def of(name: str) -> tuple[str, ...]:
        pictures = e.arm(name).pictures
        return tuple(thumbnails.uri(folder / pictures[i].file, _HERO_SIDE) for i in dict.fromkeys(spread))

    real = tuple(thumbnails.uri(folder / name, _HERO_SIDE) for name in e.references[:4])
    apart = "held out of training" if was_checked(e) else "maybe trained on: not checked"
    return [
        Card("Real pictures", "real", f"of {e.character}, {apart}", real),
        Card("Traits in words", "traits", ", ".join(e.traits) or "no words known", of("traits")),
        Card("With the LoRA", "lora", "same prompts, same seeds", of("lora")),
    ]


def sheet(e: Evaluation, folder: Path, thumbnails: Thumbnails) -> list[Row]:
    """Prompts down, arms across, the first seeds of each."""
    seeds = len(e.seeds)
    shown = range(min(SHOWN_SEEDS, seeds))

    def cells(arm: ArmResult, row: int) -> tuple[Cell, ...]:
        return tuple(_cell(arm.pictures[row * seeds + k], folder, thumbnails) for k in shown)

    return [
        Row(prompt.prompt, tuple(cells(arm, row) for arm in e.arms)) for row, prompt in enumerate(e.prompts)
    ]


def choice_sheet(choice: ChoiceRecord, folder: Path, thumbnails: Thumbnails) -> list[ChoiceRow]:
    """Prompts down, checkpoints across; prompts are spread over all of the screening's."""
    count = len(choice.prompts)
    taken = sorted({round(i * (count - 1) / (_CHOICE_PROMPTS - 1)) for i in range(_CHOICE_PROMPTS)})

    def pictures(one: CandidateRecord, row: int) -> str:
        return thumbnails.uri(folder / one.files[row], _SMALL_SIDE)

    return [
        ChoiceRow(choice.prompts[row].prompt, tuple(pictures(one, row) for one in choice.checkpoints))
        for row in taken
    ]


def extremes(arm: ArmResult, folder: Path, thumbnails: Thumbnails) -> list[tuple[str, Sequence[Cell]]]:
    """The pictures most and least alike; refused ones come first among the latter."""
    ranked = sorted(arm.pictures, key=lambda p: (p.accepted, p.likeness))
    count = min(_EXTREMES, max(len(ranked) // 2, 1))
    best, worst = ranked[::-1][:count], ranked[:count]
    return [
        ("Most alike", [_cell(p, folder, thumbnails) for p in best]),
        ("Least alike", [_cell(p, folder, thumbnails) for p in worst]),
    ]


def why_refused(picture: PictureScore) -> str:
    """Which condition a picture does not meet; "" for an accepted one."""
    if not picture.single:
        return "no single subject"
    if not picture.within:
        return "not alike enough"
    return "" if picture.nearest else f"nearer to {picture.rival}"


def _cell(picture: PictureScore, folder: Path, thumbnails: Thumbnails) -> Cell:
    uri = thumbnails.uri(folder / picture.file, _CELL_SIDE)
    why = why_refused(picture)
    return Cell(uri, picture.accepted, picture.likeness, picture.prompt_id, picture.seed, why)

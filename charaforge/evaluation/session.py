"""One run of rendering and looking: what was rendered or seen before is neither again."""

from collections.abc import Sequence
from pathlib import Path

from charaforge.errors import ModelFileError, NotMeasurableError
from charaforge.evaluation.arms import Arm, requests_of
from charaforge.evaluation.features import Features, look, put_together
from charaforge.evaluation.rendering import Renderer
from charaforge.evaluation.scoring import Sitting
from charaforge.evaluation.study import Study
from charaforge.generation.generator import Generator
from charaforge.logs import Progress


class Session:
    """Renders arms and lets the judges look.

    Args:
        study: What is measured.
        generator: Renders the pictures.
    """

    def __init__(self, study: Study, generator: Generator) -> None:
        self._study = study
        self._renderer = Renderer(generator, study.registry, study.plan.out / "pictures")
        self._seen: dict[Path, Features] = {}

    def show(self, arms: Sequence[Arm], sitting: Sitting) -> dict[str, Features]:
        """Render arms with the same prompts and seeds; what was seen, by the arm's name.

        Arms with a LoRA come first, so that one that does not fit is found out at once.

        Raises:
            NotMeasurableError: a LoRA cannot be used with this base.
        """
        names = [prompt.id for prompt in sitting.prompts]
        files: dict[str, list[Path]] = {}
        with Progress(len(arms) * sitting.pictures, "rendering", "pictures") as bar:
            for arm in sorted(arms, key=lambda one: not one.lora):
                files[arm.name] = self._rendered(arm, names, sitting, bar)
        with Progress(len(arms), "judging", "arms") as bar:
            found = {}
            for arm in arms:
                found[arm.name] = self._look(files[arm.name])
                bar.advance()
        return found

    def _rendered(self, arm: Arm, names: Sequence[str], sitting: Sitting, bar: Progress) -> list[Path]:
        study = self._study
        asked = requests_of(
            study.plan, arm, sitting.prompts, study.subject, study.side, sitting.first_seed, sitting.seeds
        )
        try:
            return self._renderer.render(arm.name, names, asked, bar)
        except ModelFileError as error:
            if not arm.lora:
                raise
            raise NotMeasurableError(
                f"{arm.lora} cannot be measured on {study.base.name}: {error.message}", error.hint
            ) from error

    def _look(self, files: Sequence[Path]) -> Features:
        new = [path for path in files if path not in self._seen]
        if new:
            seen = look(self._study.judges, new)
            self._seen |= {path: seen[place : place + 1] for place, path in enumerate(new)}
        return put_together([self._seen[path] for path in files])

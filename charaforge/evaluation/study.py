"""Everything an evaluation needs before its first picture is rendered."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from charaforge.errors import ConfigError, NotMeasurableError, UsageError
from charaforge.evaluation.apart import also_trained, check_apart, trained_on
from charaforge.evaluation.arms import native_side
from charaforge.evaluation.features import Features, look
from charaforge.evaluation.judges import Judges, caption_tables, find_judge, open_judges, usual_tags
from charaforge.evaluation.metrics import copying, corruption
from charaforge.evaluation.metrics.joints import Points
from charaforge.evaluation.metrics.trait_loss import usual_shares
from charaforge.evaluation.plan import EvaluationPlan
from charaforge.evaluation.poses import assign_poses, read_target
from charaforge.evaluation.prompts import EvalPrompt, load_prompts
from charaforge.evaluation.scoring import Yardstick, embeddings, preferred
from charaforge.evaluation.standard import set_standard
from charaforge.evaluation.subject import NameTraits, Subject, load_subject
from charaforge.perception.opening import open_tagger
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import ModelEntry, Registry


@dataclass(frozen=True, slots=True)
class Study:
    """What does not change while pictures are rendered and judged.

    Attributes:
        plan: What is measured.
        registry: The models by name.
        base: The base model.
        lora: The LoRA.
        prompts: Prompts in order.
        judges: Who judges.
        subject: Whom the LoRA shall show.
        yardstick: What pictures are measured against.
        side: Side of the pictures, px.
    """

    plan: EvaluationPlan
    registry: Registry
    base: ModelEntry
    lora: ModelEntry
    prompts: tuple[EvalPrompt, ...]
    judges: Judges
    subject: Subject
    yardstick: Yardstick
    side: int

    def poses(self, prompts: Sequence[EvalPrompt]) -> tuple[dict[str, Path], dict[str, Points]]:
        """Pose file and target key points by prompt id; nothing without ``pose_dir``."""
        if self.plan.pose_dir is None:
            return {}, {}
        return poses_of(prompts, self.plan.pose_dir, self.judges, self.base)


def prepare(plan: EvaluationPlan, warehouse: Warehouse, *others: str) -> Study:
    """Read prompts and references, open the judges and set the threshold.

    Args:
        plan: What is measured.
        warehouse: Where the models are.
        others: Names of further LoRAs that are held against the same references.

    Raises:
        NotMeasurableError: faulty prompts, no identity model, too few impostors or references, one of the
            LoRAs was trained on references, or not even real pictures of the character are accepted.
        UsageError, UnknownNameError: the plan names what is not there.
    """
    registry = Registry(warehouse)
    base, lora = registry.get(plan.model, "base"), registry.get(plan.lora, "lora")
    prompts = measurable_prompts(plan.prompts)[: plan.max_prompts]
    subject = load_subject(plan.table, plan.character, warehouse, trait_finder(registry, base))
    for name in (plan.lora, *others):
        subject = also_trained(subject, trained_on(name, warehouse))
    check_apart(subject)
    captions = caption_tables(plan.table, plan.lora, warehouse)
    judges = open_judges(registry, base, subject, plan.impostors, captions)
    yardstick = yardstick_of(judges, subject)
    side = native_side(base.card, base.family)
    return Study(plan, registry, base, lora, prompts, judges, subject, yardstick, side)


def poses_of(
    prompts: Sequence[EvalPrompt], folder: Path, judges: Judges, base: ModelEntry
) -> tuple[dict[str, Path], dict[str, Points]]:
    """Pose file and target key points by prompt id.

    Raises:
        NotMeasurableError: no pose estimator, no poses, or one without joints.
        UsageError, UnknownNameError: no such folder, or a prompt names a pose that is not there.
    """
    if judges.pose is None:
        raise NotMeasurableError(
            f"there is no pose estimator for pictures of {base.name}, so poses are not measurable",
            "put one into models/pose, or leave out --pose_dir",
        )
    side, estimator = native_side(base.card, base.family), judges.pose
    read = cache(lambda path: read_target(path, side, estimator))
    files = assign_poses(prompts, folder, read)
    return files, {name: read(path) for name, path in files.items()}


def measurable_prompts(path: Path) -> tuple[EvalPrompt, ...]:
    """Read a prompts file; its faults mean that nothing can be measured.

    Raises:
        NotMeasurableError: it has faults; all of them are named.
        UsageError: it cannot be read.
    """
    try:
        return load_prompts(path)
    except ConfigError as error:
        told = "it" if len(error.faults) == 1 else f"these {len(error.faults)} faults"
        raise NotMeasurableError(
            f"the prompts cannot be used; {error.message}",
            f"mend {told}; part of the prompts would measure something else",
        ) from error


def yardstick_of(judges: Judges, subject: Subject) -> Yardstick:
    """Set the standard, look at the training pictures, and learn what whole pictures look like.

    Raises:
        NotMeasurableError: as of ``set_standard``.
    """
    standard = set_standard(judges, subject)
    held_out, count = standard.held_out, standard.count
    trained = look(judges, [path for path in subject.training if path.is_file()])
    kind = preferred(held_out)
    own, learnt = embeddings(held_out, kind), embeddings(trained, kind)
    return Yardstick(
        standard,
        subject,
        copying.originals(trained.hashes[:, 0], learnt, own[:count], own),
        corruption.bounds(held_out),
        judges.encoder.threshold,
        judges.names,
        _usual_traits(held_out, trained, subject),
    )


def _usual_traits(held_out: Features, trained: Features, subject: Subject) -> dict[str, float]:
    """How often the character's fixed traits are seen in its real pictures; nothing without a tagger."""
    tags = np.concatenate([held_out.tags, trained.tags]) if len(trained) else held_out.tags
    return usual_shares(tags, held_out.tag_names, subject.traits)


def trait_finder(registry: Registry, base: ModelEntry) -> NameTraits:
    """What finds a character's traits in its references, where the table does not list them."""

    def find(paths: Sequence[Path]) -> tuple[str, ...]:
        tagger = find_judge(registry, base, "tagger")
        if tagger is None:
            raise UsageError(
                "the table lists no traits, and there is no tagger to find them",
                'write "traits: long hair, …" into its column notes, or a WD14 tagger into models/taggers',
            )
        return usual_tags(open_tagger(registry, tagger.name).net, paths)

    return find

"""Pose fidelity of the pictures of one arm."""

from collections.abc import Mapping

import numpy as np

from charaforge.evaluation.features import Features
from charaforge.evaluation.metrics import limb_angle, pose_oks, pose_pck
from charaforge.evaluation.metrics.joints import Points
from charaforge.evaluation.results import Measure
from charaforge.evaluation.scoring import Sitting, measure


def pose_measures(seen: Features, targets: Mapping[str, Points], sitting: Sitting) -> tuple[Measure, ...]:
    """Measure an arm against the poses of its prompts.

    The detector's floor is what it differs by between a picture and the same mirrored and recompressed. From
    the angle it is taken off, picture by picture; beside the shares it stands as what can be reached.

    Args:
        seen: What was seen in the pictures.
        targets: Prompt id -> key points (18, 3) in pixels of the pictures.
        sitting: Prompts and seeds of the pictures.
    """
    wanted = np.stack([targets[prompt.id] for prompt in sitting.prompts for _ in range(sitting.seeds)])
    found, again, seeds = seen.points, seen.mirrored_points, sitting.seeds
    shares = (
        (pose_pck.TORSO, pose_pck.pck_t20),
        (pose_pck.LIMBS, pose_pck.pck_h5_limbs),
        (pose_oks.METRIC, pose_oks.oks),
    )
    told = [
        measure(metric.name, compute(found, wanted), seeds, floor=_mean(compute(again, found)))
        for metric, compute in shares
    ]
    noise = np.nan_to_num(limb_angle.limb_angles(again, found))
    excess = np.maximum(limb_angle.limb_angles(found, wanted) - noise, 0)
    return (*told, measure(limb_angle.METRIC.name, excess, seeds, floor=_mean(noise)))


def _mean(values: np.ndarray) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))

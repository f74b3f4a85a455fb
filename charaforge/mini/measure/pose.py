"""mini-pose on held-out renders: share of limb joints found within 5 % of the figure's height."""

from pathlib import Path

import numpy as np
from PIL import Image

from charaforge.mini.measure.bars import Bar
from charaforge.mini.recipes.bank import Bank
from charaforge.mini.recipes.decoded import reconstruct
from charaforge.mini.render import keypoints
from charaforge.mini.render.skeleton import pose_skeleton
from charaforge.perception.simcc import PoseEstimator

BARS = {"pck_h5_limbs": Bar(0.90)}
PICTURES = 2000
FIGURE_HEIGHT = 92.0
"""Crown to sole of a standing figure, in figure units."""

_LIMBS = (3, 4, 6, 7, 9, 10, 12, 13)
_TOLERANCE = 0.05
_SEEN = 0.3


def measure(model: Path, work: Path, vae: Path | None = None, pictures: int = PICTURES) -> dict[str, float]:
    """Compare estimated key points with the renderer's, over joints that lie in the frame.

    Args:
        model: The estimator's folder.
        work: Folder that holds the banks.
        vae: AutoencoderKL folder; with it, reconstructions are measured too.
        pictures: How many of the "test" bank.

    Returns:
        ``pck_h5_limbs`` (elbows, wrists, knees, ankles), ``pck_h5_all``, ``error_px`` (mean distance, limbs),
        ``in_frame`` (agreement of score >= 0.3 with the joint being in the frame); with a VAE ``..._vae``.
    """
    bank = Bank(work / "bank", "test", pictures)
    estimator = PoseEstimator(model)
    scenes = [bank.scene(i) for i in range(pictures)]
    truth = np.stack([keypoints(s) for s in scenes])
    scales = np.array([pose_skeleton(s).scale for s in scenes])
    shown = bank.pictures(range(pictures))
    figures = compared(estimator, shown, truth, scales)
    if vae is not None:
        decoded = compared(estimator, reconstruct(vae, shown), truth, scales)
        figures |= {f"{name}_vae": value for name, value in decoded.items()}
    return figures


def compared(
    estimator: PoseEstimator, pictures: np.ndarray, truth: np.ndarray, scales: np.ndarray
) -> dict[str, float]:
    """The figures of ``measure`` for these pictures.

    Args:
        estimator: finds the joints.
        pictures: uint8 (N, 128, 128, 3).
        truth: (N, 18, 3), as ``keypoints`` gives them.
        scales: (N,), of the figures' skeletons.
    """
    found = estimator.estimate([Image.fromarray(p) for p in pictures])
    distance = np.linalg.norm(found[..., :2] - truth[..., :2], axis=2)
    hit = distance <= _TOLERANCE * FIGURE_HEIGHT * scales[:, None]
    seen = truth[..., 2] > 0
    limbs = np.zeros_like(seen)
    limbs[:, _LIMBS] = seen[:, _LIMBS]
    return {
        "pck_h5_limbs": float(hit[limbs].mean()),
        "pck_h5_all": float(hit[seen].mean()),
        "error_px": float(distance[limbs].mean()),
        "in_frame": float(((found[..., 2] >= _SEEN) == seen).mean()),
    }

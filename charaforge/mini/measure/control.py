"""Whether control maps and references hold mini-sd's pictures, through the generator that users have.

    python -m charaforge.mini.measure.control --out FOLDER

- Pose: prompts without pose words; the target is of another class of pose than the uncontrolled picture.
  `pck_h5_limbs` at strength 0 and 1, and the detector's floor on real renders of the targets.
- Depth, line art, edges: mean difference between the map given and the map read off the picture, against
  that of VAE reconstructions of real renders, the best that can be drawn in latents.
- References: the picture made from a reference is nearest, among 50, to that reference.
"""

import argparse
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from charaforge.generation.generator import Generator
from charaforge.mini import world
from charaforge.mini.attributes import decide
from charaforge.mini.measure.bars import Bar, missed
from charaforge.mini.measure.pose import compared
from charaforge.mini.model_card import write_model_card
from charaforge.mini.recipes.decoded import reconstruct
from charaforge.mini.recipes.export import renew_card
from charaforge.mini.recipes.ip_adapter import shown_tags
from charaforge.mini.recipes.maps import depth_map, line_map, pose_map
from charaforge.mini.render import keypoints, render
from charaforge.mini.render.skeleton import pose_skeleton
from charaforge.mini.scenes import Scene, sample_held_out_scene, scene_tags
from charaforge.perception.annotator import Annotator
from charaforge.perception.ccip import IdentityEncoder
from charaforge.perception.simcc import PoseEstimator
from charaforge.perception.wd14 import WD14Tagger
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.inputs import Control, ControlType, Reference
from charaforge.warehouse.atomic import replacing
from charaforge.warehouse.bootstrap import bootstrap
from charaforge.warehouse.layout import Warehouse
from charaforge.warehouse.registry import Registry

SCENES = 100
REFERENCES = 50
MODEL = "mini-sd"
_STEPS = 20
BARS = {
    "pose_gain_share": Bar(0.6),
    "depth_gain_share": Bar(0.5),
    "lineart_gain_share": Bar(0.5),
    "canny_gain_share": Bar(0.5),
    "reference_top1": Bar(0.5),
}

MODELS = {
    "mini-controlnet-pose": ("controlnet", ("pose_",)),
    "mini-controlnet-depth": ("controlnet", ("depth_",)),
    "mini-controlnet-lineart": ("controlnet", ("lineart_", "canny_")),
    "mini-ip-adapter": ("ipadapter", ("reference_",)),
    "mini-annotator": ("annotator", ("depth_error_floor", "lineart_error_floor")),
}
"""Model to its kind and how the figures about it begin."""


@dataclass(frozen=True)
class Bench:
    """What all measures share.

    Attributes:
        warehouse: where the models are.
        generator: as users have it.
        out: folder of maps, references and sheets.
    """

    warehouse: Warehouse
    generator: Generator
    out: Path

    def folder(self, name: str, kind: str) -> Path:
        """Folder of a model."""
        return Registry(self.warehouse).get(name, kind).path

    def pictures(self, requests: Sequence[GenerationRequest]) -> list[Image.Image]:
        """Render in order."""
        return [picture.image for picture in self.generator.generate_many(list(requests))]


def scenes(count: int) -> list[Scene]:
    """Held-out full-body scenes; the same ones on every machine."""
    rng = random.Random("control")
    return [replace(sample_held_out_scene(rng), framing="full body") for _ in range(count)]


def request(scene: Scene, seed: int, hidden: set[str], **given: object) -> GenerationRequest:
    """A request for this scene's words but the hidden ones, at native size."""
    words = ", ".join(tag for tag in scene_tags(scene) if tag not in hidden)
    side = world.NATIVE_SIDE
    fixed = {"prompt": words, "seed": seed, "model": MODEL, "width": side, "height": side, "steps": _STEPS}
    return GenerationRequest.model_validate(fixed | given)


def poses(bench: Bench, count: int) -> dict[str, float]:
    """`pck_h5_limbs` and limb error in px without control, with it, and on real renders."""
    shown = scenes(count)
    plain = bench.pictures([request(s, i, {s.pose}) for i, s in enumerate(shown)])
    scores = WD14Tagger(bench.folder("mini-tagger", "tagger")).tag(plain)
    drawn = [found["pose"] for found in decide(scores.probabilities, scores.names)]
    targets = [_other_pose(s, pose, i) for i, (s, pose) in enumerate(zip(shown, drawn, strict=True))]
    controlled = bench.pictures(
        [
            request(s, i, {s.pose}, controls=[_control(bench, "pose", pose_map(target), i)])
            for i, (s, target) in enumerate(zip(shown, targets, strict=True))
        ]
    )
    estimator = PoseEstimator(bench.folder("mini-pose", "pose"))
    truth = np.stack([keypoints(t) for t in targets])
    scales = np.array([pose_skeleton(t).scale for t in targets])
    real = [Image.fromarray(render(t)) for t in targets]
    figures: dict[str, float] = {}
    for name, pictures in (("0", plain), ("1", controlled), ("floor", real)):
        measured = compared(estimator, np.stack([np.asarray(p) for p in pictures]), truth, scales)
        figures |= {f"pose_{key}_{name}": measured[key] for key in ("pck_h5_limbs", "error_px")}
    without, within, floor = (figures[f"pose_pck_h5_limbs_{name}"] for name in ("0", "1", "floor"))
    _sheet(bench, "pose", [plain, [Image.fromarray(pose_map(t)) for t in targets], controlled, real])
    return figures | {"pose_gain_share": (within - without) / (floor - without)}


def maps(bench: Bench, kind: ControlType, count: int) -> dict[str, float]:
    """Mean difference (0 to 1) from the given map without control, with it, and at best.

    The best are VAE reconstructions of real renders: nothing that is drawn in latents comes nearer.
    """
    targets = scenes(count)
    given = [_map(kind, target) for target in targets]
    hidden = [{t.pose, t.framing, t.style, t.bangs, t.accessory} for t in targets]
    plain = bench.pictures([request(t, i, hidden[i]) for i, t in enumerate(targets)])
    controlled = bench.pictures(
        [
            request(t, i, hidden[i], controls=[_control(bench, kind, given[i], i)])
            for i, t in enumerate(targets)
        ]
    )
    decoded = reconstruct(bench.folder(MODEL, "base") / "vae", np.stack([render(t) for t in targets]))
    best = [Image.fromarray(picture) for picture in decoded]
    annotator = Annotator(bench.folder("mini-annotator", "annotator"))
    errors = {
        name: float(np.mean([_difference(annotator, kind, p, g) for p, g in zip(shown, given, strict=True)]))
        for name, shown in (("0", plain), ("1", controlled), ("floor", best))
    }
    _sheet(bench, kind, [plain, [Image.fromarray(g) for g in given], controlled, best])
    share = (errors["0"] - errors["1"]) / (errors["0"] - errors["floor"])
    return {f"{kind}_error_{name}": value for name, value in errors.items()} | {f"{kind}_gain_share": share}


def references(bench: Bench, count: int) -> dict[str, float]:
    """Share of pictures whose own reference is the nearest of all, by mini-identity."""
    shown = scenes(count)
    pictures = [Image.fromarray(render(s)) for s in shown]
    paths = [_saved(bench, "reference", picture, i) for i, picture in enumerate(pictures)]
    made = bench.pictures(
        [
            request(s, i, shown_tags(s), references=[Reference(face_ref=str(path)).model_dump()])
            for i, (s, path) in enumerate(zip(shown, paths, strict=True))
        ]
    )
    encoder = IdentityEncoder(bench.folder("mini-identity", "identity"))
    nearest = (encoder.embed(made) @ encoder.embed(pictures).T).argmax(1)
    _sheet(bench, "reference", [pictures, made])
    return {"reference_top1": float((nearest == np.arange(count)).mean())}


def _other_pose(scene: Scene, drawn: str, index: int) -> Scene:
    rng = random.Random(f"target {index}")
    pose = rng.choice([p for p in world.POSES if p not in (drawn, scene.pose)])
    return replace(scene, pose=pose, geometry_seed=rng.getrandbits(32))


def _map(kind: ControlType, scene: Scene) -> npt.NDArray[np.uint8]:
    """The map of a scene: uint8 (128, 128, 3)."""
    if kind == "canny":
        drawn = np.asarray(cv2.Canny(render(scene), 100.0, 200.0), np.uint8)
    else:
        drawn = depth_map(scene) if kind == "depth" else line_map(scene)
    return np.repeat(drawn[..., None], 3, -1)


def _difference(
    annotator: Annotator, kind: ControlType, picture: Image.Image, given: npt.NDArray[np.uint8]
) -> float:
    if kind == "canny":
        edges = (cv2.Canny(np.asarray(picture), 100.0, 200.0), given[..., 0])
        found, wanted = (cv2.GaussianBlur(e.astype(np.float32), (0, 0), 1.0) for e in edges)
    else:
        found, wanted = np.asarray(annotator.draw(kind, picture), np.float32), given[..., 0]
    return float(np.abs(found - wanted).mean() / 255)


def _control(bench: Bench, kind: ControlType, drawn: npt.NDArray[np.uint8], index: int) -> dict[str, object]:
    path = _saved(bench, kind, Image.fromarray(drawn), index)
    return Control(type=kind, image=str(path), preprocessor="none").model_dump()


def _saved(bench: Bench, name: str, picture: Image.Image, index: int) -> Path:
    path = bench.out / name / f"{index:04d}.png"
    with replacing(path) as temporary:
        picture.save(temporary, "PNG")
    return path


def _sheet(bench: Bench, name: str, rows: Sequence[Sequence[Image.Image]]) -> None:
    from charaforge.mini.measure.sheets import grid

    columns = 8
    with replacing(bench.out / f"{name}.png") as temporary:
        grid([picture for row in rows for picture in row[:columns]], columns).save(temporary, "PNG")


def measure(bench: Bench, names: Sequence[str], count: int = SCENES) -> dict[str, float]:
    """Run the measures of these names: pose, depth, lineart, canny, reference."""
    figures: dict[str, float] = {}
    for name in names:
        if name == "pose":
            figures |= poses(bench, count)
        elif name == "reference":
            figures |= references(bench, min(count, REFERENCES))
        elif name in ("depth", "lineart", "canny"):
            figures |= maps(bench, name, count)  # type: ignore[arg-type]  # narrowed by the line above
    return figures


def record(bench: Bench, figures: Mapping[str, float]) -> None:
    """Write the figures into card and model card of each model that they are about."""
    for name, (kind, begin) in MODELS.items():
        own = {k: round(v, 4) for k, v in figures.items() if k.startswith(begin)}
        if own:
            folder = bench.folder(name, kind)
            renew_card(folder, measured=own)
            write_model_card(folder, {k: str(BARS[k]) for k in own if k in BARS})


def main() -> int:
    """Print the figures, then the bars that are missed; 4 where there are any."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=["pose", "depth", "lineart", "canny", "reference"])
    parser.add_argument("--out", type=Path, required=True, help="folder of maps, sheets and figures.json")
    parser.add_argument("--count", type=int, default=SCENES, help=f"scenes [default: {SCENES}]")
    parser.add_argument("--record", action="store_true", help="write the figures into the models' cards")
    arguments = parser.parse_args()
    warehouse = bootstrap()
    bench = Bench(warehouse, Generator(warehouse), arguments.out)
    figures = measure(bench, arguments.names, arguments.count)
    sys.stdout.write("".join(f"{name:28} {value:8.4f}\n" for name, value in figures.items()))
    with replacing(arguments.out / "figures.json") as temporary:
        temporary.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    if arguments.record:
        record(bench, figures)
    wanted = {name: bar for name, bar in BARS.items() if name in figures}
    faults = missed(figures, wanted)
    sys.stdout.write("".join(f"MISSED {line}\n" for line in faults) or "all bars are met\n")
    return 4 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""``MODEL_CARD.md`` of the mini family's small nets, written from ``card.json`` and what is told here."""

import json
from collections.abc import Mapping
from pathlib import Path

from charaforge.warehouse.atomic import write_text

_TOLD: Mapping[str, tuple[str, str, str]] = {
    "mini-tagger": (
        "Names what a picture of the mini world shows, in Danbooru's words, with probabilities.",
        (
            "WD14: `model.onnx` takes float32 NHWC (N, 128, 128, 3), BGR, 0 to 255; gives probabilities "
            "in the order of `selected_tags.csv`. Garments are one tag with their colour (`blue_hoodie`)."
        ),
        "It knows the mini world only. A colour of eyes is given only where they are open.",
    ),
    "mini-identity": (
        (
            "Says how alike two pictures are as *characters*: outfit, pose, expression and background do "
            "not count."
        ),
        (
            "CCIP: `model_feat.onnx` takes float32 NCHW (N, 3, 128, 128), RGB / 255, normalised with "
            "CLIP's mean and standard deviation; gives 128 numbers, to be compared by cosine. "
            "`metrics.json` holds the threshold as CCIP's difference, (1 - cosine) / 2, and as cosine of "
            "the median over 20 references."
        ),
        (
            "It was trained to tell lookalikes (same words, other signature trait) apart; two characters "
            "that differ in eye colour alone look the same while the eyes are closed."
        ),
    ),
    "mini-signature-judge": (
        (
            "Says which signature trait (kind and colour) a picture shows; a second opinion beside mini-"
            "identity, with which it shares neither characters, nor architecture, nor augmentation seed."
        ),
        (
            "`model.onnx` takes float32 NCHW (N, 3, 128, 128), RGB, 0 to 1; gives logits: kinds, then "
            "colours, as listed in `labels.json` (the first of each is none)."
        ),
        "It knows the five kinds and six colours of the mini world, nothing else of a character.",
    ),
    "mini-pose": (
        "Finds the 18 OpenPose key points of the one figure in a picture.",
        (
            "SimCC (RTMPose, DWPose): `model.onnx` takes float32 NCHW (N, 3, 128, 128), RGB, normalised "
            "with mmpose's numbers; gives `simcc_x` and `simcc_y` (N, 18, 256), two bins per pixel. "
            "Joints are in OpenPose's order of 18 (not COCO-WholeBody's 133). A score below 0.3 means: "
            "not in the frame."
        ),
        (
            "Hidden joints (arms behind the back, knees under a skirt) are guessed, as the renderer "
            "defines them."
        ),
    ),
    "mini-upscaler": (
        (
            "Enlarges pictures of the mini world four times with crisp lines, and cleans the VAE's blur "
            "as it does so."
        ),
        ("`model.onnx` takes float32 NCHW (N, 3, H, W), RGB, 0 to 1, of any size; gives (N, 3, 4H, 4W)."),
        "Made for flat cel shading; photographs gain nothing over Lanczos.",
    ),
}
_RECIPES = {
    "mini-tagger": "tagger",
    "mini-identity": "identity",
    "mini-signature-judge": "judge",
    "mini-pose": "pose",
    "mini-upscaler": "upscaler",
}


def write_model_card(folder: Path, bars: Mapping[str, str]) -> None:
    """Write the model card of the model in ``folder``; ``bars`` says for some figures what was wanted."""
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    name = card["name"]
    purpose, layout, limits = _TOLD[name]
    recipe, seed = _RECIPES[name], card["trained_on"].get("seed", 0)
    trained = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in card["trained_on"].items())
    rows = [f"| {k} | {v:.4g} | {bars.get(k, '')} |" for k, v in card.get("measured", {}).items()]
    lines = [
        f"# {name}", "", purpose, "",
        "## Format", "", layout, "",
        "## How it was made", "",
        f"From random weights, on pictures of CharaForge's own renderer alone (world version "
        f"{card['world_version']}), by `charaforge/mini/recipes/{recipe}.py`, on one CPU core: {trained}.",
        "No outside picture, weight or tag list went into it.", "",
        f"To make it again: `charaforge mini train {recipe} --seed {seed}`; "
        "the same command continues a stopped training.",
        f"To measure it again: `python -m charaforge.mini.measure.small_nets {name}`.", "",
        "## Measured", "", "| figure | value | wanted |", "|---|---|---|", *rows, "",
        "## Limits", "", limits, "",
        "## Licence", "", card["license"], "",
    ]  # fmt: skip
    write_text(folder / "MODEL_CARD.md", "\n".join(lines))

"""What the model cards of the mini family's nets say beside their figures."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """One net.

    Attributes:
        purpose: what it is for.
        layout: files, inputs, outputs.
        limits: what it cannot do.
        recipe: of ``charaforge mini train``.
        measure: command that measures it.
        start: what its weights began as.
    """

    purpose: str
    layout: str
    limits: str
    recipe: str
    measure: str
    start: str = "random weights"


_SMALL = "python -m charaforge.mini.measure.small_nets"
_CONTROL = "python -m charaforge.mini.measure.control"

TOLD: Mapping[str, Told] = {
    "mini-tagger": Told(
        purpose="Names what a picture of the mini world shows, in Danbooru's words, with probabilities.",
        layout=(
            "WD14: `model.onnx` takes float32 NHWC (N, 128, 128, 3), BGR, 0 to 255; gives probabilities "
            "in the order of `selected_tags.csv`. Garments are one tag with their colour (`blue_hoodie`)."
        ),
        limits="It knows the mini world only. A colour of eyes is given only where they are open.",
        recipe="tagger",
        measure=f"{_SMALL} mini-tagger",
    ),
    "mini-identity": Told(
        purpose=(
            "Says how alike two pictures are as *characters*: outfit, pose, expression and background do "
            "not count."
        ),
        layout=(
            "CCIP: `model_feat.onnx` takes float32 NCHW (N, 3, 128, 128), RGB / 255, normalised with "
            "CLIP's mean and standard deviation; gives 128 numbers, to be compared by cosine. "
            "`metrics.json` holds the threshold as CCIP's difference, (1 - cosine) / 2, and as cosine of "
            "the median over 20 references."
        ),
        limits=(
            "It was trained to tell lookalikes (same words, other signature trait) apart; two characters "
            "that differ in eye colour alone look the same while the eyes are closed."
        ),
        recipe="identity",
        measure=f"{_SMALL} mini-identity",
    ),
    "mini-signature-judge": Told(
        purpose=(
            "Says which signature trait (kind and colour) a picture shows; a second opinion beside "
            "mini-identity, with which it shares neither characters, nor architecture, nor augmentation "
            "seed."
        ),
        layout=(
            "`model.onnx` takes float32 NCHW (N, 3, 128, 128), RGB, 0 to 1; gives logits: kinds, then "
            "colours, as listed in `labels.json` (the first of each is none)."
        ),
        limits="It knows the five kinds and six colours of the mini world, nothing else of a character.",
        recipe="judge",
        measure=f"{_SMALL} mini-signature-judge",
    ),
    "mini-pose": Told(
        purpose="Finds the 18 OpenPose key points of the one figure in a picture.",
        layout=(
            "SimCC (RTMPose, DWPose): `model.onnx` takes float32 NCHW (N, 3, 128, 128), RGB, normalised "
            "with mmpose's numbers; gives `simcc_x` and `simcc_y` (N, 18, 256), two bins per pixel. "
            "Joints are in OpenPose's order of 18 (not COCO-WholeBody's 133). A score below 0.3 means: "
            "not in the frame."
        ),
        limits=(
            "Hidden joints (arms behind the back, knees under a skirt) are guessed, as the renderer "
            "defines them."
        ),
        recipe="pose",
        measure=f"{_SMALL} mini-pose",
    ),
    "mini-upscaler": Told(
        purpose=(
            "Enlarges pictures of the mini world four times with crisp lines, and cleans the VAE's blur "
            "as it does so."
        ),
        layout=(
            "`model.onnx` takes float32 NCHW (N, 3, H, W), RGB, 0 to 1, of any size; gives (N, 3, 4H, 4W)."
        ),
        limits="Made for flat cel shading; photographs gain nothing over Lanczos.",
        recipe="upscaler",
        measure=f"{_SMALL} mini-upscaler",
    ),
    "mini-controlnet-pose": Told(
        purpose="Holds what mini-sd draws to a pose.",
        layout=(
            "A plain diffusers `ControlNetModel` (Zhang et al. 2023), float16, without cross-attention: "
            "it sees noisy latents, time and the map, float32 NCHW (N, 3, 128, 128) in 0 to 1, RGB: an "
            "OpenPose skeleton of 18 points as CharaForge's own renderer draws it."
        ),
        limits=(
            "It was shown one figure, from the front; a skeleton of another build is followed as far as "
            "chibi limbs reach."
        ),
        recipe="controlnet_pose",
        measure=f"{_CONTROL} pose --out FOLDER",
        start="mini-sd's encoder",
    ),
    "mini-controlnet-depth": Told(
        purpose="Holds what mini-sd draws to a depth map.",
        layout=(
            "A plain diffusers `ControlNetModel` (Zhang et al. 2023), float16, without cross-attention: "
            "it sees noisy latents, time and the map, float32 NCHW (N, 3, 128, 128) in 0 to 1, RGB: near "
            "is bright, three equal channels."
        ),
        limits="Depths are layers of a flat world, not of a camera.",
        recipe="controlnet_depth",
        measure=f"{_CONTROL} depth --out FOLDER",
        start="mini-sd's encoder",
    ),
    "mini-controlnet-lineart": Told(
        purpose="Holds what mini-sd draws to line art or Canny edges.",
        layout=(
            "A plain diffusers `ControlNetModel` (Zhang et al. 2023), float16, without cross-attention: "
            "it sees noisy latents, time and the map, float32 NCHW (N, 3, 128, 128) in 0 to 1, RGB: white "
            "lines on black, three equal channels."
        ),
        limits="Lines of another drawing style than the mini world's are followed loosely.",
        recipe="controlnet_lineart",
        measure=f"{_CONTROL} lineart canny --out FOLDER",
        start="mini-sd's encoder",
    ),
    "mini-annotator": Told(
        purpose="Draws the depth and the line art of a picture: the maps that the mini ControlNets follow.",
        layout=(
            "`model.onnx` takes float32 NCHW (N, 3, H, W), RGB, 0 to 1, sides multiples of 8; gives "
            "`depth` and `lineart`, each (N, 1, H, W) in 0 to 1."
        ),
        limits="It knows flat cel shading; depth is the order of layers.",
        recipe="annotator",
        measure=f"{_CONTROL} depth lineart --out FOLDER",
    ),
    "mini-ip-adapter": Told(
        purpose=(
            "Shows mini-sd a reference picture: the figure and clothes of the reference, in the words' "
            "pose and place."
        ),
        layout=(
            "IP-Adapter (Ye et al. 2023): `ip-adapter.safetensors` (`image_proj.*`, `ip_adapter.*`; four "
            "tokens) and `image_encoder/`, a CLIPVisionModelWithProjection with its preprocessor."
        ),
        limits=(
            "It was shown the base world: signature traits of characters come through faintly; train a "
            "LoRA for those."
        ),
        recipe="ip_adapter",
        measure=f"{_CONTROL} reference --out FOLDER",
        start="random weights and mini-sd's projections of words",
    ),
}

"""What `charaforge lora info` prints of a LoRA."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_PARTS = {"unet": "UNet", "text_encoder": "text encoder", "text_encoder_2": "second text encoder"}
_SETTINGS = (
    "learning_rate",
    "unet_lr",
    "text_encoder_lr",
    "optimizer",
    "lr_scheduler",
    "steps",
    "num_epochs",
    "total_batch_size",
    "num_train_images",
    "mixed_precision",
    "min_snr_gamma",
    "noise_offset",
    "seed",
    "training_comment",
)


def report(told: Mapping[str, Any], layers: bool) -> str:
    """Return what `describe_file` found, as lines for people.

    Args:
        told: see `charaforge.diffusion.lora_tools.info.describe_file`.
        layers: whether every layer is listed.
    """
    lines = [f"{label + ':':<11}{text}" for label, text in _facts(told) if text]
    lines += [f"{'note:':<11}{line}" for line in told["warnings"]]
    if layers:
        lines += ["", *(_layer(name, layer) for name, layer in told["layers"].items())]
    return "\n".join(lines)


def _facts(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    base, norms = told["base"], told["norms"]
    parts = ", ".join(f"{count} in the {_PARTS[part]}" for part, count in told["parts"].items())
    yield "LoRA", f"{told['name']}, {told['bytes'] / 1e6:.1f} MB, {told['precision']}, keys of {told['keys']}"
    yield "base", ", ".join(word for word in (told["family"], base["name"], base["resolution"]) if word)
    yield "predicts", base["prediction"]
    yield "trigger", told["trigger"]
    yield "layers", parts
    yield "kinds", _counts(told["kinds"])
    yield "ranks", _counts(told["ranks"])
    yield "alphas", _counts(told["alphas"])
    yield (
        "change",
        f"|D| {norms['mean']:.3g} mean, {norms['median']:.3g} median, {norms['largest']:.3g} at most",
    )
    yield "training", ", ".join(f"{k} {told['training'][k]}" for k in _SETTINGS if told["training"].get(k))
    yield "tags", ", ".join(f"{tag} ({count})" for tag, count in told["tags"].items())
    yield "sha256", f"{told['hashes']['sha256']} (AutoV2 {told['hashes']['autov2']})"
    yield "tensors", f"{told['hashes']['tensors']} (AutoV3 {told['hashes']['autov3']})"


def _counts(counts: Mapping[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({count} times)" for value, count in counts.items())


def _layer(name: str, layer: Mapping[str, Any]) -> str:
    alpha = "-" if layer["alpha"] is None else f"{layer['alpha']:g}"
    return f"{name}  {layer['kind']}  rank {layer['rank']}  alpha {alpha}  |D| {layer['norm']:.3g}"

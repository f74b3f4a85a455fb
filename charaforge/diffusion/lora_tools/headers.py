"""Headers of LoRAs that tools made: what was true of the LoRAs they came from and still is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.lora_format import LoraFile
from charaforge.diffusion.lora_header import ARCHITECTURES, BASE_VERSIONS, describe
from charaforge.diffusion.lora_tools.opening import family_of
from charaforge.diffusion.lora_tools.resize import Resized
from charaforge.diffusion.lora_updates import DoraLayer, LoraLayer
from charaforge.warehouse.recommended import HINT_KEY, NUMBERS_KEY, without_weight

_COMMENT = "ss_training_comment"
_OF_THE_BASE = (
    "ss_sd_model_name",
    "ss_sd_model_hash",
    "ss_new_sd_model_hash",
    "modelspec.prediction_type",
    "modelspec.resolution",
    "ss_resolution",
)


def resized_header(metadata: Mapping[str, str], done: Resized) -> dict[str, str]:
    """Return the header of a resized LoRA: that of the whole one with its new ranks and a comment.

    Numbers of an evaluation and the weight that it chose stay behind: they are of the whole one.
    """
    ranks = done.ranks
    usual, _ = Counter(ranks).most_common(1)[0]
    before = metadata.get("ss_network_dim", "?")
    told = f"resized from rank {before} to {min(ranks)} to {max(ranks)}, {done.error:.2%} of the change lost"
    changed = {"ss_network_dim": str(usual), _COMMENT: _joined(metadata.get(_COMMENT, ""), told)}
    inner = [u.inner if isinstance(u, DoraLayer) else u for u in done.layers.values()]
    alphas = Counter(u.alpha for u in inner if isinstance(u, LoraLayer) and u.rank == usual)
    alpha = {"ss_network_alpha": f"{next(iter(alphas)):g}"} if alphas else {}
    kept = {key: value for key, value in metadata.items() if key != NUMBERS_KEY}
    if HINT_KEY in kept:
        kept[HINT_KEY] = without_weight(kept[HINT_KEY])
    return {**kept, **changed, **alpha, "ss_network_module": "networks.lora"}


def merged_header(
    title: str, loras: Sequence[tuple[LoraFile, float]], layers: Mapping[str, LoraLayer]
) -> dict[str, str]:
    """Return the header of a merge: the first LoRA's base, all triggers, a comment that names the parts."""
    first = loras[0][0].metadata
    family = family_of(loras[0][0])
    triggers = [lora.metadata.get("modelspec.trigger_phrase", "") for lora, _ in loras]
    names = [f"{lora.metadata.get('ss_output_name', lora.sha256[:10])}:{weight:g}" for lora, weight in loras]
    rank = max(layer.rank for layer in layers.values())
    return {
        **{key: first[key] for key in _OF_THE_BASE if key in first},
        "ss_base_model_version": BASE_VERSIONS[family],
        "modelspec.architecture": ARCHITECTURES[family],
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.title": title,
        "modelspec.trigger_phrase": ", ".join(dict.fromkeys(word for word in triggers if word)),
        "ss_output_name": title,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "ss_v2": "False",
        _COMMENT: f"merged of {', '.join(names)}",
    }


def extracted_header(
    title: str, tuned: Bundle, base: Bundle, layers: Mapping[str, LoraLayer]
) -> dict[str, str]:
    """Return the header of an extracted LoRA."""
    rank = max(layer.rank for layer in layers.values())
    return describe(
        title=title,
        base_name=base.name,
        base_sha256=base.sha256,
        side=int(base.unet.config["sample_size"]) * base.latent_factor,
        prediction=tuned.schedule.prediction,
        rank=rank,
        alpha=float(rank),
        placeholders={},
        family=base.family,
        extra={_COMMENT: f"extracted: {tuned.name} beyond {base.name}"},
    )


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)

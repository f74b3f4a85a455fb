"""What a base predicts: what its files say, held against what the configuration says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charaforge.diffusion.noise import Prediction
from charaforge.errors import UsageError
from charaforge.training.config import TrainingConfig
from charaforge.warehouse.cards import safetensors_keys

_SCHEDULER = Path("scheduler") / "scheduler_config.json"


@dataclass(frozen=True)
class Said:
    """What the files of a model say; None where they say nothing.

    Attributes:
        prediction: "epsilon" or "v_prediction".
        zero_terminal_snr: whether the last timestep is pure noise.
    """

    prediction: str | None = None
    zero_terminal_snr: bool | None = None


@dataclass(frozen=True)
class Settled:
    """What a run takes the base for.

    Attributes:
        prediction: what the UNet's output means.
        zero_terminal_snr: whether the last timestep is pure noise.
        notes: what is taken from the configuration because the model is silent, one line each.
    """

    prediction: Prediction
    zero_terminal_snr: bool
    notes: tuple[str, ...] = ()

    @property
    def card(self) -> Mapping[str, Any]:
        """The same as keys of a model's card."""
        return {"prediction_type": self.prediction, "zero_terminal_snr": self.zero_terminal_snr}


def said(weights: Path, card: Mapping[str, Any]) -> Said:
    """Return what a model says: its card first, else its scheduler's config or the keys of its single file.

    Args:
        weights: diffusers folder or safetensors file.
        card: of the model; of a single file without one, the metadata in its header.
    """
    found = _of_folder(weights) if weights.is_dir() else _of_file(weights, card)
    zero = card.get("zero_terminal_snr", found.zero_terminal_snr)
    return Said(card.get("prediction_type", found.prediction), zero if zero is None else bool(zero))


def settled(config: TrainingConfig, model: Said, name: str) -> Settled:
    """Return what a run takes its base for: what it is told, which must not contradict what the model says.

    Args:
        config: prediction_type, zero_terminal_snr.
        model: what the model says.
        name: of the model.

    Raises:
        UsageError: they contradict each other, or join noise prediction with zero terminal SNR.
    """
    asked, zero_asked = config.prediction_type, config.zero_terminal_snr
    if asked != "auto" and model.prediction not in (None, asked):
        raise _contradiction("prediction_type", asked, name, model.prediction)
    if zero_asked != "auto" and model.zero_terminal_snr not in (None, zero_asked):
        raise _contradiction("zero_terminal_snr", zero_asked, name, model.zero_terminal_snr)
    prediction = (model.prediction or "epsilon") if asked == "auto" else asked
    zero = bool(model.zero_terminal_snr) if zero_asked == "auto" else zero_asked
    if prediction == "epsilon" and zero_asked is True:
        raise UsageError(
            f"zero_terminal_snr: true, but {name} predicts noise, which says nothing about the picture where "
            "there is only noise",
            "leave the key out; if it is a v-prediction model that does not say so, give prediction_type: "
            "v_prediction",
        )
    return Settled(prediction, zero, tuple(_notes(config, model, name)))  # type: ignore[arg-type]  # load checks


def _notes(config: TrainingConfig, model: Said, name: str) -> list[str]:
    told = {}
    if config.prediction_type == "v_prediction" and model.prediction is None:
        told["prediction_type"] = config.prediction_type
    if config.zero_terminal_snr is True and model.zero_terminal_snr is None:
        told["zero_terminal_snr"] = True  # type: ignore[assignment]
    if not told:
        return []
    return [f"{name} does not say so itself; write {json.dumps(told)} into its card.json to render so too"]


def _of_folder(folder: Path) -> Said:
    file = folder / _SCHEDULER
    told = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    # diffusers writes rescale_betas_zero_snr: false into every config, so that a false says nothing
    return Said(told.get("prediction_type"), told.get("rescale_betas_zero_snr") or None)


def _of_file(file: Path, card: Mapping[str, Any]) -> Said:
    keys = set(safetensors_keys(file))
    told = str(card.get("modelspec.prediction_type", ""))
    if "v_pred" in keys or told.startswith("v"):
        return Said("v_prediction", True if "ztsnr" in keys else None)
    return Said("epsilon" if told.startswith("eps") else None)


def _contradiction(key: str, asked: object, name: str, model: object) -> UsageError:
    def shown(value: object) -> str:
        return str(value).lower() if isinstance(value, bool) else str(value)

    return UsageError(
        f"{key}: {shown(asked)}, but {name} says {shown(model)}",
        f"set {key}: auto; if the model's own files are wrong, correct them in its card.json",
    )

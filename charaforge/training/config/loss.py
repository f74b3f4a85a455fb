"""The keys of a training configuration that say what the loss is: noise, time steps, weights."""

from __future__ import annotations

from charaforge.config import StrictModel


class LossSettings(StrictModel):
    """Noise, time steps and their weights in the loss."""

"""The typed training configuration: one class per matter, joined into `TrainingConfig`."""

from charaforge.training.config.data import TEMPLATE_FIELDS
from charaforge.training.config.run import TrainingConfig

__all__ = ["TEMPLATE_FIELDS", "TrainingConfig"]

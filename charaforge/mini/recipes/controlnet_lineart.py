"""Recipe of the mini ControlNet ``lineart``, see ``controlnet``."""

from charaforge.mini.recipes.controlnet import KINDS, train_kind
from charaforge.mini.recipes.settings import TrainSettings


def train(settings: TrainSettings) -> dict[str, float]:
    """Train it; the same command goes on where a stopped run was."""
    return train_kind(KINDS["lineart"], settings)

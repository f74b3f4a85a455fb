"""What a run minimises: pure functions for timesteps, noise, distances, weights and masks, and their sum."""

from charaforge.training.loss.objective import Objective, plain_losses

__all__ = ["Objective", "plain_losses"]

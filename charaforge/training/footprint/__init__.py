"""What a run needs of memory, told before anything is spent: weights are counted, activations are tried.

The dry run is the real model with its real adapter on the meta device, forward and backward, where tensors
have shapes but no values.
"""

from charaforge.training.footprint.estimate import Estimator, Footprint

__all__ = ["Estimator", "Footprint"]

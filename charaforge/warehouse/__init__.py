"""The shared warehouse: where models, datasets and outputs live, and how files get there whole."""

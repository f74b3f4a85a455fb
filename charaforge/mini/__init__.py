"""The embedded mini world: a renderer, recipes that train the mini model family on it, and its weights."""

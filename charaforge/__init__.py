"""CharaForge: pictures of one character in, a LoRA whose likeness is proven by numbers out."""

from charaforge.warehouse.bootstrap import bootstrap

__all__ = ["__version__", "bootstrap"]

__version__ = "0.1.0.dev0"

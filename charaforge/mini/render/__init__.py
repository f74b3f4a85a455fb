"""The chibi renderer: ``render(scene)`` gives the picture, any exact layer of it, and its key points."""

from charaforge.mini.render.figure import keypoints, render, signature_mask
from charaforge.mini.render.ink import Layer

__all__ = ["Layer", "keypoints", "render", "signature_mask"]

"""Textual-inversion files (Gal et al. 2022): vectors that stand for a word of a prompt.

Layouts that are read, all safetensors: A1111's `emb_params` (n, D); diffusers' one tensor under the word
itself, (D,) or (n, D); SDXL's `clip_l` (n, 768) and `clip_g` (n, 1280), one for each text encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from charaforge.errors import ModelFileError


def read_embedding(path: Path) -> Mapping[int, Tensor]:
    """Return the vectors of a file by their width: D -> (n, D).

    Raises:
        ModelFileError: it cannot be read, or holds something else.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"the embedding {path} cannot be read: {error}", "fetch it again") from error
    found = {value.shape[-1]: value.reshape(-1, value.shape[-1]) for value in tensors.values() if value.ndim}
    if not tensors or len(found) != len(tensors) or any(value.ndim > 2 for value in tensors.values()):
        shapes = {name: tuple(value.shape) for name, value in list(tensors.items())[:4]}
        raise ModelFileError(
            f"{path} is no textual inversion: it holds {shapes}",
            "emb_params, one tensor of vectors, or clip_l and clip_g are read",
        )
    return found

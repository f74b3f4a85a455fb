"""Prompts to what the UNet attends to: A1111's syntax, windows of 77 tokens, both families.

- Weights: the states of a weighted token are multiplied by it, then the window is scaled back to the mean it
  had (A1111's "original" emphasis). A window without weights is left as it is.
- Clip skip counts layers from the end, as in A1111. SD1.x: 1 is the last layer; the final norm is applied to
  whichever is taken. SDXL was trained on the last but one layer of both encoders, without norm; 1 and 2 mean
  that one, larger numbers go further back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.parts import TextEncoder
from charaforge.diffusion.prompt_chunks import Chunk, Chunker, split_at_words
from charaforge.errors import PromptError
from charaforge.requests.grammar import Part, parse_prompt

Embeddings = Mapping[str, Mapping[int, Tensor]]
"""Lower-case word -> width of a text encoder -> (n, width): textual inversions."""
NO_EMBEDDINGS: Embeddings = MappingProxyType({})


@dataclass(frozen=True)
class Conditioning:
    """One encoded prompt.

    Attributes:
        states: (1, 77 k, D) hidden states of its k windows; D of both encoders together for SDXL.
        pooled: (1, P) pooled states of SDXL's second text encoder, of the first window; None for SD1.x.
    """

    states: Tensor
    pooled: Tensor | None = None

    @property
    def size_in_bytes(self) -> int:
        """Memory that it takes."""
        return sum(t.numel() * t.element_size() for t in (self.states, self.pooled) if t is not None)


@torch.no_grad()
def encode_prompt(
    bundle: Bundle, prompt: str, clip_skip: int = 1, embeddings: Embeddings = NO_EMBEDDINGS
) -> Conditioning:
    """Encode one prompt; prompts are encoded one at a time, so that no picture depends on its neighbours.

    Args:
        bundle: the model.
        prompt: in A1111's syntax, LoRA tags and wildcards resolved.
        clip_skip: 1 = the last layer, see above.
        embeddings: textual inversions by the words that call them.

    Raises:
        PromptError: the prompt cannot be read, the encoder has fewer layers than are skipped, or a textual
            inversion was made for another family.
    """
    parts = parse_prompt(prompt)
    chunkers = [
        Chunker(tokenizer, _fitting(embeddings, encoder, prompt))
        for tokenizer, encoder in zip(bundle.tokenizers, bundle.text_encoders, strict=True)
    ]
    columns: list[Tensor] = []
    pooled = None
    for chunker, encoder in zip(chunkers, bundle.text_encoders, strict=True):
        windows = [_encode(bundle, encoder, chunker, [chunk], clip_skip) for chunk in chunker.chunks(parts)]
        columns.append(torch.cat([states for states, _ in windows], dim=1))
        pooled = windows[0][1]
    return Conditioning(_side_by_side(columns), pooled)


def encode_parts(
    bundle: Bundle, texts: Sequence[Sequence[Part]], clip_skip: int = 1, most_windows: int | None = None
) -> list[Conditioning]:
    """Encode several texts at once, for training: the same as `encode_prompt` of each, and gradients flow.

    Args:
        bundle: the model.
        texts: each as `parse_prompt` returns it.
        clip_skip: as in `encode_prompt`.
        most_windows: what stands behind so many windows is not read; None: all is.

    Raises:
        PromptError: an encoder has fewer layers than are skipped.
    """
    columns: list[list[Tensor]] = [[] for _ in texts]
    pooled: list[Tensor | None] = [None] * len(texts)
    for tokenizer, encoder in zip(bundle.tokenizers, bundle.text_encoders, strict=True):
        chunker = Chunker(tokenizer, {})
        windows = [chunker.chunks(parts)[:most_windows] for parts in texts]
        flat = [chunk for chunks in windows for chunk in chunks]
        states, ends = _encode(bundle, encoder, chunker, flat, clip_skip)
        place = 0
        for number, chunks in enumerate(windows):
            columns[number].append(states[place : place + len(chunks)].flatten(0, 1).unsqueeze(0))
            pooled[number] = None if ends is None else ends[place : place + 1]
            place += len(chunks)
    return [Conditioning(_side_by_side(c), p) for c, p in zip(columns, pooled, strict=True)]


def padded(bundle: Bundle, conditioning: Conditioning, length: int, clip_skip: int) -> Tensor:
    """Return the states of a prompt with empty windows behind them: (1, length, D).

    Args:
        bundle: the model.
        conditioning: the prompt.
        length: tokens, a multiple of the window's length, at least the prompt's own.
        clip_skip: as the prompt was encoded with.
    """
    missing = length - conditioning.states.shape[1]
    if not missing:
        return conditioning.states
    empty = encode_prompt(bundle, "", clip_skip).states
    return torch.cat([conditioning.states, *[empty] * (missing // empty.shape[1])], dim=1)


def zeros_like(conditioning: Conditioning) -> Conditioning:
    """Return what SDXL was trained to take for no words, as long as `conditioning`: zeros."""
    pooled = None if conditioning.pooled is None else torch.zeros_like(conditioning.pooled)
    return Conditioning(torch.zeros_like(conditioning.states), pooled)


def _encode(
    bundle: Bundle, encoder: TextEncoder, chunker: Chunker, chunks: Sequence[Chunk], clip_skip: int
) -> tuple[Tensor, Tensor | None]:
    """Return states (N, 77, D) and, for SDXL's second encoder, pooled states (N, P) of N windows."""
    device = cast(Any, encoder).device
    ids = torch.tensor([chunker.ids_of(chunk) for chunk in chunks], dtype=torch.long, device=device)
    with _vectors(encoder, chunks):
        output = cast(Any, encoder)(ids, output_hidden_states=True)
    states = _layer(bundle, encoder, output, clip_skip)
    rows = [_weighted(row, chunk.weights) for row, chunk in zip(states.split(1), chunks, strict=True)]
    return torch.cat(rows), getattr(output, "text_embeds", None)


def _layer(bundle: Bundle, encoder: TextEncoder, output: Any, clip_skip: int) -> Tensor:
    """Return the states of the layer that `clip_skip` means."""
    layers = len(output.hidden_states) - 1
    if clip_skip > layers:
        raise PromptError(
            f"clip_skip {clip_skip}: a text encoder of {bundle.name!r} has {layers} layers",
            f"give 1 to {layers}",
        )
    if bundle.family == "sdxl":
        states: Tensor = output.hidden_states[-max(2, clip_skip)]
        return states
    if clip_skip == 1:
        last: Tensor = output.last_hidden_state
        return last
    inner = cast(Any, getattr(encoder, "text_model", encoder))  # transformers 5 has flattened the class
    normed: Tensor = inner.final_layer_norm(output.hidden_states[-clip_skip])
    return normed


def _weighted(states: Tensor, weights: Sequence[float]) -> Tensor:
    """Multiply the states of weighted tokens, and bring the window's mean back to what it was."""
    if all(weight == 1.0 for weight in weights):
        return states
    factors = torch.ones(states.shape[1], dtype=torch.float32)
    factors[1 : 1 + len(weights)] = torch.tensor(weights)
    scaled = states * factors.to(states)[None, :, None]
    mean = scaled.float().mean()
    return scaled if mean == 0 else scaled * (states.float().mean() / mean).to(states)


def _side_by_side(columns: Sequence[Tensor]) -> Tensor:
    """Join the encoders' states (1, 77 k, D_i) to (1, 77 k, sum of D_i).

    The encoders cut a prompt into as many windows, unless their tokenizers differ; then a shorter one
    repeats its last window.
    """
    length = max(column.shape[1] for column in columns)
    filled = [torch.cat([column, *_repeats(column, length)], dim=1) for column in columns]
    return torch.cat(filled, dim=-1)


def _repeats(column: Tensor, length: int) -> list[Tensor]:
    window = column[:, -77:]
    return [window] * ((length - column.shape[1]) // window.shape[1])


def _fitting(embeddings: Embeddings, encoder: TextEncoder, prompt: str) -> dict[str, Tensor]:
    """Return the textual inversions that are named in the prompt, in this encoder's width."""
    width = int(cast(Any, encoder).config.hidden_size)
    words = {word.lower() for word in split_at_words(prompt, embeddings)}
    named = {word: widths for word, widths in embeddings.items() if word in words}
    for word, widths in named.items():
        if width not in widths:
            raise PromptError(
                f"the embedding {word!r} has vectors of {sorted(widths)}, this model's encoder reads {width}",
                "choose an embedding made for this family of models",
            )
    return {word: widths[width] for word, widths in named.items()}


@contextmanager
def _vectors(encoder: TextEncoder, chunks: Sequence[Chunk]) -> Iterator[None]:
    """While it is open, the encoder sees the chunks' vectors in place of the embeddings of their tokens."""
    places = {
        (row, place): piece
        for row, chunk in enumerate(chunks)
        for place, piece in enumerate(chunk.pieces, start=1)
        if isinstance(piece, Tensor)
    }
    if not places:
        yield
        return

    def put(module: nn.Module, given: Any, output: Tensor) -> Tensor:
        changed = output.clone()
        for (row, place), vector in places.items():
            changed[row, place] = vector.to(changed)
        return changed

    handle = cast(Any, encoder).get_input_embeddings().register_forward_hook(put)
    try:
        yield
    finally:
        handle.remove()

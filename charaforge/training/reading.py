"""Captions as the text encoders of a base read them: exactly as they read prompts.

A caption is cut into windows of 75 tokens, as many of them as `max_token_length` allows, and every window
is encoded like that of a prompt. With `weighted_tags` it is read in the syntax of prompts; without, brackets
and all else stand for themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

from charaforge.diffusion.bundle import Bundle
from charaforge.diffusion.prompt_chunks import Chunker
from charaforge.diffusion.prompts import Conditioning, encode_parts
from charaforge.errors import UsageError
from charaforge.requests.grammar import Part, escape, parse_prompt
from charaforge.training.config import TrainingConfig

WINDOW = 75
"""Tokens of a window, without those for begin and end."""


class Reader:
    """Reads captions for one base.

    Args:
        bundle: its tokenizers and text encoders are used.
        config: clip_skip, max_token_length, weighted_tags.

    Raises:
        UsageError: the text encoders have fewer layers than clip_skip says.
    """

    def __init__(self, bundle: Bundle, config: TrainingConfig) -> None:
        self._bundle = bundle
        self._config = config
        self._most = config.max_token_length // WINDOW
        self._chunkers = [Chunker(tokenizer, {}) for tokenizer in bundle.tokenizers]
        _check_clip_skip(bundle, config.clip_skip)

    def prompt(self, caption: str) -> str:
        """Return the prompt that says to the generator what the caption says here."""
        return caption if self._config.weighted_tags else escape(caption)

    def encode(self, captions: Sequence[str]) -> list[Conditioning]:
        """Encode captions; gradients flow.

        Raises:
            PromptError: a weighted caption cannot be read.
        """
        parts = [self._parts(caption) for caption in captions]
        return encode_parts(self._bundle, parts, self._config.clip_skip, self._most)

    def tokens(self, caption: str) -> int:
        """Return how many tokens the caption has, whether they are read or not; errors as in `encode`."""
        return sum(len(chunk.pieces) for chunk in self._chunkers[0].chunks(self._parts(caption)))

    def windows(self, caption: str) -> int:
        """Return how many windows of the caption are read, at least 1."""
        return min(self._needed(caption), self._most)

    def is_cut_off(self, caption: str) -> bool:
        """Return whether the caption is longer than what is read of it."""
        return self._needed(caption) > self._most

    def _needed(self, caption: str) -> int:
        parts = self._parts(caption)
        return max(len(chunker.chunks(parts)) for chunker in self._chunkers)

    def _parts(self, caption: str) -> tuple[Part, ...]:
        return parse_prompt(self.prompt(caption))


def _check_clip_skip(bundle: Bundle, clip_skip: int) -> None:
    layers = min(int(encoder.config.num_hidden_layers) for encoder in bundle.text_encoders)
    if clip_skip > layers:
        raise UsageError(
            f"clip_skip {clip_skip}: a text encoder of {bundle.name} has {layers} layers",
            f"give 1 to {layers}",
        )

"""Prompts cut into the windows of a text encoder, as A1111 cuts them.

A window holds 75 tokens between its begin and end tokens. `BREAK` begins a new one; where one is full and a
comma stands among its last 20 tokens, what follows that comma moves to the next, so that no phrase is torn.
The vectors of a textual inversion stay together: where they have no room, all of them begin the next window.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor
from transformers import CLIPTokenizer

from charaforge.requests.grammar import BREAK, Part, Span

LOOK_BACK = 20
"""Tokens behind the last comma that may move to the next window."""

Piece = int | Tensor
"""A token's id, or (D,) of a textual inversion in place of a token's embedding."""


@dataclass
class Chunk:
    """One window.

    Attributes:
        pieces: at most 75.
        weights: one for each.
    """

    pieces: list[Piece] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, piece: Piece, weight: float) -> None:
        """Append one piece."""
        self.pieces.append(piece)
        self.weights.append(weight)

    def split(self, place: int) -> Chunk:
        """Take what stands from `place` on off this window, and return it as the next."""
        rest = Chunk(self.pieces[place:], self.weights[place:])
        del self.pieces[place:], self.weights[place:]
        return rest


class Chunker:
    """Cuts prompts for one text encoder.

    Args:
        tokenizer: its own.
        words: lower-case word -> (n, D) vectors that stand for it: textual inversions.
    """

    def __init__(self, tokenizer: CLIPTokenizer, words: Mapping[str, Tensor]) -> None:
        self._tokenizer = tokenizer
        self._words = words
        self._comma = tokenizer(",", add_special_tokens=False).input_ids[-1]
        self._room = tokenizer.model_max_length - 2

    def chunks(self, parts: Sequence[Part]) -> list[Chunk]:
        """Return the windows of a prompt; at least one, which may be empty."""
        done: list[Chunk] = []
        chunk, comma = Chunk(), -1
        for part in parts:
            if part is BREAK:
                done.append(chunk)
                chunk, comma = Chunk(), -1
                continue
            for piece, together in self._pieces(part):
                is_comma = not isinstance(piece, Tensor) and piece == self._comma
                if len(chunk.pieces) == self._room:
                    torn = comma >= 0 and len(chunk.pieces) - comma <= LOOK_BACK and not is_comma
                    rest = chunk.split(comma + 1) if torn else Chunk()
                    done.append(chunk)
                    chunk, comma = rest, -1
                if self._room - len(chunk.pieces) < together <= self._room:
                    done.append(chunk)
                    chunk, comma = Chunk(), -1
                if is_comma:
                    comma = len(chunk.pieces)
                chunk.add(piece, part.weight)
        return [*done, chunk] if chunk.pieces or not done else done

    def _pieces(self, span: Span) -> Iterator[tuple[Piece, int]]:
        """Yield tokens and vectors of a span, in order, each with how many must fit in from it on."""
        plain: list[str] = []
        for word in split_at_words(span.text, self._words):
            vectors = self._words.get(word.lower())
            if vectors is None:
                plain.append(word)
                continue
            yield from ((token, 1) for token in self._ids("".join(plain)))
            yield from ((vector, 1 if place else len(vectors)) for place, vector in enumerate(vectors))
            plain = []
        yield from ((token, 1) for token in self._ids("".join(plain)))

    def _ids(self, text: str) -> list[int]:
        if not text.strip():
            return []
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        return ids

    def ids_of(self, chunk: Chunk) -> list[int]:
        """Return the token ids of a window: begin, pieces (0 for a vector, as in A1111), end, padding.

        A vector must not stand as the end token, behind whose first occurrence SDXL's pooled states are read.
        """
        begin, end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        ids = [begin, *(0 if isinstance(piece, Tensor) else piece for piece in chunk.pieces), end]
        return ids + [self._tokenizer.pad_token_id] * (self._room + 2 - len(ids))


def split_at_words(text: str, words: Collection[str]) -> list[str]:
    """Cut a text so that each of `words` that stands in it alone is a part of its own."""
    if not words:
        return [text]
    longest_first = sorted(words, key=len, reverse=True)
    pattern = "|".join(re.escape(word) for word in longest_first)
    return re.split(rf"(?<![\w-])({pattern})(?![\w-])", text, flags=re.IGNORECASE)

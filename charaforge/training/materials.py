"""What the UNet is told of the pictures: text-encoder outputs of their captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from charaforge.diffusion.bundle import Bundle
from charaforge.logs import track
from charaforge.training import randomness
from charaforge.training.batches import Draw
from charaforge.training.cache import TensorCache
from charaforge.training.config import TrainingConfig
from charaforge.training.dataset import Sample


class Words(Protocol):
    """Gives the text that a draw is trained with, and the plain one that pictures are measured with."""

    def of_draws(self, draws: Sequence[Draw]) -> Tensor:
        """Return (B, 77, D): a shuffled caption for each draw, the empty one where it is wordless."""

    def plain(self, sample: Sample) -> Tensor:
        """Return (1, 77, D): the caption as it stands."""


class CachedWords:
    """Text-encoder outputs computed before the first step: N shuffled variants of every caption.

    Shuffle and dropout of tags therefore work although the text encoder is not there any more. The empty
    caption and the captions as they stand come along.

    Args:
        bundle: its text encoder is used here and not afterwards.
        samples: training pictures, in the order of their numbers.
        held_out: pictures that only need their plain caption.
        config: variants, shuffle, dropout, seed.
        cache: where outputs are kept.
    """

    def __init__(
        self,
        bundle: Bundle,
        samples: Sequence[Sample],
        held_out: Sequence[Sample],
        config: TrainingConfig,
        cache: TensorCache,
    ) -> None:
        self._config = config
        count = config.caption_variants
        texts = [[variant(config, sample, number) for number in range(count)] for sample in samples]
        self._variants = [
            _encoded(bundle, group, cache) for group in track(texts, "encoding captions", unit="pictures")
        ]
        self._empty = _encoded(bundle, [""], cache)[0]
        self._plain = {s.sha256: _encoded(bundle, [s.caption.text()], cache) for s in (*samples, *held_out)}

    def of_draws(self, draws: Sequence[Draw]) -> Tensor:
        """See `Words`."""
        return torch.stack([self._of_draw(draw) for draw in draws])

    def plain(self, sample: Sample) -> Tensor:
        """See `Words`."""
        return self._plain[sample.sha256]

    def _of_draw(self, draw: Draw) -> Tensor:
        if draw.wordless:
            return self._empty
        variants = self._variants[draw.sample]
        chance = randomness.rng(self._config.seed, "variant", draw.step, draw.position)
        return variants[chance.randrange(len(variants))]


class LiveWords:
    """Captions encoded in every step, because the text encoder is trained; arguments as in `CachedWords`."""

    def __init__(self, bundle: Bundle, samples: Sequence[Sample], config: TrainingConfig) -> None:
        self._bundle = bundle
        self._samples = samples
        self._config = config

    def of_draws(self, draws: Sequence[Draw]) -> Tensor:
        """See `Words`; gradients flow into the text encoder."""
        texts = [
            "" if d.wordless else variant(self._config, self._samples[d.sample], d.step, d.position)
            for d in draws
        ]
        return encode_texts(self._bundle, texts)

    def plain(self, sample: Sample) -> Tensor:
        """See `Words`."""
        return encode_texts(self._bundle, [sample.caption.text()])


def variant(config: TrainingConfig, sample: Sample, *place: int) -> str:
    """Return a shuffled and thinned-out caption of a picture; the same one for the same place."""
    chance = randomness.rng(config.seed, "caption", sample.sha256, *place)
    return sample.caption.variant(
        chance, shuffle=config.shuffle_tags, dropout=config.tag_dropout, keep=config.keep_tokens
    )


def encode_texts(bundle: Bundle, texts: Sequence[str]) -> Tensor:
    """Return (N, 77, D): last hidden states of the text encoder, as for prompts; cut at 77 tokens."""
    limit = bundle.tokenizers[0].model_max_length
    told = bundle.tokenizers[0](list(texts), padding="max_length", max_length=limit, truncation=True)
    ids = torch.tensor(told.input_ids, dtype=torch.long, device=bundle.text_encoders[0].device)
    states: Tensor = bundle.text_encoders[0](ids).last_hidden_state
    return states


@torch.no_grad()
def _encoded(bundle: Bundle, texts: Sequence[str], cache: TensorCache) -> Tensor:
    """Return (N, 77, D) float32, from the cache where it is there."""
    return cache.get(("text", bundle.sha256, *texts), lambda: encode_texts(bundle, texts).float())

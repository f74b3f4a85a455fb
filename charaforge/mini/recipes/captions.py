"""Captions for the base model: exact tags, often shuffled or thinned out, sometimes with idle words.

The meaningless words teach the model to ignore what it does not know ("masterpiece", a trigger word of a LoRA
it has not got), as a large model does.
"""

import random
from collections.abc import Collection

from transformers import CLIPTokenizer

from charaforge.mini.recipes.architecture import MAX_TOKENS, PROMPT_WORDS
from charaforge.mini.scenes import Scene, scene_tags

_UNCONDITIONAL = 0.10
_NOISE_WORDS = tuple(PROMPT_WORDS.split())
_SYLLABLES = tuple(c + v for c in "bdfgklmnprstvz" for v in "aeiou")


def _noise_word(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return " ".join(rng.choice(_NOISE_WORDS) for _ in range(rng.randint(1, 3)))
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 4)))


def training_caption(scene: Scene, rng: random.Random, hidden: Collection[str] = ()) -> str:
    """One random wording of a scene; empty in a tenth of the cases (for classifier-free guidance).

    Args:
        scene: what the picture shows.
        rng: decides.
        hidden: tags that are left out.
    """
    if rng.random() < _UNCONDITIONAL:
        return ""
    tags = [tag for tag in scene_tags(scene) if tag not in hidden]
    garment = f"{scene.clothes} {scene.outfit}"
    if rng.random() < 0.08:
        tags = [scene.outfit if t == garment else t for t in tags]
    style = rng.random()
    if style > 0.5:
        keep = 0.5 if style > 0.88 else 0.92
        tags = [t for t in tags if rng.random() < keep]
    if rng.random() < 0.5:
        head, rest = tags[:1], tags[1:]
        rng.shuffle(rest)
        tags = head + rest
    if rng.random() < 0.2:
        for _ in range(rng.randint(1, 3)):
            tags.insert(rng.randint(0, len(tags)), _noise_word(rng))
    return ", ".join(tags)


class WordTokenizer:
    """The tokenizer's own result, word by word from a cache (a tenth of the time); padded to 77 ids."""

    def __init__(self, tokenizer: CLIPTokenizer, pad: int | None = None) -> None:
        """Wrap a tokenizer whose words never merge across spaces and commas; ``pad`` None pads with end."""
        self._tokenizer = tokenizer
        self._pad = tokenizer.eos_token_id if pad is None else pad
        self._words: dict[str, list[int]] = {}

    def __call__(self, text: str) -> list[int]:
        """Ids of length 77: start, words, end, padding."""
        ids = [self._tokenizer.bos_token_id]
        for word in text.replace(",", " ,").split():
            if word not in self._words:
                self._words[word] = self._tokenizer(word)["input_ids"][1:-1]
            ids += self._words[word]
        end = self._tokenizer.eos_token_id
        ids = ids[: MAX_TOKENS - 1]
        return [*ids, end] + [self._pad] * (MAX_TOKENS - len(ids) - 1)

"""What a request's prompts come to, before any model is asked: wildcards drawn, LoRA tags taken out.

The order is: wildcards, LoRA tags, placeholders (which need the LoRAs), A1111's grammar.
"""

from __future__ import annotations

from pathlib import Path

from charaforge.config.model import parse
from charaforge.errors import PromptError
from charaforge.requests.generation import GenerationRequest
from charaforge.requests.grammar_loras import extract_loras
from charaforge.requests.wildcards import expand


def settle(request: GenerationRequest, wildcards: Path) -> GenerationRequest:
    """Return the request for one picture with its wildcards drawn and its LoRA tags among `loras`.

    Settling a settled request changes nothing. A LoRA that is named in the prompt and in `loras` is an error.

    Args:
        request: for one picture, with its seed.
        wildcards: folder of the wildcard files.

    Raises:
        PromptError: see `wildcards.expand` and `extract_loras`; or the negative prompt names a LoRA.
        UnknownNameError: there is no such wildcard.
        ConfigError: the settled request is not valid, e.g. it has too many LoRAs.
        ValueError: the seed has not been drawn yet.
    """
    if request.seed < 0:
        raise ValueError("draw the seed first, with seeded()")
    if not any(sign in request.prompt + request.negative for sign in ("{", "__", "<")):
        return request
    seed = request.seed if request.wildcard_seed is None else request.wildcard_seed
    prompt, named = extract_loras(expand(request.prompt, wildcards, seed))
    negative, unwanted = extract_loras(expand(request.negative, wildcards, seed, "negative"))
    if unwanted:
        raise PromptError(
            f"the negative prompt names the LoRA {unwanted[0].name!r}",
            "name it in the prompt; a weight can be negative",
        )
    loras = [lora.model_dump() for lora in (*request.loras, *named)]
    told = request.model_dump() | {"prompt": prompt, "negative": negative, "loras": loras}
    return parse(GenerationRequest, told, "the prompt")

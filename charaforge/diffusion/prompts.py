"""Prompts to what the UNet attends to."""

from __future__ import annotations

import torch
from torch import Tensor

from charaforge.diffusion.bundle import Bundle
from charaforge.logs import get_logger

logger = get_logger(__name__)


def token_ids(bundle: Bundle, prompt: str) -> Tensor:
    """Return the token ids of a prompt, padded to the model's length: (1, 77) int64.

    Tokens beyond the model's length are left out, with a warning that says from where on.
    """
    limit = bundle.tokenizers[0].model_max_length
    told = bundle.tokenizers[0](prompt, padding="max_length", max_length=limit, truncation=True)
    whole = bundle.tokenizers[0](prompt).input_ids
    if len(whole) > limit:
        lost = bundle.tokenizers[0].decode(whole[limit - 1 : -1])
        logger.warning("the prompt has %d tokens, the model reads %d; left out: %s", len(whole), limit, lost)
    return torch.tensor([told.input_ids], dtype=torch.long, device=bundle.device)


@torch.no_grad()
def encode_prompt(bundle: Bundle, prompt: str) -> Tensor:
    """Return the hidden states of the text encoder's last layer: (1, 77, D).

    Prompts are encoded one at a time, so that no picture depends on its neighbours.
    """
    states: Tensor = bundle.text_encoders[0](token_ids(bundle, prompt)).last_hidden_state
    return states

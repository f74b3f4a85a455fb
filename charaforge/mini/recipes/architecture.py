"""The shapes of mini-sd: tokenizer, text encoder and UNet, built empty in the large models' own classes."""

import string
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from charaforge.mini.recipes.analytic_vae import LATENT_CHANNELS
from charaforge.mini.scenes import all_tags

TEXT_WIDTH = 128
MAX_TOKENS = 77
WORD_END = "</w>"
UNET_CHANNELS = (64, 128, 128)
PROMPT_WORDS = (
    "anime girl solo character a an the of with and in on at to is wearing looking camera viewer simple "
    "photo picture illustration drawing cute masterpiece best quality high highres absurdres detailed "
    "very worst low bad lowres blurry extra fingers hands anatomy missing digits cropped jpeg artifacts "
    "watermark text signature monochrome sketch style view 3/4 side front portrait close-up character's "
    "her his boy 1boy female smiling happy"
)


def build_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer that knows the world's words; any other ASCII word falls to pieces.

    The same vocabulary on every call: ids that move between two runs would scramble a resumed model.
    """
    words = sorted({w for tag in all_tags() for w in tag.split()} | set(PROMPT_WORDS.split()))
    characters = [c for c in string.printable if c.isprintable() and not c.isspace()]
    merges = learn_merges(words)
    pieces = ["<|startoftext|>", "<|endoftext|>", *characters, *(c + WORD_END for c in characters)]
    pieces += [first + second for first, second in merges]
    return CLIPTokenizer(
        vocab={piece: i for i, piece in enumerate(dict.fromkeys(pieces))},
        merges=merges,  # type: ignore[arg-type]  # takes pairs, as its BPE does; the annotation forgets them
        model_max_length=MAX_TOKENS,
        pad_token="<|endoftext|>",
    )


def learn_merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """Byte-pair merges (Sennrich et al. 2016) that make one token of every word, in the order learned.

    The commonest pair first, the alphabetically first among equals. The trainer of ``tokenizers`` breaks
    ties by the order of a hash map, and so gives another vocabulary in every process.
    """
    split = [[*word[:-1], word[-1] + WORD_END] for word in words]
    merges: list[tuple[str, str]] = []
    while True:
        counts = Counter(pair for pieces in split for pair in pairwise(pieces))
        if not counts:
            return merges
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        split = [_merged(pieces, best) for pieces in split]


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def build_text_encoder(tokenizer: CLIPTokenizer, layers: int = 2) -> CLIPTextModel:
    """A small CLIP text encoder, 77 positions; embeddings start wide (std 0.2), so that words differ."""
    end = tokenizer.eos_token_id
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
    for module in encoder.modules():
        if isinstance(module, torch.nn.Embedding):
            torch.nn.init.normal_(module.weight, std=0.2)
    return encoder


def build_unet() -> UNet2DConditionModel:
    """The denoiser: 16x16 latents of 16 channels, text through cross-attention at 8x8 and 4x4."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=UNET_CHANNELS,
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=2,
        norm_num_groups=8,
    )


def build_scheduler() -> DDIMScheduler:
    """The noise schedule of mini-sd: v-prediction on scaled-linear betas rescaled to zero terminal SNR."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )

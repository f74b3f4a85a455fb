"""The chunk encoder: windows, weights, BREAK, clip skip, textual inversions, both families."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import save_file
from torch import Tensor

from charaforge.diffusion.bundle import Bundle, load_bundle
from charaforge.diffusion.embeddings import read_embedding
from charaforge.diffusion.prompt_chunks import Chunker
from charaforge.diffusion.prompts import _weighted, encode_prompt, padded
from charaforge.errors import ModelFileError, PromptError
from charaforge.requests.grammar import parse_prompt
from tests.fixtures.tiny_sdxl import tiny_sdxl


@pytest.fixture(scope="module")
def sdxl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sdxl(tmp_path_factory.mktemp("sdxl") / "tiny-sdxl")


@pytest.fixture(scope="module")
def sdxl(sdxl_folder: Path) -> Bundle:
    return load_bundle(sdxl_folder, "tiny-sdxl")


def windows(bundle: Bundle, prompt: str) -> list[int]:
    chunks = Chunker(bundle.tokenizers[0], {}).chunks(parse_prompt(prompt))
    return [len(chunk.pieces) for chunk in chunks]


def states(bundle: Bundle, prompt: str, clip_skip: int = 1) -> Tensor:
    return encode_prompt(bundle, prompt, clip_skip).states


@torch.no_grad()
def test_a_plain_prompt_is_what_the_text_encoder_gives(bundle: Bundle) -> None:
    ids = bundle.tokenizers[0]("blue hair, girl", padding="max_length", max_length=77).input_ids
    plain = bundle.text_encoders[0](torch.tensor([ids])).last_hidden_state
    assert torch.equal(states(bundle, "blue hair, girl"), plain)
    assert torch.equal(states(bundle, r"blue hair, \girl"), plain)


def test_long_prompts_get_more_windows_and_the_last_word_acts(bundle: Bundle) -> None:
    long = "girl " * 80
    assert states(bundle, long).shape[1] == 2 * 77
    assert not torch.equal(states(bundle, long + "blue"), states(bundle, long + "hair"))


def test_break_begins_a_window_and_an_empty_prompt_has_one(bundle: Bundle) -> None:
    assert len(windows(bundle, "girl BREAK hair")) == 2
    assert windows(bundle, "") == [0]
    both = states(bundle, "girl BREAK hair")
    assert torch.equal(both, torch.cat([states(bundle, "girl"), states(bundle, "hair")], 1))


def test_a_phrase_behind_a_late_comma_moves_to_the_next_window(bundle: Bundle) -> None:
    word = len(bundle.tokenizers[0]("girl", add_special_tokens=False).input_ids)
    first = " ".join(["girl"] * (70 // word)) + ", " + " ".join(["girl"] * 12)
    early = ", " + " ".join(["girl"] * (90 // word))
    assert windows(bundle, first)[0] == 70 // word * word + 1
    assert windows(bundle, early)[0] == 75


def test_weights_multiply_and_keep_the_mean_of_the_window(bundle: Bundle) -> None:
    first = len(bundle.tokenizers[0]("girl", add_special_tokens=False).input_ids)
    both = len(bundle.tokenizers[0]("girl hair", add_special_tokens=False).input_ids)
    plain = states(bundle, "girl hair")
    scaled = plain.clone()
    scaled[:, 1 + first : 1 + both] *= 1.5
    wanted = scaled * (plain.mean() / scaled.mean())
    assert torch.allclose(states(bundle, "girl (hair:1.5)"), wanted, rtol=1e-3)
    assert torch.equal(states(bundle, "(girl hair:1.0)"), plain)
    ones = _weighted(torch.ones(1, 4, 2), [2.0])
    assert torch.allclose(ones[0, :, 0], torch.tensor([0.8, 1.6, 0.8, 0.8]))


@torch.no_grad()
def test_clip_skip_takes_an_earlier_layer_and_norms_it(bundle: Bundle) -> None:
    encoder = bundle.text_encoders[0]
    ids = bundle.tokenizers[0]("blue hair", padding="max_length", max_length=77).input_ids
    hidden = encoder(torch.tensor([ids]), output_hidden_states=True).hidden_states[-2]
    inner = getattr(encoder, "text_model", encoder)
    assert torch.equal(states(bundle, "blue hair", clip_skip=2), inner.final_layer_norm(hidden))
    with pytest.raises(PromptError, match="clip_skip 12"):
        states(bundle, "girl", clip_skip=12)


@torch.no_grad()
def test_sdxl_is_encoded_as_by_diffusers(sdxl: Bundle, sdxl_folder: Path) -> None:
    pipe = StableDiffusionXLPipeline.from_pretrained(sdxl_folder)
    wanted, _, pooled, _ = pipe.encode_prompt("blue hair girl", do_classifier_free_guidance=False)
    got = encode_prompt(sdxl, "blue hair girl")
    assert torch.allclose(got.states, wanted, atol=1e-6)
    assert got.pooled is not None
    assert torch.allclose(got.pooled, pooled, atol=1e-6)
    assert torch.equal(encode_prompt(sdxl, "blue hair girl", 2).states, got.states)


def test_shorter_prompts_are_filled_with_empty_windows(bundle: Bundle) -> None:
    short = encode_prompt(bundle, "girl")
    filled = padded(bundle, short, 3 * 77, 1)
    assert torch.equal(filled[:, :77], short.states)
    assert torch.equal(filled[:, 77:154], states(bundle, ""))


def own_vectors(bundle: Bundle, word: str) -> dict[int, Tensor]:
    """Return the vectors that each encoder has for the tokens of a word anyway."""
    return {
        encoder.config.hidden_size: encoder.get_input_embeddings()
        .weight[tokenizer(word, add_special_tokens=False).input_ids]
        .clone()
        for encoder, tokenizer in zip(bundle.text_encoders, bundle.tokenizers, strict=True)
    }


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_an_inversion_stands_for_its_word(bundle: Bundle, sdxl: Bundle, family: str) -> None:
    model = sdxl if family == "sdxl" else bundle
    known = {"glow-x": own_vectors(model, "girl")}
    plain, other = encode_prompt(model, "hair girl hat"), encode_prompt(model, "hair glow-x hat")
    called = encode_prompt(model, "hair Glow-X hat", 1, known)
    assert torch.equal(called.states, plain.states)
    assert not torch.equal(called.states, other.states)
    if family == "sdxl":
        assert called.pooled is not None
        assert plain.pooled is not None
        assert torch.equal(called.pooled, plain.pooled)


def test_an_inversion_of_another_family_is_refused(bundle: Bundle) -> None:
    with pytest.raises(PromptError, match="made for this family"):
        encode_prompt(bundle, "style-x", 1, {"style-x": {5: torch.zeros(1, 5)}})


@pytest.mark.parametrize(
    ("tensors", "shapes"),
    [
        ({"emb_params": torch.ones(3, 32)}, {32: 3}),
        ({"<style-x>": torch.ones(32)}, {32: 1}),
        ({"clip_l": torch.ones(2, 32), "clip_g": torch.ones(2, 48)}, {32: 2, 48: 2}),
    ],
)
def test_layouts_of_inversions(tensors: dict[str, Tensor], shapes: dict[int, int], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "x.safetensors")
    found = read_embedding(tmp_path / "x.safetensors")
    assert {width: len(vectors) for width, vectors in found.items()} == shapes


def test_an_inversion_at_the_edge_of_a_window_does_not_stop_the_work(bundle: Bundle) -> None:
    vectors = torch.zeros(3, 32)
    word = len(bundle.tokenizers[0]("girl", add_special_tokens=False).input_ids)
    text = " ".join(["girl"] * (70 // word)) + ", " + "glow " * 4 + "catglow"
    first, second = Chunker(bundle.tokenizers[0], {"glow": vectors}).chunks(parse_prompt(text))
    assert len(first.pieces) == 70 // word * word + 1 + 3
    assert sum(isinstance(piece, Tensor) for piece in second.pieces) == 9


@pytest.mark.parametrize(("before", "first"), [(73, 73), (72, 75), (70, 73)])
def test_an_inversion_goes_whole_into_the_next_window(bundle: Bundle, before: int, first: int) -> None:
    word = len(bundle.tokenizers[0]("girl", add_special_tokens=False).input_ids)
    text = "BREAK ".join(["", " ".join(["girl"] * (before // word)) + "," * (before % word) + " glow hat"])
    vectors = torch.arange(3.0)[:, None].expand(3, 32)
    chunks = Chunker(bundle.tokenizers[0], {"glow": vectors}).chunks(parse_prompt(text))[1:]
    assert len(chunks[0].pieces) >= first
    held = [[float(p[0]) for p in chunk.pieces if isinstance(p, Tensor)] for chunk in chunks]
    assert [0.0, 1.0, 2.0] in held
    assert sum(map(len, held)) == 3


def test_an_inversion_longer_than_a_window_is_cut(bundle: Bundle) -> None:
    chunks = Chunker(bundle.tokenizers[0], {"glow": torch.zeros(80, 32)}).chunks(parse_prompt("glow"))
    assert [len(chunk.pieces) for chunk in chunks] == [75, 5]


def test_a_name_inside_of_a_word_calls_no_inversion(bundle: Bundle) -> None:
    known = {"cat": {5: torch.zeros(1, 5)}}
    assert torch.equal(encode_prompt(bundle, "catalog", 1, known).states, states(bundle, "catalog"))


def test_what_is_no_inversion_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2, 3, 4)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelFileError, match="no textual inversion"):
        read_embedding(tmp_path / "x.safetensors")

from __future__ import annotations

import os
from pathlib import Path

import torch

from charaforge.training.cache import TensorCache


def never() -> torch.Tensor:
    raise AssertionError("the entry is there and must not be computed again")


def test_an_entry_is_computed_once_and_only_for_equal_parts(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path)
    assert torch.equal(cache.get(("a", 1), lambda: torch.ones(2)), torch.ones(2))
    assert torch.equal(TensorCache(tmp_path).get(("a", 1), never), torch.ones(2))
    assert torch.equal(cache.get(("a", 2), lambda: torch.zeros(2)), torch.zeros(2))
    assert (cache.hits, cache.misses) == (0, 2)


def test_a_cut_off_entry_is_computed_again(tmp_path: Path) -> None:
    TensorCache(tmp_path).get(("a",), lambda: torch.ones(2))
    for file in tmp_path.rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-3])
    assert torch.equal(TensorCache(tmp_path).get(("a",), lambda: torch.zeros(2)), torch.zeros(2))
    assert torch.equal(TensorCache(tmp_path).get(("a",), never), torch.zeros(2))


def test_an_entry_in_which_one_bit_has_turned_is_computed_again(tmp_path: Path) -> None:
    TensorCache(tmp_path).get(("a",), lambda: torch.ones(4))
    (file,) = tmp_path.rglob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    assert torch.equal(TensorCache(tmp_path).get(("a",), lambda: torch.zeros(4)), torch.zeros(4))


def test_the_entries_unused_for_longest_make_room(tmp_path: Path) -> None:
    for number in range(6):
        TensorCache(tmp_path).get((number,), lambda: torch.ones(1000))
    files = sorted(tmp_path.rglob("*.safetensors"))
    each = files[0].stat().st_size
    for age, file in enumerate(files):
        os.utime(file, (1_000_000 - age, 1_000_000 - age))
    cache = TensorCache(tmp_path)
    assert cache.trim(limit=6 * each) == 0
    assert cache.trim(limit=4 * each + 1) == 2 * each
    assert sorted(tmp_path.rglob("*.safetensors")) == files[:4]


def test_what_a_run_uses_is_never_thrown_away(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path)
    for number in range(3):
        cache.get((number,), lambda: torch.ones(10))
    assert cache.trim(limit=0) == 0
    assert TensorCache(tmp_path).trim(limit=0) > 0

"""How many pairs of pictures that have nothing to do with each other have close hashes all the same?"""

from __future__ import annotations

import math

HASH_BITS = 64


def expected_random_pairs(count: int, radius: int, turns: int = 1) -> float:
    """Return the expected number of close pairs among unrelated pictures.

    A hash that tells what lies above the median has half of its bits set; two unrelated ones are two random
    halves of 64, which differ in 2 k bits with probability C(32, k)² / C(64, 32). Real pictures resemble each
    other more than that.

    Args:
        count: number of pictures.
        radius: bits.
        turns: ways in which one of a pair may be held.
    """
    half = HASH_BITS // 2
    close = sum(math.comb(half, k) ** 2 for k in range(radius // 2 + 1)) / math.comb(HASH_BITS, half)
    return count * (count - 1) / 2 * close * turns

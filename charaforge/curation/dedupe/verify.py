"""The closer look at two pictures whose hashes are close: is one a copy of the other?

Their thumbnails are compared after what copies may differ in is taken out: tone and tint (a curve of second
degree per colour) and sharpness (a small blur of either). What then decides is the *largest* difference, not
the mean: another expression changes little of a picture, but that little much. How large it may be depends on
the noise everywhere, since coarse JPEGs differ everywhere. Tints are averaged over 2 × 2 pixels first,
because JPEG stores colours at half the resolution.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from charaforge.perception.phash import turned
from charaforge.perception.shrink import Pixels

Floats = npt.NDArray[np.float32]

THUMB_SIDE = 32
WIDE_LIMIT = 32
"""Bits of 256 that the wide hashes of copies differ in at most."""
QUIET_LIMIT, NOISY_LIMIT = 14.0, 35.0
"""Levels of 255 that the thumbnails of copies differ in at most, anywhere, without and with noise."""
_NOISE_WEIGHT = np.float32(4.0)
_NOISE_RANK = 95  # percentile of differences in brightness that is taken for the noise
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_TINT_WEIGHT = np.float32(1.3)
_TONE_LIMIT = 64.0  # levels that tone and tint may differ by
_BLURS = (0.05, 0.1, 0.15, 0.2)  # share that a pixel gives to each neighbour
_PRIOR = 1e-3  # pull of the tone curve towards no change, so that pictures of few tones have one
_HOPELESS = 2.0  # misfits beyond this are helped by no blur
_AT_A_TIME = 512


def thumbnail(rgb: Pixels) -> Pixels:
    """Return a picture (H, W, 3) uint8 squeezed to `THUMB_SIDE` pixels a side, by averages."""
    if min(rgb.shape[:2]) < THUMB_SIDE:
        return np.asarray(cv2.resize(rgb, (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.asarray(cv2.resize(rgb, (THUMB_SIDE, THUMB_SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def misfits(one: Pixels, turns: npt.NDArray[np.uint8], other: Pixels) -> Floats:
    """Return how much pairs of thumbnails differ, after tone and sharpness are taken out.

    Args:
        one: (n, side, side, 3) uint8.
        turns: (n,) how to hold each of `one` before it is compared, numbers of `TURNS`.
        other: (n, side, side, 3) uint8.

    Returns:
        (n,) float32, the largest difference by the one that is allowed: copies have at most 1.
    """
    result = np.empty(len(one), np.float32)
    for begin in range(0, len(one), _AT_A_TIME):
        part = slice(begin, begin + _AT_A_TIME)
        held = [turned(thumb, int(turn)) for thumb, turn in zip(one[part], turns[part], strict=True)]
        result[part] = _misfits(np.stack(held).astype(np.float32), other[part].astype(np.float32))
    return result


def _misfits(one: Floats, other: Floats) -> Floats:
    """Return the misfit of each pair, at the blur that fits it best where that can matter."""
    difference = one + _tone_change(one, other) - other
    found = _misfit(difference)
    open_ones = np.flatnonzero((found > 1) & (found < _HOPELESS))
    best = np.square(difference[open_ones]).mean(axis=(1, 2, 3))
    for x, y in _blurred(one[open_ones], other[open_ones]):
        difference = x + _tone_change(x, y) - y
        mean = np.square(difference).mean(axis=(1, 2, 3))
        better = mean < best
        found[open_ones[better]] = _misfit(difference[better])
        best = np.minimum(best, mean)
    return found


def _misfit(difference: Floats) -> Floats:
    """Return the largest difference of each pair in brightness or averaged tint, by the one allowed."""
    luma = difference @ _LUMA
    tint = difference - luma[..., None]
    tint = tint[:, :-1] + tint[:, 1:]
    tint = (tint[:, :, :-1] + tint[:, :, 1:]) / 4
    by_tint = np.abs(tint).max(axis=(1, 2, 3), initial=0) * _TINT_WEIGHT
    by_luma = np.sort(np.abs(luma).reshape(len(luma), THUMB_SIDE**2), axis=1)
    noise = by_luma[:, by_luma.shape[1] * _NOISE_RANK // 100]
    allowed = np.minimum(QUIET_LIMIT + _NOISE_WEIGHT * noise, NOISY_LIMIT)
    return np.asarray(np.maximum(by_luma[:, -1], by_tint) / allowed, np.float32)


def _blurred(one: Floats, other: Floats) -> Iterator[tuple[Floats, Floats]]:
    for share in _BLURS:
        yield _blur(one, share), other
        yield one, _blur(other, share)


def _blur(pictures: Floats, share: float) -> Floats:
    for axis in (1, 2):
        before = np.concatenate([pictures.take([0], axis), pictures.take(range(THUMB_SIDE - 1), axis)], axis)
        after = np.concatenate([pictures.take(range(1, THUMB_SIDE), axis), pictures.take([-1], axis)], axis)
        pictures = pictures * np.float32(1 - 2 * share) + np.float32(share) * (before + after)
    return pictures


def _tone_change(x: Floats, y: Floats) -> Floats:
    """Return what to add to x: per picture and colour the parabola in x that brings it nearest to y."""
    n, height, width, colours = x.shape
    tones = x.transpose(0, 3, 1, 2).reshape(n, colours, height * width) / 255
    wanted = (y - x).transpose(0, 3, 1, 2).reshape(n, colours, height * width)
    powers = np.stack([np.ones_like(tones), tones, tones * tones], axis=-1)
    normal = powers.swapaxes(-1, -2) @ powers + np.float32(_PRIOR * height * width) * np.eye(
        3, dtype=np.float32
    )
    weights = np.linalg.solve(normal, powers.swapaxes(-1, -2) @ wanted[..., None])
    change = (powers @ weights)[..., 0].clip(-_TONE_LIMIT, _TONE_LIMIT)
    return np.asarray(change.reshape(n, colours, height, width).transpose(0, 2, 3, 1), np.float32)

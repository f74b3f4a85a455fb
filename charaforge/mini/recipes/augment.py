"""Views of a picture as a judge may meet it: blurred, resampled, compressed, blotchy, a little recoloured.

All functions take and return uint8 RGB (H, W, 3). Colours move by a few levels only: they carry meaning.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

cv2.setNumThreads(1)

Picture = npt.NDArray[np.uint8]
Damage = Callable[[np.random.Generator, Picture], Picture]


def blur(rng: np.random.Generator, picture: Picture) -> Picture:
    """Gaussian blur, sigma 0.4 to 1.3 px of a 128 px picture."""
    return _u8(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.3)) * picture.shape[0] / 128))


def resample(rng: np.random.Generator, picture: Picture) -> Picture:
    """Shrink by up to 2.2 and enlarge again."""
    h, w = picture.shape[:2]
    factor = rng.uniform(1.2, 2.2)
    small = cv2.resize(picture, (round(w / factor), round(h / factor)), interpolation=cv2.INTER_AREA)
    back = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
    return _u8(cv2.resize(small, (w, h), interpolation=back))


def jpeg(rng: np.random.Generator, picture: Picture) -> Picture:
    """JPEG at quality 25 to 90."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return _u8(np.ascontiguousarray(decoded[..., ::-1]))


def smear(rng: np.random.Generator, picture: Picture) -> Picture:
    """Move pixels along a smooth random field of 1 to 2 px: the wobbly edges of a decoded latent."""
    h, w = picture.shape[:2]
    cells = int(rng.integers(8, 20))
    amount = rng.uniform(0.4, 1.1) * h / 128
    coarse = rng.normal(0, amount, (cells, cells, 2)).astype(np.float32)
    field = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    ys, xs = np.mgrid[:h, :w].astype(np.float32)
    to_x, to_y = xs + field[..., 0], ys + field[..., 1]
    return _u8(cv2.remap(picture, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def blotch(rng: np.random.Generator, picture: Picture) -> Picture:
    """Add colour noise of a few levels, coarse as latent cells or fine as grain."""
    h, w = picture.shape[:2]
    cells = int(rng.choice([16, 32, 64, h]))
    coarse = rng.normal(0, rng.uniform(2, 9), (cells, cells, 3)).astype(np.float32)
    noise = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_LINEAR)
    return _u8(np.clip(picture + noise, 0, 255))


def recolor(rng: np.random.Generator, picture: Picture) -> Picture:
    """Scale each channel by up to 4 % and shift all by up to 5 levels."""
    gain = 1 + rng.uniform(-0.04, 0.04, 3) * rng.uniform(0, 1)
    return _u8(np.clip(picture * gain.astype(np.float32) + np.float32(rng.uniform(-5, 5)), 0, 255))


def shift_and_zoom(rng: np.random.Generator, picture: Picture) -> Picture:
    """Zoom by 0.95 to 1.08 and move by up to 4 % of the side; borders are continued."""
    h, w = picture.shape[:2]
    zoom = rng.uniform(0.95, 1.08)
    dx, dy = rng.uniform(-0.04, 0.04, 2) * h
    left, top = (1 - zoom) * w / 2 + dx, (1 - zoom) * h / 2 + dy
    matrix = np.array([[zoom, 0, left], [0, zoom, top]], np.float32)
    border = cv2.BORDER_REPLICATE
    return _u8(cv2.warpAffine(picture, matrix, (w, h), flags=cv2.INTER_LINEAR, borderMode=border))


DAMAGES: tuple[tuple[Damage, float], ...] = (
    (shift_and_zoom, 0.4),
    (smear, 0.35),
    (blur, 0.3),
    (resample, 0.2),
    (blotch, 0.35),
    (recolor, 0.5),
    (jpeg, 0.15),
)
"""Damages in the order they are applied, with the probability of each; only the first moves the picture."""


def damaged(
    rng: np.random.Generator, picture: Picture, clean: float = 0.15, fixed_geometry: bool = False
) -> Picture:
    """A random view of a picture; with probability ``clean`` the picture itself."""
    if rng.random() < clean:
        return picture
    for damage, probability in DAMAGES[fixed_geometry:]:
        if rng.random() < probability:
            picture = damage(rng, picture)
    return picture


def _u8(array: npt.NDArray[np.generic]) -> Picture:
    return array.astype(np.uint8, copy=False)

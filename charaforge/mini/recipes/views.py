"""Damaged views of banked pictures, as batches for the perception nets; VAE reconstructions among them.

Reconstructions are made once per bank, by the trained mini VAE, and kept beside it.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from charaforge.mini.recipes.augment import Picture, damaged
from charaforge.mini.recipes.bank import Bank


def as_tensor(pictures: Sequence[Picture] | npt.NDArray[np.uint8], dtype: torch.dtype) -> Tensor:
    """uint8 RGB pictures (B, H, W, 3) to a channels-last tensor (B, 3, H, W) in [-1, 1]."""
    stacked = torch.from_numpy(np.stack(list(pictures)))
    return stacked.permute(0, 3, 1, 2).to(dtype).div_(127.5).sub_(1)


class Views:
    """Random damaged views of the pictures of several banks, indexed as if the banks were one."""

    def __init__(
        self,
        banks: Sequence[Bank],
        decoded: Sequence[npt.NDArray[np.uint8] | None] = (),
        fixed_geometry: bool = False,
    ) -> None:
        """Views of ``banks``.

        Args:
            banks: Where the pictures come from.
            decoded: For each bank the VAE's reconstructions of its first pictures, or None.
            fixed_geometry: Leave everything where it is, for labels that are positions.
        """
        self._fixed = fixed_geometry
        self._banks = banks
        self._starts = np.cumsum([0, *(len(b) for b in banks)])
        self._decoded = [*decoded, *[None] * (len(banks) - len(decoded))]

    def __len__(self) -> int:
        """Number of pictures in all banks."""
        return int(self._starts[-1])

    def picture(self, rng: np.random.Generator, index: int) -> Picture:
        """A view of one picture; half of the time its reconstruction, where there is one."""
        bank = int(np.searchsorted(self._starts, index, side="right")) - 1
        local = index - int(self._starts[bank])
        decoded = self._decoded[bank]
        if decoded is not None and local < len(decoded) and rng.random() < 0.5:
            return damaged(rng, decoded[local], clean=0.4, fixed_geometry=self._fixed)
        return damaged(rng, self._banks[bank].pictures([local])[0], fixed_geometry=self._fixed)

    def tensor(self, rng: np.random.Generator, indices: npt.NDArray[np.int64], dtype: torch.dtype) -> Tensor:
        """Views of these pictures as a channels-last tensor (B, 3, H, W) in [-1, 1]."""
        return as_tensor([self.picture(rng, int(i)) for i in indices], dtype)

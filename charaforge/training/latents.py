"""Latents of the training pictures, all views of each, and their masks: computed once and cached.

An entry is found by the sha256 of the picture's file, the view, the size, and the VAE's own weights: whatever
of these changes, it is computed again. Captions do not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from charaforge.diffusion.bundle import Bundle
from charaforge.errors import ModelFileError
from charaforge.logs import track
from charaforge.training.batches import Draw
from charaforge.training.cache import TensorCache
from charaforge.training.dataset import Sample
from charaforge.training.pictures import cut, cut_mask, read_picture


class Latents:
    """Latents of pictures on the device of a run.

    Args:
        samples: the pictures, in the order of their numbers.
        encoder: computes what is not cached.
        device: where the latents are kept.
        prior_weight: weight of a regularisation picture in the loss.
    """

    def __init__(
        self, samples: Sequence[Sample], encoder: LatentEncoder, device: torch.device, prior_weight: float
    ) -> None:
        told = track(samples, "encoding pictures", unit="pictures")
        self._views = [
            [encoder.latent(sample, n).to(device) for n in range(len(sample.views))] for sample in told
        ]
        self._masks = [
            [encoder.mask(sample, n).to(device) for n in range(len(sample.views))] if sample.mask else []
            for sample in samples
        ]
        self._weights = torch.tensor([prior_weight if s.prior else 1.0 for s in samples], device=device)

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, sample: int) -> Tensor:
        """Return the latents of a picture as it is: (C, h, w)."""
        return self._views[sample][0]

    def of_draws(self, draws: Sequence[Draw]) -> Tensor:
        """Return (B, C, h, w); the pictures have one size."""
        return torch.stack([self._views[draw.sample][draw.view] for draw in draws])

    def masks(self, draws: Sequence[Draw]) -> Tensor | None:
        """Return (B, 1, h, w) of 0 (does not count) to 1; None where no picture of them has a mask."""
        if not any(self._masks[draw.sample] for draw in draws):
            return None
        return torch.stack([self._mask(draw) for draw in draws])

    def weights(self, draws: Sequence[Draw]) -> Tensor:
        """Return the weight of each picture in the loss, (B,) float32."""
        return self._weights[[draw.sample for draw in draws]]

    @property
    def size_in_bytes(self) -> int:
        """Memory that latents and masks take."""
        kept = [t for group in (*self._views, *self._masks) for t in group]
        return sum(tensor.numel() * tensor.element_size() for tensor in kept)

    def _mask(self, draw: Draw) -> Tensor:
        masks = self._masks[draw.sample]
        return masks[draw.view] if masks else torch.ones_like(self._views[draw.sample][draw.view][:1])


class LatentEncoder:
    """Computes latents and masks, or takes them from the cache.

    Args:
        bundle: its VAE encodes.
        cache: where results are kept.
    """

    def __init__(self, bundle: Bundle, cache: TensorCache) -> None:
        self._bundle = bundle
        self._cache = cache
        self._vae_sha256 = weights_digest(bundle.vae)

    def latent(self, sample: Sample, view: int = 0) -> Tensor:
        """Return the scaled latents of a view, (C, H/8, W/8) float32: the mean of the VAE's posterior.

        Raises:
            ModelFileError: the VAE gives values that are not finite.
            DatasetError: the picture has become unreadable since it was checked.
        """
        told = ("latent", self._vae_sha256, self._bundle.vae.dtype, sample.sha256, sample.size)
        return self._cache.get((*told, sample.views[view]), lambda: self._encoded(sample, view))

    def mask(self, sample: Sample, view: int = 0) -> Tensor:
        """Return the mask of a view, (1, H/8, W/8) float32 in 0 … 1; the picture has one."""
        mask, factor = sample.mask, self._bundle.latent_factor
        assert mask is not None
        size = (sample.size[0] // factor, sample.size[1] // factor)
        told = ("mask", mask.sha256, mask.own, sample.original, size, sample.views[view])
        return self._cache.get(told, lambda: cut_mask(mask.read(), sample.original, size, sample.views[view]))

    @torch.no_grad()
    def _encoded(self, sample: Sample, view: int) -> Tensor:
        vae = self._bundle.vae
        pixels = cut(read_picture(sample.path).rgb, sample.size, sample.views[view]).unsqueeze(0)
        posterior = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
        latent: Tensor = posterior.mode()[0].float() * self._bundle.latent_scaling
        if not bool(latent.isfinite().all()):
            raise ModelFileError(
                f"the VAE of {self._bundle.name} gives values that are not finite for {sample.path.name}; "
                f"it computes in {str(vae.dtype).removeprefix('torch.')}, the picture is not to blame",
                "use float32 for the VAE, or one that was repaired for float16 (sdxl-vae-fp16-fix)",
            )
        return latent


def weights_digest(module: nn.Module) -> str:
    """Return the sha256 of a module's weights, 64 hex digits: names, types, shapes and values."""
    total = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        total.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        total.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()

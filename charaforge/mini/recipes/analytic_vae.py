"""The mini VAE's encoder: an exact linear PCA of 8x8 patches, placed inside a stock ``AutoencoderKL``.

Training an encoder from nothing on a CPU collapses colours long before they are learned; the optimal
linear code is there at once, and a decoder trained on it never has to chase a moving target. The
encoder's down-samplers become space-to-depth, its residual blocks identities, and the last
GroupNorm + SiLU is made linear by pairs: SiLU(x) - SiLU(-x) = x, with constants +-K in every norm
group that swamp the statistics.

Shapes: B pictures, H = W = 128, latents (B, 16, 16, 16) float32, unit variance over all of them.
"""

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

LATENT_CHANNELS = 16
PATCH = 8
BLOCK_CHANNELS = (32, 48, 64, 96)
_WHITENING = 0.5
_K = 200.0
_LOG_VARIANCE = -12.0


@dataclass(frozen=True, slots=True)
class PatchPCA:
    """latent = (patch - mean) @ basis, for patches flattened as (row, column, RGB) in [-1, 1].

    Attributes:
        mean: float32 (192,).
        basis: float32 (192, 16); column i is a principal axis divided by its standard deviation ** 0.5,
            all scaled so that latents have variance 1 over the fitting pictures.
    """

    mean: Tensor
    basis: Tensor

    @classmethod
    def fit(cls, pictures: Tensor) -> "PatchPCA":
        """Fit on float32 pictures (B, 3, H, W) in [-1, 1]."""
        flat = to_patches(pictures).reshape(-1, PATCH * PATCH * 3).double()
        mean = flat.mean(0)
        variances, axes = torch.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
        std = variances.flip(0)[:LATENT_CHANNELS].sqrt()
        signs = axes.flip(1)[:, :LATENT_CHANNELS]
        signs = signs * torch.where(signs.abs().amax(0) == signs.amax(0), 1.0, -1.0)
        basis = signs / std**_WHITENING
        spread = ((flat - mean) @ basis).std()
        return cls(mean.float(), (basis / spread).float())

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] to latents (B, 16, H/8, W/8), float32."""
        return ((to_patches(pictures) - self.mean) @ self.basis).permute(0, 3, 1, 2).contiguous()


def to_patches(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) to (B, H/8, W/8, 192), each patch flattened as (row, column, RGB)."""
    b, c, h, w = pictures.shape
    cut = pictures.reshape(b, c, h // PATCH, PATCH, w // PATCH, PATCH)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(b, h // PATCH, w // PATCH, PATCH * PATCH * c)


def build_vae() -> AutoencoderKL:
    """An untrained AutoencoderKL in the mini shape (f = 8, 16 latent channels)."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=BLOCK_CHANNELS,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=128,
        scaling_factor=1.0,
    )


@torch.no_grad()
def install_encoder(vae: AutoencoderKL, pca: PatchPCA) -> None:
    """Write the PCA into the weights of a stock AutoencoderKL, exact to rounding."""
    encoder = vae.encoder
    for module in encoder.modules():
        if isinstance(module, ResnetBlock2D):
            _make_identity(module)
    encoder.conv_in.weight.zero_()
    encoder.conv_in.bias.zero_()
    for i in range(3):
        encoder.conv_in.weight[i, i, 1, 1] = 1
    _space_to_depth(encoder.down_blocks[0].downsamplers[0].conv, torch.eye(12), 3)
    _space_to_depth(encoder.down_blocks[1].downsamplers[0].conv, torch.eye(48), 12)
    order = _nested_patch_order()
    last = encoder.down_blocks[2].downsamplers[0].conv
    _space_to_depth(last, pca.basis[order].T.contiguous(), 48)
    last.bias[:LATENT_CHANNELS] = -(pca.mean @ pca.basis)
    _linear_output(vae)


def _clear(conv: nn.Conv2d) -> None:
    conv.weight.zero_()
    if conv.bias is not None:
        conv.bias.zero_()


def _make_identity(block: ResnetBlock2D) -> None:
    _clear(block.conv2)
    shortcut = block.conv_shortcut
    if shortcut is not None:
        _clear(shortcut)
        diagonal = torch.arange(min(shortcut.weight.shape[:2]))
        shortcut.weight[diagonal, diagonal] = 1


def _space_to_depth(conv: nn.Conv2d, matrix: Tensor, channels_in: int) -> None:
    """Set a stride-2 convolution to: cut 2x2 blocks, flatten as (row, column, channel), multiply."""
    _clear(conv)
    rows = matrix.shape[0]
    blocks = matrix.view(rows, 2, 2, channels_in).permute(0, 3, 1, 2)
    conv.weight[:rows, :channels_in, :2, :2] = blocks


def _nested_patch_order() -> Tensor:
    """For each element of the thrice-nested 2x2 flattening, its index in the (row, column, RGB) patch."""
    index = torch.arange(PATCH * PATCH * 3).reshape(PATCH, PATCH, 3)
    for _ in range(3):
        h, w, c = index.shape
        index = index.reshape(h // 2, 2, w // 2, 2, c).permute(0, 2, 1, 3, 4).reshape(h // 2, w // 2, 4 * c)
    return index.reshape(-1)


def _linear_output(vae: AutoencoderKL) -> None:
    encoder = vae.encoder
    first = encoder.down_blocks[3].resnets[0].conv_shortcut
    norm, conv_out = encoder.conv_norm_out, encoder.conv_out
    group = norm.num_channels // norm.num_groups
    per_group = LATENT_CHANNELS // norm.num_groups
    first.weight.zero_()
    first.bias.zero_()
    norm.weight.fill_(1.0)
    norm.bias.zero_()
    conv_out.weight.zero_()
    conv_out.bias.zero_()
    spread = (2 * _K * _K / group) ** 0.5
    for i in range(LATENT_CHANNELS):
        start = (i // per_group) * group
        positive = start + 2 * (i % per_group)
        first.weight[positive, i] = 1
        first.weight[positive + 1, i] = -1
        first.bias[start + 2 * per_group] = _K
        first.bias[start + 2 * per_group + 1] = -_K
        conv_out.weight[i, positive, 1, 1] = spread
        conv_out.weight[i, positive + 1, 1, 1] = -spread
        conv_out.bias[LATENT_CHANNELS + i] = _LOG_VARIANCE
    vae.quant_conv.weight.copy_(torch.eye(2 * LATENT_CHANNELS)[..., None, None])
    vae.quant_conv.bias.zero_()

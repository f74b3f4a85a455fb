"""The small residual trunk that all perception nets of the mini family are built on.

Pictures go in as (B, 3, H, W) in [-1, 1]; a 4x4 space-to-depth keeps every pixel while the first
convolution already works on channels enough for matrix hardware.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm, added to their input (He et al. 2015)."""

    def __init__(self, channels: int) -> None:
        """Shape-preserving on (B, channels, H, W)."""
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        inner = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(x + self.second_norm(self.second(inner)))


def conv_norm(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution, batch norm and ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Trunk(nn.Sequential):
    """Space-to-depth by 4, then stages of residual blocks, each later stage at half the resolution.

    With three stages (B, 3, 128, 128) becomes (B, widths[-1], 8, 8).
    """

    def __init__(self, widths: Sequence[int], blocks: Sequence[int]) -> None:
        """``widths``: channels per stage; ``blocks``: residual blocks per stage."""
        layers: list[nn.Module] = [nn.PixelUnshuffle(4), conv_norm(48, widths[0])]
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            if stage:
                layers.append(conv_norm(widths[stage - 1], width, stride=2))
            layers.extend(Residual(width) for _ in range(count))
        super().__init__(*layers)


class MeanAndMax(nn.Module):
    """Global mean and maximum over positions, side by side: (B, C, H, W) to (B, 2C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool over the last two axes."""
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)


def cast_for_training(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Cast to ``dtype`` in channels-last layout; batch norms keep float32 statistics and parameters."""
    model.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stub lacks it
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.float()
    return model

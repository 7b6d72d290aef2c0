"""The layers of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958), in plain PyTorch.

No compiled extension is needed, and everything can be differentiated twice, as R1 and path-length regularisation
require.  Feature maps are (n, channels, height, width).
"""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLUR = (1.0, 3.0, 3.0, 1.0)  # the low-pass filter around every change of resolution, one axis of it
SLOPE = 0.2  # of the leaky ReLU
STDDEV_GROUP = 4  # images whose features are compared by the minibatch standard deviation


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU times sqrt(2), which approximately keeps the second moment of its input."""
    return F.leaky_relu(x, SLOPE) * math.sqrt(2)


@cache
def blur_filter(channels: int, gain: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The two-dimensional filter, once for each channel: (channels, 1, 4, 4), each summing to `gain`."""
    axis = torch.tensor(BLUR, dtype=dtype, device=device)
    return (torch.outer(axis, axis) * (gain / axis.sum() ** 2)).expand(channels, 1, -1, -1)


def blur(x: Tensor, padding: int, gain: float = 1.0, stride: int = 1) -> Tensor:
    """Low-pass filter; without a stride the sides grow by 2 * padding - 3."""
    weight = blur_filter(x.shape[1], gain, x.dtype, x.device)
    return F.conv2d(x, weight, padding=padding, stride=stride, groups=x.shape[1])


def upsample(x: Tensor) -> Tensor:
    """Double the sides: zeros between the pixels, then the low-pass filter."""
    weight = blur_filter(x.shape[1], 4.0, x.dtype, x.device)
    return F.conv_transpose2d(x, weight, stride=2, padding=1, groups=x.shape[1])


def minibatch_stddev(x: Tensor, parts: int = 1) -> Tensor:
    """Append one channel: how much features differ within a group of images, averaged over channels and positions.

    parts: number of equally large batches that x consists of; no group mixes them.  A batch of n is cut into groups of
    4, or of the largest smaller size that divides n; image i shares a group with image i + n / size.
    """
    n, height, width = len(x) // parts, x.shape[2], x.shape[3]
    size = next(size for size in range(min(STDDEV_GROUP, n), 0, -1) if n % size == 0)
    variance = x.unflatten(0, (parts, size, n // size)).var(dim=1, unbiased=False)
    stddev = (variance + 1e-8).sqrt().mean(dim=(2, 3, 4))  # (parts, n / size)
    channel = stddev.repeat(1, size).view(-1, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x, channel], dim=1)


class Linear(nn.Module):
    """Fully connected, with an equalised learning rate.

    Weights start as N(0, 1) and are scaled by 1 / sqrt(inputs) at run time, so that Adam changes all layers at the
    same relative pace; `lr_multiplier` slows weights and biases further.
    """

    def __init__(
        self, inputs: int, outputs: int, bias: float = 0.0, activate: bool = False, lr_multiplier: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.scale, self.lr_multiplier, self.activate = lr_multiplier / math.sqrt(inputs), lr_multiplier, activate

    def forward(self, x: Tensor) -> Tensor:
        """x: (n, inputs)."""
        x = torch.addmm(self.bias, x, self.weight.t(), beta=self.lr_multiplier, alpha=self.scale)
        return leaky_relu(x) if self.activate else x


class RMSNorm(nn.Module):
    """Scale each row to unit root mean square."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class Conv(nn.Module):
    """Convolution of the discriminator with an equalised learning rate; optionally halves the sides.

    activate: with bias and leaky ReLU, otherwise with neither.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, down: bool = False, activate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activate else None
        self.scale, self.kernel, self.down = 1 / math.sqrt(inputs * kernel**2), kernel, down

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if not self.down:
            x = F.conv2d(x, weight, self.bias, padding=self.kernel // 2)
        elif self.kernel == 1:  # only every second pixel is used, so filter only those
            x = F.conv2d(blur(x, padding=1, stride=2), weight, self.bias)
        else:
            x = F.conv2d(blur(x, padding=2), weight, self.bias, stride=2)
        return x if self.bias is None else leaky_relu(x)


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by a style, and whose output is rescaled to unit variance
    (section 2.2 of the paper).

    The paper scales the weights, so that every image has its own weights.  Scaling the input before and the output
    after one shared convolution is the same function, and faster.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, style_dim: int, up: bool = False, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.modulation = Linear(style_dim, inputs, bias=1.0)
        self.scale, self.kernel = 1 / math.sqrt(inputs * kernel**2), kernel
        self.up, self.demodulate = up, demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x: (n, inputs, h, w).  w: (n, style_dim)."""
        style, weight = self.modulation(w), self.weight * self.scale
        x = x * style.view(*style.shape, 1, 1)
        if self.up:
            x = blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), padding=1, gain=4.0)
        else:
            x = F.conv2d(x, weight, padding=self.kernel // 2)
        if self.demodulate:
            variance = F.linear(style.square(), weight.square().sum(dim=(2, 3)))  # (n, outputs)
            x = x * (variance + 1e-8).rsqrt().view(*variance.shape, 1, 1)
        return x

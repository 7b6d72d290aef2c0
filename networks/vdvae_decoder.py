"""The generator of the IMLE family: a VDVAE decoder driven by a mapping network.

It is the decoder of Child (2021), without the encoder and the stochastic layers; instead, a mapping network (Karras et
al. 2019) turns the latent code into a style that modulates every block, and each block adds a noise map.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.console import UserError
from networks.mapping import Mapping


class BlockSpec(NamedTuple):
    resolution: int
    upsampling: int  # factor by which the block's input is upsampled first; 1: not at all


def parse_blocks(text: str) -> list[BlockSpec]:
    """Read a block list such as `1x4,4m1,4x2`.

    `RxN` stands for N blocks at resolution R, `RmS` for one block at resolution R whose input is upsampled from
    resolution S.  Raises UserError unless the list starts at resolution 1 and each entry continues the one before.
    """
    specs: list[BlockSpec] = []
    resolution = 1
    for entry in text.replace(" ", "").split(","):
        match = re.fullmatch(r"([1-9]\d*)([xm])([1-9]\d*)", entry)
        if match is None:
            raise UserError(f"`blocks`: {entry!r} is neither RxN nor RmS; an example is 1x4,4m1,4x4,8m4")
        target, number = int(match[1]), int(match[3])
        source = target if match[2] == "x" else number
        if source != resolution or target % source:
            raise UserError(f"`blocks`: {entry!r} does not continue from resolution {resolution}; the list starts at 1")
        specs += [BlockSpec(target, 1)] * number if match[2] == "x" else [BlockSpec(target, target // source)]
        resolution = target
    return specs


class AdaptiveInstanceNorm(nn.Module):
    """Normalise each channel of each image, then scale and shift it by linear functions of the style."""

    def __init__(self, width: int, style_dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.style = nn.Linear(style_dim, 2 * width)
        with torch.no_grad():
            self.style.bias[:width] = 1  # the scales
            self.style.bias[width:] = 0  # the shifts

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        scale, shift = self.style(w)[:, :, None, None].chunk(2, dim=1)
        if x.shape[-1] > 1:  # a single pixel has no variance to normalise
            # One group a channel is instance normalisation.
            x = F.group_norm(x, num_groups=x.shape[1], eps=self.eps)
        return torch.addcmul(shift, scale, x)


class Bottleneck(nn.Module):
    """Residual bottleneck: GELU and convolution four times, 1x1, kxk, kxk, 1x1."""

    def __init__(self, width: int, inner: int, kernel: int, output_gain: float) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, size, padding=size // 2)
            for inputs, outputs, size in [
                (width, inner, 1),
                (inner, inner, kernel),
                (inner, inner, kernel),
                (inner, width, 1),
            ]
        )
        for convolution in self.convolutions:
            nn.init.zeros_(convolution.get_parameter("bias"))
        with torch.no_grad():
            self.convolutions[-1].get_parameter("weight").mul_(output_gain)

    def forward(self, x: Tensor) -> Tensor:
        hidden = x
        for convolution in self.convolutions:
            hidden = convolution(F.gelu(hidden))
        return x + hidden


class Block(nn.Module):
    """Upsample (where the resolution rises), inject noise, modulate by the style, refine by a residual bottleneck."""

    def __init__(
        self,
        spec: BlockSpec,
        width: int,
        inner: int,
        style_dim: int,
        output_gain: float,
        spatial_noise: bool,
        norm_eps: float,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.noise_gain = nn.Parameter(torch.randn(1, width, 1, 1)) if spatial_noise else None
        self.norm = AdaptiveInstanceNorm(width, style_dim, norm_eps)
        # Below 3x3 pixels a 3x3 kernel would see mostly padding.
        self.bottleneck = Bottleneck(width, inner, 3 if spec.resolution > 2 else 1, output_gain)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        if self.spec.upsampling > 1:
            x = F.interpolate(x, scale_factor=self.spec.upsampling, mode="nearest")
        if self.noise_gain is not None and noise is not None:
            x = torch.addcmul(x, self.noise_gain, noise)
        return self.bottleneck(self.norm(x, w))


class VDVAEDecoder(nn.Module):
    """Images from latent codes and noise maps, one single-channel map per resolution, shared by its blocks.

    blocks: the block list, see `parse_blocks`.  bottleneck: inner width of the residual blocks as a share of `width`.
    spatial_noise: without it there are no noise maps.  norm_eps: of instance normalisation.
    The paper's size (256 px: the defaults) has 36,588,937 parameters, 8,396,800 of them in the mapping network.
    """

    def __init__(
        self,
        blocks: str = "1x4,4m1,4x4,8m4,8x4,16m8,16x3,32m16,32x2,64m32,64x2,128m64,128x2,256m128",
        width: int = 384,
        bottleneck: float = 0.25,
        latent_dim: int = 1024,
        mapping_depth: int = 8,
        channels: int = 3,
        spatial_noise: bool = True,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.specs = specs = parse_blocks(blocks)
        inner = int(width * bottleneck)
        self.latent_dim = latent_dim
        self.resolution = specs[-1].resolution
        self.noise_resolutions = sorted({spec.resolution for spec in specs}) if spatial_noise else []
        self.mapping = Mapping(latent_dim, mapping_depth)
        self.constant = nn.Parameter(torch.randn(1, width, 1, 1))
        # The residual branches add up over the depth: with this scale, their sum has the variance of one of them.
        self.blocks = nn.ModuleList(
            Block(spec, width, inner, latent_dim, len(specs) ** -0.5, spatial_noise, norm_eps) for spec in specs
        )
        self.to_image = nn.Conv2d(width, channels, 1)
        nn.init.zeros_(self.to_image.get_parameter("bias"))
        self.gain = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, z: Tensor, noise: dict[str, Tensor]) -> Tensor:
        """z: (n, latent_dim); noise["R"]: (n, 1, R, R) for each of `noise_resolutions`; all standard normal.

        Returns (n, channels, resolution, resolution), nominally in [-1, 1], not clipped.
        """
        w = self.mapping(z)
        x = self.constant.expand(len(z), -1, -1, -1)
        for block, spec in zip(self.blocks, self.specs, strict=True):
            x = block(x, w, noise[str(spec.resolution)] if self.noise_resolutions else None)
        return self.to_image(x) * self.gain + self.bias

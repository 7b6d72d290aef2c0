"""StyleGAN2's generator and residual discriminator (Karras et al. 2020), as MixDL uses them.

Resolutions are powers of two from 16.  The width of a feature map of r x r is min(channel_max, channel_base // r); the
defaults are those of the official 256 px networks (512 to 64 px, 256 at 128 px, 128 at 256 px).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from common.console import UserError
from networks.stylegan2_ops import Conv, Linear, ModulatedConv, RMSNorm, leaky_relu, minibatch_stddev, upsample

CHANNEL_BASE, CHANNEL_MAX = 32768, 512
MAPPING_LR = 0.01  # learning rate of the mapping network relative to the rest


def sizes(resolution: int) -> list[int]:
    """4, 8, ..., resolution.  Raises `UserError` unless it is a power of two, at least 16."""
    if resolution < 16 or resolution.bit_count() != 1:
        raise UserError(f"resolution: StyleGAN2 cannot draw {resolution} px; set a power of two, at least 16")
    return [2**exponent for exponent in range(2, resolution.bit_length())]


def widths(resolution: int, base: int, maximum: int) -> dict[int, int]:
    """Size of a feature map -> its number of channels."""
    return {size: min(maximum, base // size) for size in sizes(resolution)}


class Generator(nn.Module):
    """Latent code z -> w (the mapping network) -> image (the synthesis network).

    style_dim: size of z and w.  noise_shapes: name -> shape of the noise map of one image, one for each styled
    convolution; empty without `noise`.  n_styles: number of layers that can each have a separate w.
    """

    def __init__(
        self,
        resolution: int,
        style_dim: int = 512,
        mapping_depth: int = 8,
        channel_base: int = CHANNEL_BASE,
        channel_max: int = CHANNEL_MAX,
        channels: int = 3,
        noise: bool = True,
    ) -> None:
        super().__init__()
        width = widths(resolution, channel_base, channel_max)
        layers = [Linear(style_dim, style_dim, activate=True, lr_multiplier=MAPPING_LR) for _ in range(mapping_depth)]
        self.mapping = nn.Sequential(RMSNorm(), *layers)
        self.constant = nn.Parameter(torch.randn(1, width[4], 4, 4))
        self.convs = nn.ModuleList([StyledConv(width[4], width[4], style_dim)])
        for size in list(width)[1:]:
            self.convs.append(StyledConv(width[size // 2], width[size], style_dim, up=True))
            self.convs.append(StyledConv(width[size], width[size], style_dim))
        sides = [4, *(size for size in list(width)[1:] for _ in range(2))]  # of the convolutions' maps
        self.noise_shapes = {f"noise_{layer}": (1, side, side) for layer, side in enumerate(sides) if noise}
        self.to_images = nn.ModuleList(ToImage(each, channels, style_dim) for each in width.values())
        self.n_styles = len(self.convs) + 1

    def forward(self, z: Tensor, noise: dict[str, Tensor]) -> Tensor:
        """Images (n, channels, resolution, resolution), nominally in [-1, 1], of z (n, style_dim)."""
        return self.synthesise(self.broadcast(self.mapping(z)), noise)[0]

    def broadcast(self, w: Tensor) -> Tensor:
        """(n, style_dim) -> (n, n_styles, style_dim): the same w for every layer."""
        return w.unsqueeze(1).expand(-1, self.n_styles, -1)

    def synthesise(self, styles: Tensor, noise: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The images, and the output of each styled convolution, from styles (n, n_styles, style_dim).

        noise: name -> (n, 1, size, size), standard normal, see `noise_shapes`.
        """
        x = self.constant.expand(len(styles), -1, -1, -1)
        image: Tensor | None = None
        features, ws = [], styles.unbind(dim=1)
        for layer, conv in enumerate(self.convs):
            x = conv(x, ws[layer], noise.get(f"noise_{layer}"))
            features.append(x)
            if layer % 2 == 0:  # the last convolution of its resolution; its image layer takes the next w
                image = self.to_images[layer // 2](x, ws[layer + 1], image)
        assert image is not None
        return image, features


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, style_dim: int, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, style_dim, up)
        self.noise_gain = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        x = self.conv(x, w)
        if noise is not None:
            x = x + self.noise_gain * noise
        return leaky_relu(x + self.bias)


class ToImage(nn.Module):
    """The contribution of one resolution to the image."""

    def __init__(self, inputs: int, channels: int, style_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, channels, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor, w: Tensor, image: Tensor | None) -> Tensor:
        """image: the sum of the resolutions below, at half the size of x; None at the lowest."""
        own = self.conv(x, w) + self.bias
        return own if image is None else own + upsample(image)


class Discriminator(nn.Module):
    """One logit per image; on the way, feature maps for judging patches and vectors for comparing images.

    taps: the places (block, convolution) where the trunk can be cut for a patch discriminator.  At 256 px they are the
    second convolution of the 64-to-32 block, both of the 32-to-16 block and the first of the 16-to-8 block, so the maps
    are 32, 32, 16 and 16 px wide; the same holds for every resolution from 64.  A 32 px network has no 64-to-32 block
    and is cut one block later, counted from its end (maps of 16, 16, 8 and 8 px); a 16 px network has only four
    convolutions (16, 8, 8, 4).
    """

    def __init__(
        self,
        resolution: int,
        channel_base: int = CHANNEL_BASE,
        channel_max: int = CHANNEL_MAX,
        channels: int = 3,
        projects: bool = True,
    ) -> None:
        """projects: with the layer of `embed`, which is MixDL's addition."""
        super().__init__()
        width = widths(resolution, channel_base, channel_max)
        downwards = sizes(resolution)[:0:-1]
        self.from_image = Conv(channels, width[resolution], 1)
        self.blocks = nn.ModuleList(ResidualBlock(width[size], width[size // 2]) for size in downwards)
        self.last = Conv(width[4] + 1, width[4], 3)
        self.hidden = Linear(16 * width[4], width[4], activate=True)
        self.logit = Linear(width[4], 1)
        self.projection = Linear(width[4], width[4]) if projects else None
        first = min(max(2 * len(self.blocks) - 7, 1), 2 * len(self.blocks) - 4)
        self.taps = [divmod(position, 2) for position in range(first, first + 4)]
        of_all_convolutions = [outputs for size in downwards for outputs in (width[size], width[size // 2])]
        self.tap_widths = of_all_convolutions[first : first + 4]

    def forward(self, images: Tensor, parts: int = 1) -> Tensor:
        """Logits (n, 1) of images (n, channels, resolution, resolution).

        Those of a group of 4 depend on each other.  parts: number of equally large batches that `images` consists of;
        no group mixes them.
        """
        return self.logit(self._penultimate(images, parts))

    def embed(self, images: Tensor, parts: int = 1) -> Tensor:
        """(n, width of the 4x4 map): the projection of the penultimate layer, in which MixDL compares images."""
        assert self.projection is not None
        return self.projection(self._penultimate(images, parts))

    def patch_features(self, images: Tensor, tap: int) -> Tensor:
        """(n, tap_widths[tap], h, w): the trunk cut at `taps[tap]`."""
        number, convolution = self.taps[tap]
        x = self.from_image(images)
        for before in self.blocks[:number]:
            x = before(x)
        block = self.blocks[number]
        assert isinstance(block, ResidualBlock)
        x = block.first(x)
        return block.second(x) if convolution else x

    def _penultimate(self, images: Tensor, parts: int) -> Tensor:
        x = self.from_image(images)
        for block in self.blocks:
            x = block(x)
        return self.hidden(self.last(minibatch_stddev(x, parts)).flatten(1))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the second halving the sides, beside a 1x1 skip; scaled to keep the variance."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = Conv(inputs, inputs, 3)
        self.second = Conv(inputs, outputs, 3, down=True)
        self.skip = Conv(inputs, outputs, 1, down=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.second(self.first(x)) + self.skip(x)) / math.sqrt(2)


class PatchHeads(nn.ModuleList):
    """For each tap of a discriminator, the 3x3 convolution that turns its map into one logit per position."""

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__(Conv(width, 1, 3) for width in discriminator.tap_widths)

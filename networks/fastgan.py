"""The networks of FastGAN (Liu et al. 2021, "Towards Faster and Stabilized GAN Training for High-fidelity Few-shot
Image Synthesis", section 3).

The paper describes 256 to 1024 px; the same rules give 32, 64 and 128 px:
- the small image is 128 px wide, or half the resolution where that is less;
- a skip-layer excitation of the generator joins feature maps a factor 16 apart, at 32 px the only pair (4, 32);
- one of the discriminator joins maps a factor 8 apart, which needs at least 64 px;
- the discriminator ends at 8x8 at every resolution, so logit maps and decoders keep their shape.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

RESOLUTIONS = (32, 64, 128, 256, 512, 1024)
# Width of the generator's feature maps by their size, in units of `ngf`.
GENERATOR_WIDTHS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}
NOISY_SIZES = (8, 32, 128, 512)  # two convolutions with noise lead to these, one without noise to other sizes
# Width of the decoders' feature maps by their size, in units of `decoder_width`.
DECODER_WIDTHS = {16: 1, 32: 0.5, 64: 0.5, 128: 0.25}


def small_size(resolution: int) -> int:
    """Size of the second image that the generator draws, the discriminator sees and the decoders reconstruct."""
    return min(128, resolution // 2)


class Generator(nn.Module):
    """Maps a latent code and noise maps to an image and a small version of it.

    nz: size of the latent code.  ngf: the unit of width.  noise_shapes: name -> shape of the noise maps of one image,
    two for each of the sizes 8, 32, 128 and 512.
    """

    def __init__(self, resolution: int, nz: int = 256, ngf: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.resolution = resolution
        width = {size: max(1, int(factor * ngf)) for size, factor in GENERATOR_WIDTHS.items() if size <= resolution}
        self.start = nn.Sequential(
            transposed_conv(nz, 2 * width[4], 4),
            batch_norm(2 * width[4]),
            nn.GLU(dim=1),
        )
        self.blocks = nn.ModuleDict()
        self.noise_shapes: dict[str, tuple[int, int, int]] = {}
        for below, size in pairwise(width):
            noisy = size in NOISY_SIZES
            inputs = [width[below], width[size]] if noisy else [width[below]]
            self.blocks[str(size)] = nn.ModuleList(GatedConv(each, width[size], noisy) for each in inputs)
            if noisy:
                self.noise_shapes |= {noise_name(size, position): (1, size, size) for position in range(2)}
        links = {64: 4, 128: 8, 256: 16, 512: 32} if resolution > 32 else {32: 4}
        self.links = {size: source for size, source in links.items() if size <= resolution}
        self.excitations = nn.ModuleDict(
            {str(size): SkipLayerExcitation(width[source], width[size]) for size, source in self.links.items()}
        )
        self.to_image = conv(width[resolution], channels, 3)
        self.to_small = conv(width[small_size(resolution)], channels, 1)

    def forward(self, z: Tensor, noise: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """z: (n, nz), standard normal.  noise: name -> (n, 1, size, size), standard normal, see `noise_shapes`.

        Returns the image (n, channels, resolution, resolution) and the small one, nominally in [-1, 1]; only the
        1024 px model enforces that range.
        """
        x = self.start(z[:, :, None, None])
        maps = {4: x}
        for name, convs in self.blocks.items():
            size = int(name)
            x = F.interpolate(x, scale_factor=2)
            for position, layer in enumerate(convs.children()):
                x = layer(x, noise.get(noise_name(size, position)))
            if size in self.links:
                x = self.excitations[name](maps[self.links[size]], x)
            maps[size] = x
        images = self.to_image(x), self.to_small(maps[small_size(self.resolution)])
        return (images[0].tanh(), images[1].tanh()) if self.resolution == 1024 else images


class Features(NamedTuple):
    """What the discriminator makes of its two images: inputs of its logits and of its decoders."""

    middle: Tensor  # (n, 4 ndf, 16, 16)
    last: Tensor  # (n, 8 ndf, 8, 8)
    small: Tensor  # (n, 4 ndf, 8, 8), from the small image


class Discriminator(nn.Module):
    """Two images to 50 logits; a self-supervised encoder by way of three decoders (section 3.2).

    ndf: the unit of width.  decoder_width: that of the decoders, which in the official code does not follow ndf.
    """

    def __init__(self, resolution: int, ndf: int = 64, decoder_width: int = 128, channels: int = 3) -> None:
        super().__init__()

        def width(size: int) -> int:
            return max(1, 64 * ndf // size)

        def small_width(size: int) -> int:
            return max(1, 32 * ndf // size)

        top = min(resolution, 256)  # larger images are first reduced to 256 px by strided convolutions
        if resolution == top:
            self.stem = nn.Sequential(conv(channels, width(top), 3), leaky_relu())
        else:
            self.stem = strided_path(channels, {size: width(size) for size in halvings(resolution, top)})
        self.trunk = nn.ModuleDict({str(size): DownBlock(width(2 * size), width(size)) for size in halvings(top, 8)})
        self.excitations = nn.ModuleDict(
            {str(size): SkipLayerExcitation(width(8 * size), width(size)) for size in (32, 16, 8) if 8 * size <= top}
        )
        self.head = nn.Sequential(*conv_norm_relu(width(8), 16 * ndf, 1), conv(16 * ndf, 1, 4, padding=0))
        small = small_size(resolution)
        self.small_path = strided_path(channels, {size: small_width(size) for size in halvings(small, 8)})
        self.small_head = conv(small_width(8), 1, 4, padding=0)
        decoded = {
            size: max(1, int(factor * decoder_width)) for size, factor in DECODER_WIDTHS.items() if size <= small
        }
        self.decoder = decoder(width(8), decoded, channels)
        self.small_decoder = decoder(small_width(8), decoded, channels)
        self.part_decoder = decoder(width(16), decoded, channels)

    def features(self, images: Tensor, small: Tensor) -> Features:
        """images: (n, channels, resolution, resolution).  small: the same at `small_size(resolution)`."""
        x = self.stem(images)
        maps = {x.shape[-1]: x}
        for name, block in self.trunk.items():
            x = block(x)
            if name in self.excitations:
                x = self.excitations[name](maps[8 * int(name)], x)
            maps[int(name)] = x
        return Features(maps[16], maps[8], self.small_path(small))

    def logits(self, features: Features) -> Tensor:
        """(n, 50): the 5x5 map of the image, then that of the small image."""
        return torch.cat([self.head(features.last).flatten(1), self.small_head(features.small).flatten(1)], dim=1)

    def reconstruct(self, features: Features, part: int) -> tuple[Tensor, Tensor, Tensor]:
        """Decode the whole image, the whole image from the small path, and quadrant `part` of the image.

        Each is (n, channels, s, s) with s = small_size(resolution), in [-1, 1].
        """
        return (
            self.decoder(features.last),
            self.small_decoder(features.small),
            self.part_decoder(quadrant(features.middle, part)),
        )

    def forward(self, images: Tensor, small: Tensor) -> Tensor:
        return self.logits(self.features(images, small))


def quadrant(x: Tensor, part: int) -> Tensor:
    """A quarter of (n, c, h, w): 0 top left, 1 top right, 2 bottom left, 3 bottom right."""
    row, column = divmod(part, 2)
    return x.chunk(2, dim=2)[row].chunk(2, dim=3)[column]


class SkipLayerExcitation(nn.Module):
    """Gate the channels of a large feature map by a small one, or of a late map by an early one (section 3.1)."""

    def __init__(self, source: int, gated: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), conv(source, gated, 4, padding=0), nn.SiLU(), conv(gated, gated, 1), nn.Sigmoid()
        )

    def forward(self, source: Tensor, gated: Tensor) -> Tensor:
        return gated * self.gate(source)


class GatedConv(nn.Module):
    """3x3 convolution, optional noise, BatchNorm, gated linear unit.

    The noise weight starts at zero: the network learns how much noise to use.
    """

    def __init__(self, inputs: int, outputs: int, noisy: bool = False) -> None:
        super().__init__()
        self.conv = conv(inputs, 2 * outputs, 3)
        self.noise_weight = nn.Parameter(torch.zeros(1)) if noisy else None
        self.norm = batch_norm(2 * outputs)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        x = self.conv(x)
        if self.noise_weight is not None:
            assert noise is not None
            x = x + self.noise_weight * noise
        return F.glu(self.norm(x), dim=1)


class DownBlock(nn.Module):
    """Halve the size: the mean of a strided and of a pooled branch."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(*conv_norm_relu(inputs, outputs, 4, stride=2), *conv_norm_relu(outputs, outputs, 3))
        self.direct = nn.Sequential(nn.AvgPool2d(2), *conv_norm_relu(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.main(x) + self.direct(x)) / 2


def decoder(inputs: int, widths: dict[int, int], channels: int) -> nn.Sequential:
    """(n, inputs, 8, 8) through maps of the given widths to (n, channels, size, size) in [-1, 1]."""
    layers: list[nn.Module] = []
    for outputs in widths.values():
        layers += [nn.Upsample(scale_factor=2), GatedConv(inputs, outputs)]
        inputs = outputs
    return nn.Sequential(*layers, conv(inputs, channels, 3), nn.Tanh())


def strided_path(inputs: int, widths: dict[int, int]) -> nn.Sequential:
    """Strided convolutions from an image through feature maps of the given widths; the first has no BatchNorm."""
    first, *rest = widths.values()
    layers: list[nn.Module] = [conv(inputs, first, 4, stride=2), leaky_relu()]
    for below, outputs in pairwise([first, *rest]):
        layers += conv_norm_relu(below, outputs, 4, stride=2)
    return nn.Sequential(*layers)


def halvings(start: int, stop: int) -> list[int]:
    """Sizes after each halving of `start` down to `stop`: halvings(32, 8) is [16, 8]."""
    return [start >> i for i in range(1, (start // stop).bit_length())]


def noise_name(size: int, position: int) -> str:
    return f"noise_{size}_{position}"


def conv_norm_relu(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [conv(inputs, outputs, kernel, stride), batch_norm(outputs), leaky_relu()]


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int | None = None) -> nn.Module:
    """Spectrally normalised convolution without bias; by default padded to keep the size (or halve it)."""
    padding = (kernel - 1) // 2 if padding is None else padding
    return _normalised(nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False))


def transposed_conv(inputs: int, outputs: int, kernel: int) -> nn.Module:
    return _normalised(nn.ConvTranspose2d(inputs, outputs, kernel, bias=False))


def _normalised(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    nn.init.normal_(layer.weight, std=0.02)
    return spectral_norm(layer)


def batch_norm(width: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(width)
    nn.init.normal_(norm.weight, 1.0, 0.02)
    return norm


def leaky_relu() -> nn.LeakyReLU:
    return nn.LeakyReLU(0.2, inplace=True)

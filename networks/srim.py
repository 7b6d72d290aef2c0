"""Super-resolution networks with random inputs (SRIM: Li, Peng and Malik, arXiv 1810.01406, and its successors).

A level enlarges an image by a power of two and has a random code of its own; every level's image can be compared with
the target of its size.  There are two kinds of levels: stacks of 2x, as first published, and residual dense blocks,
as in the later 8x network (one level) and in HyperRIM, CAM-Net and CHIMLE (one level for each doubling).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from networks.levels import code_shapes, join

LEAK = 0.2
STACK = 9  # convolutions of a stack
STACK_KERNEL = 5
HIDDEN = 32  # units between the global code and the scale and shift
RESIDUAL = 0.2  # scale of what a block adds
FEATURES = 0.5  # scale of the features of the level before
NESTED = 3  # dense blocks in one residual-in-residual block


class SRIM(nn.Module):
    """A small image in [-1, 1] and noise to larger ones: `levels` images, the last one `factor` times as large."""

    def __init__(
        self,
        side: int,
        factor: int,
        channels: int,
        levels: int,
        kind: Literal["stack", "dense"],
        width: int,
        blocks: int,
        growth: int,
        convolutions: int,
        nested: bool,
        output: Literal["sigmoid", "residual"],
        global_code: int,
        noise_channels: int,
        projection: bool,
    ) -> None:
        """side: of the small images.  levels: 0 for one at each doubling.  width: channels of the features.

        Of dense levels only: blocks; growth and convolutions of a dense block; nested: are three of them one block?;
        output: "residual" is added to the enlarged input; global_code.
        projection: correct each level's image so that its area average is the small image.
        """
        super().__init__()
        doublings = factor.bit_length() - 1
        self.levels, self.projection = levels or doublings, projection
        if doublings < 1 or doublings % self.levels:
            raise ValueError(f"{self.levels} levels cannot enlarge {factor} times")
        enlargement = doublings // self.levels  # doublings at each level
        sides = [side << enlargement * (level + (kind == "stack")) for level in range(self.levels)]
        self.code_shapes = code_shapes(sides, global_code, noise_channels)
        self.sides = [side << enlargement * (level + 1) for level in range(self.levels)]
        self.stages = nn.ModuleList(
            Stack(channels, noise_channels, width, first=level == 0)
            if kind == "stack"
            else DenseLevel(
                channels,
                noise_channels,
                global_code,
                width,
                blocks,
                growth,
                convolutions,
                nested,
                output == "residual",
                enlargement,
                first=level == 0,
            )
            for level in range(self.levels)
        )

    def forward(
        self, condition: Tensor, z: Tensor, noise: dict[str, Tensor], levels: int | None = None
    ) -> list[Tensor]:
        """The images of the first `levels` levels, in [-1, 1]; without the number, of all.

        condition: (n, channels, side, side).  z and noise: `networks/levels.py`.
        """
        images: list[Tensor] = []
        image, features = condition, None
        for level, stage in enumerate(self.stages[:levels]):
            width = self.code_shapes.z[level]
            code = z[:, level * width : (level + 1) * width]
            image, features = stage(condition, image, features, code, noise.get(str(level)))
            if self.projection:
                image = projected(image, condition)
            images.append(image)
        return images


def projected(image: Tensor, condition: Tensor) -> Tensor:
    """The image with the condition as its area average: the error of the average is added at each of its pixels."""
    side = condition.shape[-1]
    error = condition - F.adaptive_avg_pool2d(image, side)
    return image + F.interpolate(error, scale_factor=image.shape[-1] // side, mode="nearest")


def enlarged(images: Tensor, side: int) -> Tensor:
    return F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)


class Stack(nn.Module):
    """2x: nine 5x5 convolutions with weight normalisation; all but the first also see the enlarged small image.

    The first one sees the image of the stack before, enlarged, and the noise, which has the enlarged resolution.
    """

    def __init__(self, channels: int, noise_channels: int, width: int, first: bool) -> None:
        super().__init__()
        inputs = [channels + noise_channels, *[width + channels] * (STACK - 1)]
        outputs = [*[width] * (STACK - 1), channels]
        self.convolutions = nn.ModuleList(_stacked(i, o) for i, o in zip(inputs, outputs, strict=True))

    def forward(
        self, condition: Tensor, image: Tensor, features: Tensor | None, code: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, None]:
        side = 2 * image.shape[-1]
        beside = enlarged(condition, side)
        x = join(enlarged(image, side), code[:, :0], noise)
        first, *others = self.convolutions
        x = first(x)
        for convolution in others:
            x = convolution(torch.cat([F.leaky_relu(x, LEAK), beside], dim=1))
        return 2 * torch.sigmoid(x) - 1, None


def _stacked(inputs: int, outputs: int) -> nn.Module:
    """Initialised as torch does; the authors' own initialisation of the weights has no effect, that of the bias has."""
    layer = nn.Conv2d(inputs, outputs, STACK_KERNEL, padding=STACK_KERNEL // 2)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return weight_norm(layer)


class DenseLevel(nn.Module):
    """Residual dense blocks at the input's resolution, then 2x as often as asked, and two convolutions to the image.

    The noise has the input's resolution; the global code scales and shifts the first features.
    """

    def __init__(
        self,
        channels: int,
        noise_channels: int,
        global_code: int,
        width: int,
        blocks: int,
        growth: int,
        convolutions: int,
        nested: bool,
        residual: bool,
        doublings: int,
        first: bool,
    ) -> None:
        super().__init__()
        self.residual = residual
        self.enter = convolution(channels + noise_channels + (0 if first else width), width)
        self.style = None
        if global_code:
            self.style = nn.Sequential(nn.Linear(global_code, HIDDEN), nn.LeakyReLU(LEAK), nn.Linear(HIDDEN, 2 * width))
        block = Nested if nested else DenseBlock
        self.blocks = nn.Sequential(*(block(width, growth, convolutions) for _ in range(blocks)))
        self.leave = convolution(width, width) if nested else nn.Identity()
        self.enlarge = nn.ModuleList(convolution(width, width) for _ in range(doublings))
        self.refine = convolution(width, width)
        self.to_image = convolution(width, channels)
        if nested:
            self.blocks.apply(_quieten)

    def forward(
        self, condition: Tensor, image: Tensor, features: Tensor | None, code: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        known = image if features is None else torch.cat([image, FEATURES * features], dim=1)
        x = self.enter(join(known, code[:, :0], noise))
        if self.style is not None:
            scale, shift = self.style(code)[:, :, None, None].chunk(2, dim=1)
            x = x * (1 + scale) + shift
        x = x + self.leave(self.blocks(x))
        for each in self.enlarge:
            x = F.leaky_relu(each(F.interpolate(x, scale_factor=2, mode="nearest")), LEAK)
        x = F.leaky_relu(self.refine(x), LEAK)
        output = self.to_image(x)
        if self.residual:
            return enlarged(image, x.shape[-1]) + output, x
        return 2 * torch.sigmoid(output) - 1, x


class DenseBlock(nn.Module):
    """3x3 convolutions of which each sees the block's input and all before it; the last one's output is added."""

    def __init__(self, width: int, growth: int, convolutions: int) -> None:
        super().__init__()
        inputs = [width + growth * place for place in range(convolutions)]
        outputs = [*[growth] * (convolutions - 1), width]
        self.convolutions = nn.ModuleList(convolution(i, o) for i, o in zip(inputs, outputs, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        *others, last = self.convolutions
        seen = x
        for each in others:
            seen = torch.cat([seen, F.leaky_relu(each(seen), LEAK)], dim=1)
        return x + RESIDUAL * last(seen)


class Nested(nn.Module):
    """Three dense blocks with a residual connection around them (RRDB, from ESRGAN)."""

    def __init__(self, width: int, growth: int, convolutions: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(width, growth, convolutions) for _ in range(NESTED)))

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL * self.blocks(x)


def _quieten(layer: nn.Module) -> None:
    """A tenth of Kaiming's initial weights, so that many blocks in a row start near the identity (ESRGAN)."""
    if isinstance(layer, nn.Conv2d) and layer.bias is not None:
        nn.init.kaiming_normal_(layer.weight)
        layer.weight.data *= 0.1
        nn.init.zeros_(layer.bias)


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)

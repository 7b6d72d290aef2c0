"""The U-Net of EDM and flow matching: DDPM++ (Song et al. 2021), as EDM uses it (Karras et al. 2022).

Each residual block receives an embedding of the noise label.  The decoder mirrors the encoder with one block more on
each level, and each of these blocks concatenates an output of the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.console import UserError

RESIDUAL_SCALE = 0.5**0.5  # keeps the variance of the sum of two branches
DAMPED = 1e-5  # gain of the last layer of each branch, so that a block starts as the identity
LOWEST_FREQUENCY = 1e-4  # of the sines and cosines of the noise label; the highest is 1


def xavier(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Conv2d | nn.Linear:
    """Weights U(+-gain sqrt(6 / (fan-in + fan-out))), biases zero."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def convolution(inputs: int, outputs: int, size: int, gain: float = 1.0) -> nn.Module:
    return xavier(nn.Conv2d(inputs, outputs, size, padding=size // 2), gain)


def group_norm(channels: int) -> nn.GroupNorm:
    """Groups of four channels, at most 32 groups.  Raises `UserError` if the channels do not divide evenly."""
    groups = min(32, channels // 4)
    if groups == 0 or channels % groups:
        raise UserError(f"`width`: {channels} channels do not form {max(groups, 1)} equal groups; use a multiple of 32")
    return nn.GroupNorm(groups, channels, eps=1e-6)


def dropout(x: Tensor, rate: float, rng: torch.Generator | None) -> Tensor:
    """Zero a share `rate` of the values and enlarge the others; without a generator, return x.

    `nn.Dropout` draws from the global generator, whose state a resumed run does not have.
    """
    if rng is None or not rate:
        return x
    keep = torch.empty_like(x).bernoulli_(1 - rate, generator=rng)
    return x * keep.div_(1 - rate)


class Attention(nn.Module):
    """Self-attention over positions: one head of all channels, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.query_key_value = convolution(channels, 3 * channels, 1, gain=0.2**0.5)
        self.project = convolution(channels, channels, 1, gain=DAMPED)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.query_key_value(self.norm(x)).flatten(2).transpose(1, 2).unsqueeze(1).chunk(3, dim=-1)
        attended = F.scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2).reshape(x.shape)
        return (x + self.project(attended)) * RESIDUAL_SCALE


class Block(nn.Module):
    """Residual block that may halve (scale 0.5) or double (scale 2) the resolution of both paths, by a box filter."""

    def __init__(
        self, inputs: int, outputs: int, embedding: int, rate: float, scale: float = 1.0, attention: bool = False
    ) -> None:
        super().__init__()
        self.rate, self.scale = rate, scale
        self.first_norm, self.second_norm = group_norm(inputs), group_norm(outputs)
        self.first = convolution(inputs, outputs, 3)
        self.second = convolution(outputs, outputs, 3, gain=DAMPED)
        self.shift = xavier(nn.Linear(embedding, outputs))
        reshapes = inputs != outputs or scale != 1
        self.skip = convolution(inputs, outputs, 1) if reshapes else nn.Identity()
        self.attention = Attention(outputs) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor, rng: torch.Generator | None) -> Tensor:
        hidden = self.first(self.resized(F.silu(self.first_norm(x))))
        hidden = F.silu(self.second_norm(hidden + self.shift(embedding)[:, :, None, None]))
        hidden = self.second(dropout(hidden, self.rate, rng))
        return self.attention((self.skip(self.resized(x)) + hidden) * RESIDUAL_SCALE)

    def resized(self, x: Tensor) -> Tensor:
        if self.scale == 1:
            return x
        return F.avg_pool2d(x, 2) if self.scale < 1 else F.interpolate(x, scale_factor=2.0, mode="nearest")


class UNet(nn.Module):
    """F(x, noise label, augmentation label) -> an image of the size of x.

    width: channels C of the first layer.  multipliers: the width of each level, from the full resolution down, as a
    multiple of C.  blocks: residual blocks of each level of the encoder.  attention: resolutions with attention; the
    lowest level has it once in any case.  labels: size of the augmentation label; 0: the network takes none.

    With C 128, multipliers 1-1-2-2-2-2, 2 blocks and attention at 16, 256 px, it has 53,978,755 parameters without an
    augmentation label.  Raises `UserError` if a level would not have a whole number of pixels, if no level has a
    resolution of `attention`, and for a width that the group normalisation cannot divide.
    """

    def __init__(
        self,
        resolution: int,
        width: int = 128,
        multipliers: Sequence[int] = (1, 1, 2, 2, 2, 2),
        blocks: int = 2,
        attention: Sequence[int] = (16,),
        rate: float = 0.13,
        channels: int = 3,
        labels: int = 9,
    ) -> None:
        super().__init__()
        check_levels(resolution, multipliers, attention)
        self.width, embedding = width, 4 * width
        if width % 2:
            raise UserError(f"`width`: {width} must be even: half of the label's {width} features are sines")
        self.label = xavier(nn.Linear(labels, width, bias=False)) if labels else None
        self.embed = nn.Sequential(
            xavier(nn.Linear(width, embedding)), nn.SiLU(), xavier(nn.Linear(embedding, embedding)), nn.SiLU()
        )

        def block(inputs: int, outputs: int, scale: float = 1.0, attention: bool = False) -> Block:
            return Block(inputs, outputs, embedding, rate, scale, attention)

        levels = [(resolution >> level, width * multiplier) for level, multiplier in enumerate(multipliers)]
        self.first = convolution(channels, width, 3)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        now, skips = width, [width]
        for level, (side, outputs) in enumerate(levels):
            if level:
                self.encoder.append(block(now, now, scale=0.5))
                skips.append(now)
            for _ in range(blocks):
                self.encoder.append(block(now, outputs, attention=side in attention))
                now = outputs
                skips.append(now)
        self.middle = nn.ModuleList([block(now, now, attention=True), block(now, now)])
        for level, (side, outputs) in reversed(list(enumerate(levels))):
            for index in range(blocks + 1):
                self.decoder.append(block(now + skips.pop(), outputs, attention=index == blocks and side in attention))
                now = outputs
            if level:
                self.decoder.append(block(now, now, scale=2.0))
        self.last_norm, self.last = group_norm(now), convolution(now, channels, 3, gain=DAMPED)

    def forward(
        self, x: Tensor, noise: Tensor, label: Tensor | None = None, rng: torch.Generator | None = None
    ) -> Tensor:
        """x: (n, channels, R, R).  noise: (n,), the noise label.  label: (n, labels), the augmentation, None: none.

        rng: a generator on the device of x, from which dropout draws; None: no dropout.
        """
        embedding = self.embed(self.waves(noise) + (0 if label is None or self.label is None else self.label(label)))
        x = self.first(x)
        skips = [x]
        for block in self.encoder:
            x = block(x, embedding, rng)
            skips.append(x)
        for block in self.middle:
            x = block(x, embedding, rng)
        for block in self.decoder:
            x = block(x if block.scale == 2 else torch.cat([x, skips.pop()], dim=1), embedding, rng)
        return self.last(F.silu(self.last_norm(x)))

    def waves(self, noise: Tensor) -> Tensor:
        """(n, width): sines, then cosines, of the noise label times frequencies from 1 to 1/10,000, end included."""
        powers = torch.linspace(0, 1, self.width // 2, device=noise.device)
        angles = noise[:, None] * LOWEST_FREQUENCY**powers
        return torch.cat([angles.sin(), angles.cos()], dim=1)


def check_levels(resolution: int, multipliers: Sequence[int], attention: Sequence[int]) -> None:
    """Raises `UserError` for levels that the resolution does not have."""
    halvings = len(multipliers) - 1
    if halvings < 0 or resolution % 2**halvings:
        raise UserError(f"`multipliers`: {resolution} px cannot be halved {halvings} times; give fewer or more levels")
    sides = [resolution >> level for level in range(halvings + 1)]
    unknown = [side for side in attention if side not in sides]
    if unknown:
        raise UserError(f"`attention`: no level has {unknown[0]} px; the levels have {', '.join(map(str, sides))}")

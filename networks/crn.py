"""Cascaded refinement network (Chen and Koltun 2017) with noise inputs (Li, Zhang and Malik 2019, arXiv 1811.12373).

One module a resolution, from 4 px up.  A module sees the features of the one before, enlarged, and the semantic layout
and the noise at its own resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.levels import code_shapes, join

LEAK = 0.2
ENCODER_DEVIATION = 0.15  # of the noise encoder's initial weights, a normal distribution cut at two deviations


class CRN(nn.Module):
    """A layout (n, classes, s, s) and noise to one image (n, channels, s, s) in [-1, 1], not saturated."""

    def __init__(
        self,
        resolution: int,
        channels: int,
        classes: int,
        widths: Sequence[int],
        global_code: int,
        noise_channels: int,
        encoder_width: int,
    ) -> None:
        """widths: of the modules; the last one has the images' resolution, each before it half of the next one's.

        global_code: values of noise that are the same at all pixels.  noise_channels: noise maps, with a value for each
        pixel.  encoder_width: of the network that the noise passes first; 0: none.
        """
        super().__init__()
        self.sides = [resolution]  # of the images that it draws
        self.sizes = [resolution >> place for place in reversed(range(len(widths)))]
        self.code_shapes = code_shapes([resolution], global_code, noise_channels)
        noise = global_code + noise_channels
        self.encoder = NoiseEncoder(classes, noise, encoder_width) if encoder_width and noise else None
        inputs = [0, *widths[:-1]]
        self.stages = nn.ModuleList(
            nn.Sequential(
                *normalised_convolution(before + classes + noise, width), *normalised_convolution(width, width)
            )
            for before, width in zip(inputs, widths, strict=True)
        )
        self.to_image = nn.Conv2d(widths[-1], channels, 1)

    def forward(
        self, condition: Tensor, z: Tensor, noise: dict[str, Tensor], levels: int | None = None
    ) -> list[Tensor]:
        """The list of its one image.  z: (n, global_code); noise: {"0": (n, noise_channels, s, s)}, or empty."""
        inputs = join(condition, z, noise.get("0"))
        if self.encoder is not None:
            inputs = torch.cat([condition, self.encoder(inputs)], dim=1)
        classes = condition.shape[1]
        features: Tensor | None = None
        for size, stage in zip(self.sizes, self.stages, strict=True):
            layout = F.adaptive_avg_pool2d(inputs[:, :classes], size)
            maps = F.interpolate(inputs[:, classes:], size=(size, size), mode="bilinear", align_corners=False)
            parts = [layout, maps]
            if features is not None:
                parts.append(F.interpolate(features, size=(size, size), mode="bilinear", align_corners=False))
            features = stage(torch.cat(parts, dim=1))
        return [self.to_image(features)]


class NoiseEncoder(nn.Module):
    """Layout and noise to as many channels of noise, which take the place of the noise."""

    def __init__(self, classes: int, noise: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *normalised_convolution(classes + noise, width),
            *normalised_convolution(width, width),
            nn.Conv2d(width, noise, 1),
        )
        self.reset()

    def reset(self) -> None:
        """Initialise again."""
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                deviation = ENCODER_DEVIATION
                nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.GroupNorm):
                layer.reset_parameters()

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.layers(inputs)
        return output


def normalised_convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    """3x3, layer normalisation over channels and pixels with a scale and a shift for each channel, leaky ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return convolution, nn.GroupNorm(1, outputs), nn.LeakyReLU(LEAK)

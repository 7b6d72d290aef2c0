"""The discriminator of pix2pix (Isola et al. 2017): a logit for each patch of an image beside its condition."""

from __future__ import annotations

from torch import Tensor, nn

LEAK = 0.2
MOST = 8  # times the first width


class PatchDiscriminator(nn.Module):
    """Convolutions 4x4: all but the last two halve the resolution; the widths double up to MOST times the first."""

    def __init__(self, channels: int, width: int, layers: int) -> None:
        """layers: at least 2.  Without normalisation, so that the logits of an image do not depend on its batch."""
        super().__init__()
        widths = [width * min(2**place, MOST) for place in range(layers - 1)]
        parts: list[nn.Module] = []
        for place, (inputs, outputs) in enumerate(zip([channels, *widths], [*widths, 1], strict=True)):
            stride = 2 if place < layers - 2 else 1
            parts += [nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1), nn.LeakyReLU(LEAK)]
        self.layers = nn.Sequential(*parts[:-1])

    def forward(self, images: Tensor) -> Tensor:
        """(n, channels, H, W) to (n, 1, h, w)."""
        logits: Tensor = self.layers(images)
        return logits

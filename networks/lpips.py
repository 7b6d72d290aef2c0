"""LPIPS v0.1 (Zhang et al. 2018), rebuilt from its tensors in plain PyTorch.

The distance of two images is the squared Euclidean distance of their embeddings: five feature maps of a classifier,
each vector scaled to unit length over channels, weighted by the square root of the learned linear head, and divided
by the square root of the number of positions.  In this form, one network pass per image is enough for the loss, the
nearest-neighbour search and the backtracking score.

Values equal those of the reference implementation, the package `lpips` 0.1.4, up to rounding.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.console import UserError
from networks.weights import load_tensors

# The five stages that end in a feature map, one string each: p = max-pooling, c = convolution and ReLU.
STAGES = {
    "alex": ("c", "pc", "pc", "c", "c"),
    "vgg": ("cc", "pcc", "pccc", "pccc", "pccc"),
}
POOL = {"alex": 3, "vgg": 2}  # window; the stride is 2
SMALLEST = {"alex": 31, "vgg": 16}  # pixels a side; below, the input of a pooling would be too small
EPSILON = 1e-10

# ImageNet statistics, converted to images in [-1, 1]
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


class LPIPS(nn.Module):
    """Perceptual distance of images (n, 3, H, W) in [-1, 1]; frozen, differentiable in the images.

    H and W are at least 31 for net "alex" and 16 for "vgg".  Below 47 the last three maps of "alex" are a single
    position, so small images should be enlarged first.
    Raises `UserError` if the weights have not been fetched or are damaged, and for images that are too small.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, net: Literal["alex", "vgg"]) -> None:
        super().__init__()
        self.net = net
        # Not persistent: a model with an LPIPS loss does not have to save it.
        for name, tensor in load_tensors(f"lpips_{net}").items():
            if name.startswith("lin"):
                tensor = tensor.sqrt().view(1, -1, 1, 1)
            self.register_buffer(name.replace(".", "_"), tensor, persistent=False)
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """LPIPS of x[i] and y[i], shape (n,)."""
        distances = [
            (a - b).square().sum((1, 2, 3)) / (a.shape[2] * a.shape[3])
            for a, b in zip(self.layers(x), self.layers(y), strict=True)
        ]
        return torch.stack(distances).sum(0)

    def embed(self, x: Tensor) -> Tensor:
        """(n, D) such that the squared Euclidean distance of two rows is the LPIPS of the two images."""
        return torch.cat([map_.flatten(1) / (map_.shape[2] * map_.shape[3]) ** 0.5 for map_ in self.layers(x)], dim=1)

    def layers(self, x: Tensor) -> list[Tensor]:
        """The five feature maps (n, c, h, w), of unit length over c, times the square root of the linear head."""
        weighted = []
        for index, features in enumerate(self._features(x)):
            # vector_norm has gradient zero, not NaN, where all features are zero
            length = torch.linalg.vector_norm(features, dim=1, keepdim=True)
            weighted.append(features / (length + EPSILON) * getattr(self, f"lin{index}"))
        return weighted

    def _features(self, x: Tensor) -> list[Tensor]:
        if min(x.shape[2:]) < SMALLEST[self.net]:
            raise UserError(
                f"LPIPS with net {self.net!r} needs images of at least {SMALLEST[self.net]} pixels a side, "
                f"not {x.shape[2]} x {x.shape[3]}: enlarge them"
            )
        x = (x - self.shift) / self.scale
        maps, index = [], 0
        for stage in STAGES[self.net]:
            for step in stage:
                if step == "p":
                    x = F.max_pool2d(x, POOL[self.net], stride=2)
                else:
                    x = self._convolution(x, index)
                    index += 1
            maps.append(x)
        return maps

    def _convolution(self, x: Tensor, index: int) -> Tensor:
        weight, bias = getattr(self, f"conv{index}_weight"), getattr(self, f"conv{index}_bias")
        if weight.shape[-1] == 11:  # AlexNet's first
            x = F.conv2d(x, weight, bias, stride=4, padding=2)
        else:
            x = F.conv2d(x, weight, bias, padding="same")
        return F.relu(x, inplace=True)

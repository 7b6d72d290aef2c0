"""VGG16's second fully connected layer: the feature space of Kynkäänniemi et al. 2019 for precision and recall."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from networks.weights import load_tensors

CONVOLUTIONS = (2, 2, 3, 3, 3)  # between poolings


class VGG16FC2(nn.Module):
    """forward: images (n, 3, 224, 224) in [0, 255] to features (n, 4096), before the ReLU.

    Frozen torchvision weights.  Raises `UserError` if they were not fetched: they have no package mirror.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, tensor in load_tensors("vgg16fc2").items():
            self.register_buffer(name.replace(".", "_"), tensor)
        # ImageNet's statistics, for intensities in [0, 255].
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1) * 255)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / self.std
        index = 0
        for count in CONVOLUTIONS:
            for _ in range(count):
                x = F.relu(F.conv2d(x, *self._layer(f"conv{index}"), padding=1))
                index += 1
            x = F.max_pool2d(x, 2)
        x = F.relu(F.linear(x.flatten(1), *self._layer("fc1")))
        return F.linear(x, *self._layer("fc2"))

    def _layer(self, name: str) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias")

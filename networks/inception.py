"""The Inception network of the Fréchet Inception Distance (Heusel et al. 2017), up to its last pooling.

It is the TensorFlow network of 2015-12-05, which clean-fid, pytorch-fid and the original FID code all use.  It differs
from torchvision's Inception v3 in its weights, in average poolings that leave the padding out of the mean, and in the
last block, whose pooling takes the maximum.

The tables below give the network with TensorFlow's scope names.  A chain is a list of steps from left to right; a
block runs its chains in parallel and concatenates their outputs.

    name        convolution and ReLU, padded to keep the size (batch normalisation is folded into the weights)
    name/s      the same without padding, stride s
    a|b         both convolutions on the same input, concatenated
    avg, max    3x3 pooling that keeps the size;  max/2 halves it
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.weights import load_tensors

STEM = "conv/2 conv_1/1 conv_2 max/2 conv_3 conv_4/1 max/2"
BLOCK_A = ("conv", "tower.conv tower.conv_1", "tower_1.conv tower_1.conv_1 tower_1.conv_2", "avg tower_2.conv")
BLOCK_B = ("conv/2", "tower.conv tower.conv_1 tower.conv_2/2", "max/2")
BLOCK_C = (
    "conv",
    "tower.conv tower.conv_1 tower.conv_2",
    "tower_1.conv tower_1.conv_1 tower_1.conv_2 tower_1.conv_3 tower_1.conv_4",
    "avg tower_2.conv",
)
BLOCK_D = ("tower.conv tower.conv_1/2", "tower_1.conv tower_1.conv_1 tower_1.conv_2 tower_1.conv_3/2", "max/2")
BLOCK_E = (
    "conv",
    "tower_conv tower_mixed_conv|tower_mixed_conv_1",
    "tower_1_conv tower_1_conv_1 tower_1_mixed_conv|tower_1_mixed_conv_1",
    "avg tower_2_conv",
)
BLOCK_E_MAX = (*BLOCK_E[:-1], "max tower_2_conv")
MIXED = {
    "mixed": BLOCK_A,
    "mixed_1": BLOCK_A,
    "mixed_2": BLOCK_A,
    "mixed_3": BLOCK_B,
    "mixed_4": BLOCK_C,
    "mixed_5": BLOCK_C,
    "mixed_6": BLOCK_C,
    "mixed_7": BLOCK_C,
    "mixed_8": BLOCK_D,
    "mixed_9": BLOCK_E,
    "mixed_10": BLOCK_E_MAX,
}


class Inception(nn.Module):
    """Features of images (n, 3, 299, 299) in [0, 255]; frozen.

    The caller resizes to 299 pixels: the method of resizing changes FID, so it belongs to the metric's protocol.
    Raises `UserError` if the weights have not been fetched or are damaged.
    """

    def __init__(self) -> None:
        super().__init__()
        for name, tensor in load_tensors("inception").items():
            if tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=torch.channels_last)  # 1.5 times as fast on a CPU
            self.register_buffer(name.replace(".", "_"), tensor, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The (n, 2048) features of the last pooling, from which FID and KID are computed."""
        x = ((x - 128) / 128).contiguous(memory_format=torch.channels_last)
        x = self._chain(STEM, x)
        for name, chains in MIXED.items():
            x = torch.cat([self._chain(chain, x, f"{name}.") for chain in chains], dim=1)
        return x.mean((2, 3))

    def _chain(self, chain: str, x: Tensor, scope: str = "") -> Tensor:
        for step in chain.split():
            outputs = [self._step(part, x, scope) for part in step.split("|")]
            x = torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]
        return x

    def _step(self, step: str, x: Tensor, scope: str) -> Tensor:
        name, _, stride = step.partition("/")
        if name == "avg":
            return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        if name == "max":
            return F.max_pool2d(x, 3, stride=2) if stride else F.max_pool2d(x, 3, stride=1, padding=1)
        layer = (scope + name).replace(".", "_")
        weight, bias = self.get_buffer(f"{layer}_weight"), self.get_buffer(f"{layer}_bias")
        x = F.conv2d(x, weight, bias, stride=int(stride)) if stride else F.conv2d(x, weight, bias, padding="same")
        return F.relu(x, inplace=True)

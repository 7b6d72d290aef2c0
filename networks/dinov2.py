"""DINOv2's vision transformers (Oquab et al. 2023, arXiv:2304.07193): the class token as features of an image.

Fréchet distances in this space agree better with people's judgement than those of Inception, which favour networks that
have seen ImageNet's classes (Stein et al. 2023, arXiv:2306.04675).  ViT-L/14 is the one to report.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.names import DINOV2
from networks.weights import load_tensors

PATCH = 14
HEAD = 64  # channels of an attention head, in every size
EPSILON = 1e-6  # of the layer normalisations
OFFSET = 0.1  # which the original adds to the number of patches when it resizes the table of positions


class DINOv2(nn.Module):
    """forward: images (n, 3, 224, 224) in [0, 255] to the class tokens (n, d) after the last normalisation.

    Other sides work too, if they are multiples of 14.
    Raises `UserError` if the weights were not fetched: they have no package mirror.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        width, tensors = DINOV2[name], load_tensors(name)
        depth = 1 + max(int(key.split(".")[1]) for key in tensors if key.startswith("blocks."))
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(tensors["pos_embed"].shape))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, PATCH, PATCH)})
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.load_state_dict(tensors)
        self.requires_grad_(False)
        # ImageNet's statistics, for intensities in [0, 255].
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1) * 255, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch_embed["proj"]((x - self.mean) / self.std)
        side = patches.shape[-1]
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        tokens = tokens + torch.cat([self.pos_embed[:, :1], resize_positions(self.pos_embed[:, 1:], side)], dim=1)
        return self.norm(self.blocks(tokens))[:, 0]


class Block(nn.Module):
    """Attention and a two-layer perceptron, each normalised before and scaled by a learned vector after (LayerScale).

    The names of the parameters are those of the weights.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=EPSILON), nn.LayerNorm(width, eps=EPSILON)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.ls1, self.ls2 = (nn.ParameterDict({"gamma": torch.empty(width)}) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1["gamma"] * self._attention(self.norm1(x))
        return x + self.ls2["gamma"] * self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))

    def _attention(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        qkv = self.attn["qkv"](x).view(n, length, 3, width // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*qkv)
        return self.attn["proj"](mixed.transpose(1, 2).reshape(n, length, width))


def resize_positions(table: Tensor, side: int) -> Tensor:
    """The table of positions (1, s * s, d) for side x side patches: bicubic, sampled as the original does.

    The original asks for a factor of (side + 0.1) / s instead of side / s, and values depend on it.
    """
    stored = round(table.shape[1] ** 0.5)
    if side == stored:
        return table
    grid = table.view(1, stored, stored, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, scale_factor=(side + OFFSET) / stored, mode="bicubic")
    return grid.flatten(2).transpose(1, 2)

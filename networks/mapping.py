"""The mapping network: from a latent code z to the style w that modulates every block of a generator."""

from __future__ import annotations

from torch import Tensor, nn


class Mapping(nn.Module):
    """Normalise z to unit root mean square, then `depth` times (linear, LeakyReLU 0.2), all of the same width.

    Plain linear layers with PyTorch's default weights and zero biases; no equalised learning rate.
    """

    def __init__(self, dim: int, depth: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(dim, dim) for _ in range(depth))
        for layer in self.layers:
            nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, z: Tensor) -> Tensor:
        """z: (n, dim), standard normal.  Returns w: (n, dim)."""
        w = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            w = nn.functional.leaky_relu(layer(w), 0.2)
        return w

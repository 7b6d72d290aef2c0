"""What the re-derived training steps are made of: Adam, written out, augmentations drawn on the way, comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from methods import augment as diffaugment


class Adam:
    """Kingma & Ba 2015, Algorithm 1.  A parameter that a loss does not reach keeps its moments.

    So it is in torch 2.  In torch 1.9, of MixDL's release, its gradient is zero, and the moments decay.
    """

    def __init__(self, *networks: nn.Module, lr: float, betas: tuple[float, float]) -> None:
        self.parameters = [parameter for network in networks for parameter in network.parameters()]
        self.lr, self.betas = lr, betas
        self.moments = dict.fromkeys(self.parameters, (0, 0.0, 0.0))

    def descend(self, loss: Tensor) -> None:
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            if gradient is not None:
                self.move(parameter, gradient)

    @torch.no_grad()
    def move(self, parameter: Tensor, gradient: Tensor) -> None:
        t, m, v = self.moments[parameter]
        t, (b1, b2) = t + 1, self.betas
        m, v = b1 * m + (1 - b1) * gradient, b2 * v + (1 - b2) * gradient**2
        parameter -= self.lr * (m / (1 - b1**t)) / ((v / (1 - b2**t)).sqrt() + 1e-8)
        self.moments[parameter] = t, m, v


class Average:
    """A moving average of a network's parameters that starts with the initial ones."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.values = decay, [parameter.detach().clone() for parameter in network.parameters()]

    def update(self, network: nn.Module) -> None:
        pairs = zip(self.values, network.parameters(), strict=True)
        self.values = [self.decay * old + (1 - self.decay) * new.detach() for old, new in pairs]


def assert_parameters(network: nn.Module, expected: Sequence[Tensor], what: str) -> None:
    """In float64, up to rounding."""
    for (name, ours), theirs in zip(network.named_parameters(), expected, strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-9, atol=1e-11, msg=f"{what} {name}")


def augment(images: Tensor, policy: Sequence[str], rng: torch.Generator) -> Tensor:
    return diffaugment.augment(images, diffaugment.draw(len(images), images.shape[3], policy, rng))


def random_flip(images: Tensor, rng: torch.Generator) -> Tensor:
    return diffaugment.flip(images, diffaugment.draw_coins(len(images), rng))

"""StyleGAN2's regularisers and its optimiser (Karras et al. 2020, arXiv 1912.04958)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """R1: the squared gradient of an image's logit with respect to it, averaged over the real images (n, C, H, W).

    Of a map of logits (n, ...), it is the gradient of an image's mean logit.
    """
    (gradient,) = torch.autograd.grad(logits.flatten(1).mean(dim=1).sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(images: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
    """(n,): root mean square, over layers, of the gradient of <image, noise> / image side with respect to styles.

    images: (n, channels, h, w), made from styles (n, n_styles, style_dim).  noise: like images, standard normal.
    """
    side = (images.shape[2] * images.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((images * noise).sum() / side, styles, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def lazy_adam(networks: list[nn.Module], lr: float, every: int) -> torch.optim.Adam:
    """Adam(lr, betas 0 and 0.99) for a loss whose regulariser adds a step every `every` iterations (appendix B).

    Learning rate and betas are corrected as if the additional steps were spread evenly.
    """
    ratio = every / (every + 1)
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(parameters, lr=lr * ratio, betas=(0.0, 0.99**ratio), fused=True)


def descend(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
    """One step of the optimiser's parameters; gradients of the other network are not computed."""
    optimiser.zero_grad()
    loss.backward(inputs=[parameter for group in optimiser.param_groups for parameter in group["params"]])
    optimiser.step()

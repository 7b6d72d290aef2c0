"""How every parameter group of every network starts.

The published layouts in full (256 px, all blocks), narrowed in width: the laws scale with the fan-in, so that nothing
of them is lost.  A parameter that no law covers fails the test.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from networks import fastgan, stylegan2
from networks.vdvae_decoder import VDVAEDecoder

SIGMAS = 5.0  # standard errors that an estimate may be off: the draws are seeded, so this is margin, not flakiness


class Random(NamedTuple):
    mean: float
    std: float
    uniform: bool = False  # else normal


def default(weight: Tensor) -> Random:
    """PyTorch's for linear layers and convolutions: Kaiming-uniform with a = sqrt(5), U(+-1 / sqrt(fan-in))."""
    return Random(0, (3 * weight[0].numel()) ** -0.5, uniform=True)


def damped(weight: Tensor) -> Random:
    """The last convolution of a residual branch: times the root of 1 over the number of blocks, here 28."""
    return default(weight)._replace(std=default(weight).std / 28**0.5)


def ones_then_zeros(bias: Tensor) -> Tensor:
    return (torch.arange(len(bias)) < len(bias) // 2).float()


Law = Random | float | Callable[[Tensor], Random | Tensor]  # a number or a tensor: these very values
STANDARD = Random(0, 1)
IMLE: dict[str, Law] = {
    r"mapping\.layers\.\d\.weight|to_image\.weight": default,
    r"mapping\.layers\.\d\.bias|to_image\.bias|bias": 0.0,
    r"constant|blocks\.\d+\.noise_gain": STANDARD,
    r"blocks\.\d+\.norm\.style\.weight": default,
    r"blocks\.\d+\.norm\.style\.bias": ones_then_zeros,  # scales, shifts
    r"blocks\.\d+\.bottleneck\.convolutions\.[012]\.weight": default,
    r"blocks\.\d+\.bottleneck\.convolutions\.3\.weight": damped,
    r"blocks\.\d+\.bottleneck\.convolutions\.\d\.bias": 0.0,
    r"gain": 1.0,
}
FASTGAN: dict[str, Law] = {  # convolutions have no biases, so whatever else is there belongs to BatchNorm
    r".*\.parametrizations\.weight\.original": Random(0, 0.02),
    r".*(norm|\.\d+)\.weight": Random(1, 0.02),
    r".*(norm|\.\d+)\.bias": 0.0,
    r"blocks\.(8|32|128)\.[01]\.noise_weight": 0.0,
}
STYLEGAN2: dict[str, Law] = {  # equalised learning rate: N(0, 1), scaled at run time
    r"mapping\.\d\.weight": Random(0, 100),  # times the learning-rate multiplier, 0.01, at run time
    r".*modulation\.bias": 1.0,
    r".*noise_gain|.*bias": 0.0,
    r"constant|.*weight": STANDARD,
}


def stylegan2_discriminator() -> nn.Module:
    discriminator = stylegan2.Discriminator(256, channel_base=4096, channel_max=64)
    return nn.ModuleDict({"discriminator": discriminator, "heads": stylegan2.PatchHeads(discriminator)})


@pytest.mark.parametrize(
    ("network", "laws"),
    [
        (lambda: VDVAEDecoder(width=96, latent_dim=128), IMLE),
        (lambda: fastgan.Generator(256, nz=64, ngf=16), FASTGAN),
        (lambda: fastgan.Discriminator(256, ndf=16, decoder_width=32), FASTGAN),
        (lambda: stylegan2.Generator(256, 64, channel_base=4096, channel_max=64), STYLEGAN2),
        (stylegan2_discriminator, STYLEGAN2),
    ],
    ids=["vdvae", "fastgan_generator", "fastgan_discriminator", "stylegan2_generator", "stylegan2_discriminator"],
)
def test_every_parameter_follows_its_law(network, laws):
    torch.manual_seed(0)
    for name, parameter in network().named_parameters():
        pattern = next((pattern for pattern in laws if re.fullmatch(pattern, name)), None)
        assert pattern is not None, f"no law for {name}"
        values, law = parameter.detach(), laws[pattern]
        law = law(values) if callable(law) else law
        if isinstance(law, Random):
            assert_follows(values, law, name)
        else:
            assert torch.equal(values, torch.zeros_like(values) + law), name


def assert_follows(values: Tensor, law: Random, name: str) -> None:
    """Mean, variance and range within SIGMAS standard errors; few values have a mean alone."""
    x, n = (values - law.mean) / law.std, values.numel()
    assert abs(x.mean()) < SIGMAS / math.sqrt(n), name
    if law.uniform:
        assert x.abs().max() <= math.sqrt(3) * (1 + 1e-6), name
    elif n > 1000:  # a uniform law of this variance would not reach so far
        assert x.abs().max() > 2, name
    if n >= 20:
        kurtosis = 1.8 if law.uniform else 3.0
        assert abs(x.square().mean() - 1) < SIGMAS * math.sqrt((kurtosis - 1) / n), name

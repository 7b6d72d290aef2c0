"""How every parameter group of every network starts, and how large what the untrained networks put out is.

The published layouts in full (256 px, all blocks), narrowed in width: the laws scale with the fan-in, so that nothing
of them is lost.  A parameter that no law covers fails the test.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from networks import fastgan, stylegan2
from networks.stylegan2_ops import Conv, Linear
from networks.vdvae_decoder import VDVAEDecoder

SIGMAS = 5.0  # standard errors that an estimate may be off: the draws are seeded, so this is margin, not flakiness


@dataclass(frozen=True)
class Normal:
    mean: float
    std: float
    kurtosis: float = 3.0


@dataclass(frozen=True)
class Uniform:
    """Between -bound and bound."""

    bound: float
    mean: float = 0.0
    kurtosis: float = 1.8

    @property
    def std(self) -> float:
        return self.bound / math.sqrt(3)


Law = Normal | Uniform | Tensor | float  # the last two: these very values


def default(weight: Tensor) -> Uniform:
    """PyTorch's for linear layers and convolutions: Kaiming-uniform with a = sqrt(5), U(+-1 / sqrt(fan-in))."""
    return Uniform(weight[0].numel() ** -0.5)


def ones_then_zeros(bias: Tensor) -> Tensor:
    return (torch.arange(len(bias)) < len(bias) // 2).float()


def damped(weight: Tensor) -> Uniform:
    """The last convolution of a residual branch: times sqrt(1/28), for 28 blocks."""
    return Uniform(default(weight).bound * math.sqrt(1 / 28))


Laws = dict[str, Law | Callable[[Tensor], Law]]
STANDARD = Normal(0, 1)
IMLE: Laws = {
    r"mapping\.layers\.\d\.weight": default,
    r"mapping\.layers\.\d\.bias": 0.0,
    r"constant": STANDARD,
    r"blocks\.\d+\.noise_gain": STANDARD,
    r"blocks\.\d+\.norm\.style\.weight": default,
    r"blocks\.\d+\.norm\.style\.bias": ones_then_zeros,  # scales, shifts
    r"blocks\.\d+\.bottleneck\.convolutions\.[012]\.weight": default,
    r"blocks\.\d+\.bottleneck\.convolutions\.3\.weight": damped,
    r"blocks\.\d+\.bottleneck\.convolutions\.\d\.bias": 0.0,
    r"to_image\.weight": default,
    r"to_image\.bias|bias": 0.0,
    r"gain": 1.0,
}
FASTGAN: Laws = {  # convolutions have no biases, so whatever else is there belongs to BatchNorm
    r".*\.parametrizations\.weight\.original": Normal(0, 0.02),
    r".*(norm|\.\d+)\.weight": Normal(1, 0.02),
    r".*(norm|\.\d+)\.bias": 0.0,
    r"blocks\.(8|32|128)\.[01]\.noise_weight": 0.0,
}
STYLEGAN2: Laws = {  # equalised learning rate: N(0, 1), scaled at run time
    r"mapping\.\d\.weight": Normal(0, 100),  # times the learning-rate multiplier, 0.01, at run time
    r".*modulation\.bias": 1.0,
    r".*noise_gain|.*bias": 0.0,
    r"constant|.*weight": STANDARD,
}


def follow_laws(network: nn.Module, laws: Laws) -> None:
    standardised: dict[str, list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        pattern = next((pattern for pattern in laws if re.fullmatch(pattern, name)), None)
        assert pattern is not None, f"no law for {name}"
        values = parameter.detach()
        law = laws[pattern](values) if callable(laws[pattern]) else laws[pattern]
        if isinstance(law, Normal | Uniform):
            values = (values - law.mean) / law.std
            if isinstance(law, Uniform):
                assert values.abs().max() <= math.sqrt(3) * (1 + 1e-6), name
            assert_standardised(values.flatten(), law.kurtosis, name)
            standardised.setdefault(f"{pattern} {law.kurtosis}", []).append(values.flatten())
        else:
            assert torch.equal(values, torch.zeros_like(values) + law), name
    for group, values in standardised.items():  # all layers of a group together: sharper than each alone
        assert_standardised(torch.cat(values), float(group.split()[-1]), group)


def assert_standardised(x: Tensor, kurtosis: float, name: str) -> None:
    """Mean 0, variance 1, and with enough values the fourth moment, within SIGMAS standard errors."""
    n = x.numel()
    assert abs(x.mean()) < SIGMAS / math.sqrt(n), name
    if n < 20:
        return
    assert abs(x.square().mean() - 1) < SIGMAS * math.sqrt((kurtosis - 1) / n), name
    if n > 5000:  # the fourth power's standard deviation: sqrt(105 - 9) of a normal, less of a uniform
        assert abs(x.pow(4).mean() - kurtosis) < SIGMAS * math.sqrt(96 / n), name


def imle_decoder() -> nn.Module:
    decoder = VDVAEDecoder(width=96, latent_dim=128)
    assert len(decoder.blocks) == 28
    return decoder


def stylegan2_discriminator() -> nn.Module:
    discriminator = stylegan2.Discriminator(256, channel_base=4096, channel_max=64)
    return nn.ModuleDict({"discriminator": discriminator, "heads": stylegan2.PatchHeads(discriminator)})


@pytest.mark.parametrize(
    ("network", "laws"),
    [
        (imle_decoder, IMLE),
        (lambda: fastgan.Generator(256, nz=64, ngf=16), FASTGAN),
        (lambda: fastgan.Discriminator(256, ndf=16, decoder_width=32), FASTGAN),
        (lambda: stylegan2.Generator(256, 64, channel_base=4096, channel_max=64), STYLEGAN2),
        (stylegan2_discriminator, STYLEGAN2),
    ],
    ids=[
        "vdvae_decoder",
        "fastgan_generator",
        "fastgan_discriminator",
        "stylegan2_generator",
        "stylegan2_discriminator",
    ],
)
def test_every_parameter_follows_its_law(network, laws):
    torch.manual_seed(0)
    follow_laws(network(), laws)


def test_residual_damping_counts_the_blocks_there_are():
    """sqrt(1 / number of blocks), not of the published 28."""
    torch.manual_seed(0)
    decoder = VDVAEDecoder("1x1,4m1,4x2", width=96, latent_dim=8)
    for block in decoder.blocks:
        weight = block.bottleneck.convolutions[-1].weight.detach()
        assert weight.abs().max() == pytest.approx(0.5 * default(weight).bound, rel=0.01)


# Output scales --------------------------------------------------------------------------------------------------------


def rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


@torch.no_grad()
def test_untrained_imle_styles_are_small_and_images_have_variance_a_third():
    """A default linear layer keeps a third of the mean square, LeakyReLU 0.2 then (1 + 0.04) / 2 of it: eight layers
    leave an RMS of (0.52 / 3)^4 = 0.0009, so every scale is 1 and every shift 0 at first.  A block then normalises its
    channels and adds a damped residual: mean square 1.  The last convolution turns that into 1/3, on average over
    initialisations (few of the channels are independent, hence the spread).
    """
    torch.manual_seed(0)
    mapping = VDVAEDecoder("1x1", width=4, latent_dim=512).mapping
    assert rms(mapping(torch.randn(32, 512))) == pytest.approx((0.52 / 3) ** 4, rel=0.1)

    mean_squares = []
    for seed in range(40):
        torch.manual_seed(seed)
        decoder = VDVAEDecoder("1x1,4m1,8m4,8x1", width=24, latent_dim=16)
        inputs: list[Tensor] = []
        decoder.to_image.register_forward_pre_hook(lambda _, x, seen=inputs: seen.append(x[0]))
        noise = {str(side): torch.randn(8, 1, side, side) for side in decoder.noise_resolutions}
        mean_squares.append(rms(decoder(torch.randn(8, 16), noise)) ** 2)
        assert rms(inputs[0]) == pytest.approx(1, rel=0.1)
    assert sum(mean_squares) / 40 == pytest.approx(1 / 3, rel=0.4)  # standard error 13 %


@torch.no_grad()
def test_untrained_fastgan_keeps_its_scales():
    """Spectral normalisation makes the largest singular value of every convolution 1, whatever the N(0, 0.02) were;
    so images start inside [-1, 1] for the most part, and logits near 0 with all hinges open (loss 2 x 0.9).
    """
    torch.manual_seed(0)
    generator, discriminator = fastgan.Generator(64, 32, 8), fastgan.Discriminator(64, 8, 16)
    for network in (generator, discriminator):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                output_axis = 1 if isinstance(module, nn.ConvTranspose2d) else 0
                matrix = module.weight.movedim(output_axis, 0).flatten(1)
                assert module.bias is None
                assert float(torch.linalg.matrix_norm(matrix, 2)) == pytest.approx(1, rel=0.1)
    noise = {name: torch.randn(16, *shape) for name, shape in generator.noise_shapes.items()}
    images = generator(torch.randn(16, 32), noise)
    assert all(0.1 < rms(batch) < 0.8 for batch in images)
    real = torch.rand(16, 3, 64, 64) * 2 - 1
    logits = discriminator(real, real[:, :, ::2, ::2]), discriminator(*images)
    hinge = (0.9 - logits[0]).relu().mean() + (0.9 + logits[1]).relu().mean()
    assert float(hinge) == pytest.approx(1.8, abs=0.5)


@torch.no_grad()
def test_untrained_stylegan2_keeps_the_second_moment():
    """An equalised layer keeps the mean square of white inputs; leaky ReLU times sqrt(2) makes (1 + 0.04) of it.  So
    eight layers turn z into w of RMS 1.04^4 = 1.17, if they are wide.
    """
    torch.manual_seed(0)
    assert rms(Conv(128, 128, 3)(torch.randn(4, 128, 16, 16))[..., 1:-1, 1:-1]) == pytest.approx(1.04**0.5, rel=0.03)
    assert rms(Conv(64, 512, 1, activate=False)(torch.randn(4, 64, 16, 16))) == pytest.approx(1, rel=0.05)
    assert rms(Linear(512, 512)(torch.randn(32, 512))) == pytest.approx(1, rel=0.03)

    generator = stylegan2.Generator(32, 512, channel_base=2048, channel_max=64)
    w = generator.mapping(torch.randn(16, 512))
    assert rms(w) == pytest.approx(1.04**4, rel=0.12)
    noise = {name: torch.randn(16, *shape) for name, shape in generator.noise_shapes.items()}
    images, features = generator.synthesise(generator.broadcast(w), noise)
    # The first convolution, of white noise: 10 of 12 taps a row and column lie inside a 4 x 4 map.
    assert rms(features[0]) == pytest.approx((1.04 * (10 / 12) ** 2) ** 0.5, rel=0.1)
    assert all(0.2 < rms(each) < 1.5 for each in features)
    assert 0.3 < rms(images) < 3

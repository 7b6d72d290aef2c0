"""StyleGAN2's layers and networks, apart from their agreement with the originals (test_golden_stylegan2.py)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from common.console import UserError
from networks.stylegan2 import Discriminator, Generator, PatchHeads
from networks.stylegan2_ops import Linear, ModulatedConv, blur, minibatch_stddev, upsample


def tiny_generator(**changes) -> Generator:
    """At 16 px, with noise gains that are not zero, so that noise matters."""
    torch.manual_seed(0)
    sizes = {"style_dim": 6, "mapping_depth": 2, "channel_base": 128, "channel_max": 8}
    generator = Generator(16, **{**sizes, **changes})
    for conv in generator.convs:
        torch.nn.init.constant_(conv.noise_gain, 0.3)
    return generator


def noise_for(generator: Generator, n: int) -> dict[str, torch.Tensor]:
    return {name: torch.randn(n, *shape) for name, shape in generator.noise_shapes.items()}


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameter_counts_at_paper_size():
    """The discriminator with its 512-to-512 projection; the patch heads are apart."""
    with torch.device("meta"):
        generator, discriminator = Generator(256), Discriminator(256)
        heads = PatchHeads(discriminator)
    assert count(generator) == 30_034_338
    assert count(discriminator) == 29_126_785
    assert count(heads) == 18_436
    assert len(generator.convs) == len(generator.noise_shapes) == 13
    assert generator.n_styles == 14


@pytest.mark.parametrize(
    ("resolution", "sides"),
    [(256, [32, 32, 16, 16]), (64, [32, 32, 16, 16]), (32, [16, 16, 8, 8]), (16, [16, 8, 8, 4])],
)
def test_patch_heads_judge_the_documented_maps(resolution, sides):
    with torch.device("meta"):
        discriminator = Discriminator(resolution)
        images = torch.zeros(2, 3, resolution, resolution)
        logits = [head(discriminator.patch_features(images, tap)) for tap, head in enumerate(PatchHeads(discriminator))]
    assert [tuple(each.shape) for each in logits] == [(2, 1, side, side) for side in sides]


@pytest.mark.parametrize("resolution", [8, 48])
def test_impossible_resolution_is_refused(resolution):
    with pytest.raises(UserError, match=f"{resolution} px"):
        Generator(resolution)


def test_modulated_convolution_equals_one_with_weights_for_each_image():
    """Equations 1 and 3 of the paper, literally: scale the weights by the style, normalise them, convolve."""
    torch.manual_seed(0)
    conv = ModulatedConv(5, 7, 3, style_dim=4)
    x, w = torch.randn(3, 5, 6, 6), torch.randn(3, 4)
    style = conv.modulation(w)
    expected = []
    for image, scales in zip(x, style, strict=True):
        weight = conv.weight * conv.scale * scales.view(1, 5, 1, 1)
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected.append(F.conv2d(image.unsqueeze(0), weight, padding=1))
    assert torch.allclose(conv(x, w), torch.cat(expected), atol=1e-5)


@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_can_be_differentiated_twice(up):
    """What path-length regularisation asks of it; against finite differences."""
    torch.manual_seed(0)
    conv = ModulatedConv(2, 2, 3, style_dim=3, up=up).double()
    x = torch.randn(2, 2, 3, 3, dtype=torch.double, requires_grad=True)
    w = torch.randn(2, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(conv, (x, w))
    assert torch.autograd.gradgradcheck(conv, (x, w))


def test_filters_keep_a_constant_and_double_the_sides():
    x = torch.full((1, 2, 8, 8), 3.0)
    assert torch.allclose(blur(x, padding=0), torch.full((1, 2, 5, 5), 3.0))
    doubled = upsample(x)
    assert doubled.shape == (1, 2, 16, 16)
    assert torch.allclose(doubled[..., 2:-2, 2:-2], torch.full((1, 2, 12, 12), 3.0))


def test_linear_scales_its_weights_at_run_time():
    torch.manual_seed(0)
    layer = Linear(4, 3, bias=2.0, lr_multiplier=0.01)
    x = torch.randn(5, 4)
    assert torch.allclose(layer(x), x @ (layer.weight * 0.01 / 2).T + 0.02, atol=1e-6)
    assert layer.weight.std() > 10  # stored a hundred times larger, so Adam moves it a hundred times less


def test_minibatch_stddev_of_hand_made_groups():
    """Eight images make two groups, the even and the odd ones; constant images 0, 2, 4, 6 differ by sqrt(5)."""
    x = torch.zeros(8, 3, 2, 2)
    x[0::2] = torch.tensor([0.0, 2.0, 4.0, 6.0]).view(4, 1, 1, 1)
    channel = minibatch_stddev(x)[:, 3]
    assert channel.shape == (8, 2, 2)
    assert torch.allclose(channel[0::2], torch.full((4, 2, 2), 5.0**0.5))
    assert torch.allclose(channel[1::2], torch.full((4, 2, 2), 1e-4))


@pytest.mark.parametrize(("n", "size"), [(1, 1), (2, 2), (3, 3), (4, 4), (6, 3), (8, 4)])
def test_minibatch_stddev_takes_any_batch(n, size):
    x = torch.randn(n, 2, 3, 3)
    values = minibatch_stddev(x)[:, 2, 0, 0]
    assert len(values.unique()) == n // size
    assert torch.equal(values, values[: n // size].repeat(size))


def test_parts_are_judged_as_if_alone():
    torch.manual_seed(0)
    discriminator = Discriminator(16, channel_base=128, channel_max=8)
    real, fake = torch.randn(4, 3, 16, 16), 2 * torch.randn(4, 3, 16, 16)
    together = discriminator(torch.cat([real, fake]), parts=2)
    alone = torch.cat([discriminator(real), discriminator(fake)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(discriminator(torch.cat([real, fake])), alone, atol=1e-3)


@torch.no_grad()
def test_image_does_not_depend_on_its_batch():
    generator = tiny_generator()
    z, noise = torch.randn(5, 6), noise_for(generator, 5)
    alone = generator(z[2:3], {name: value[2:3] for name, value in noise.items()})
    assert torch.allclose(generator(z, noise)[2:3], alone, atol=1e-5)


@torch.no_grad()
def test_every_noise_map_and_every_style_matters():
    generator = tiny_generator()
    styles, noise = generator.broadcast(generator.mapping(torch.randn(2, 6))), noise_for(generator, 2)
    image = generator.synthesise(styles, noise)[0]
    for name in noise:
        changed = generator.synthesise(styles, {**noise, name: noise[name] + 1})[0]
        assert not torch.allclose(changed, image, atol=1e-4), name
    for layer in range(generator.n_styles):
        other = styles.clone()
        other[:, layer] += 5
        assert not torch.allclose(generator.synthesise(other, noise)[0], image, atol=1e-4), layer


def test_generator_without_noise_has_the_same_weights():
    with_noise, without = tiny_generator(), tiny_generator(noise=False)
    assert not without.noise_shapes
    assert with_noise.state_dict().keys() == without.state_dict().keys()
    z = torch.randn(2, 6)
    zeros = {name: torch.zeros(2, *shape) for name, shape in with_noise.noise_shapes.items()}
    assert torch.allclose(without(z, {}), with_noise(z, zeros), atol=1e-6)

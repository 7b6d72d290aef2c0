"""StyleGAN2's networks are numerically the originals; and what MixDL's training asks of them besides."""

from __future__ import annotations

import re

import pytest
import torch

from common.console import UserError
from networks.stylegan2 import Discriminator, Generator, PatchHeads
from networks.stylegan2_ops import ModulatedConv, minibatch_stddev
from tests.networks.conftest import assert_close, weights

# Patterns of the originals' names, and our names.  The number of a generator's convolution is one higher here: the
# original counts from the second on.
GENERATOR_NAMES = [
    (r"style\.", "mapping."),
    (r"input\.input", "constant"),
    (r"conv1\.", "convs.0."),
    (r"to_rgb1\.", "to_images.0."),
    (r"convs\.(\d+)\.", lambda match: f"convs.{int(match[1]) + 1}."),
    (r"to_rgbs\.(\d+)\.", lambda match: f"to_images.{int(match[1]) + 1}."),
]
GENERATOR_LEAVES = {"noise.weight": "noise_gain", "activate.bias": "bias"}
DISCRIMINATOR_NAMES = [
    (r"convs\.0\.[01]\.", "from_image."),
    (r"convs\.(\d+)\.conv1\.[01]\.", lambda match: f"blocks.{int(match[1]) - 1}.first."),
    (r"convs\.(\d+)\.conv2\.[12]\.", lambda match: f"blocks.{int(match[1]) - 1}.second."),
    (r"convs\.(\d+)\.skip\.1\.", lambda match: f"blocks.{int(match[1]) - 1}.skip."),
    (r"final_conv\.[01]\.", "last."),
    (r"final_linear\.0\.", "hidden."),
    (r"final_linear\.1\.", "logit."),
]


def renamed(name, patterns, leaves=()):
    pattern, ours = next((pattern, ours) for pattern, ours in patterns if re.match(pattern, name))
    name = re.sub(f"^{pattern}", ours, name)
    for leaf in leaves:
        name = name.replace(leaf, leaves[leaf])
    return name


def load(network, vector, patterns, leaves=()):
    """What of ours the file does not give.  The original keeps some weights with additional axes of size 1."""
    ours = {
        renamed(name, patterns, leaves): value for name, value in weights(vector).items() if "mixing_linear" not in name
    }
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    missing, unexpected = network.load_state_dict({n: v.view(shapes[n]) for n, v in ours.items()}, strict=False)
    assert not unexpected
    return set(missing)


@torch.no_grad()
def test_generator(golden):
    """Style, image and two feature maps, given the original's weights, latent codes and noise maps."""
    vector = golden("stylegan2_generator")
    size, style_dim, channels, depth = (
        int(vector[f"meta/{key}"]) for key in ("size", "style_dim", "channels", "n_mlp")
    )
    generator = Generator(size, style_dim, depth, channel_base=channels * size, channel_max=channels)
    assert not load(generator, vector, GENERATOR_NAMES, GENERATOR_LEAVES)
    noise = {name: vector[f"input/{name}"] for name in generator.noise_shapes}

    w = generator.mapping(vector["input/z"])
    images, features = generator.synthesise(generator.broadcast(w), noise)

    assert_close(w, vector["output/w"])
    assert_close(images, vector["output/image"])
    assert_close(generator(vector["input/z"], noise), vector["output/image"])
    assert_close(features[2], vector["output/feature_2"])
    assert_close(features[-1], vector["output/feature_last"])


@torch.no_grad()
def test_discriminator(golden):
    """Image-level logits with the minibatch standard deviation; the original has no projection, ours keeps its own."""
    vector = golden("stylegan2_discriminator")
    size, channels = int(vector["meta/size"]), int(vector["meta/channels"])
    discriminator = Discriminator(size, channel_base=channels * size, channel_max=channels)
    assert load(discriminator, vector, DISCRIMINATOR_NAMES) == {"projection.weight", "projection.bias"}
    assert_close(discriminator(vector["input/image"]), vector["output/logits"])


@pytest.mark.parametrize(("resolution", "sides"), [(256, [32, 32, 16, 16]), (32, [16, 16, 8, 8]), (16, [16, 8, 8, 4])])
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


@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_can_be_differentiated_twice(up):
    """What path-length regularisation asks of it; against finite differences."""
    torch.manual_seed(0)
    conv = ModulatedConv(2, 2, 3, style_dim=3, up=up).double()
    x = torch.randn(2, 2, 3, 3, dtype=torch.double, requires_grad=True)
    w = torch.randn(2, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradgradcheck(conv, (x, w), fast_mode=True)


def test_minibatch_stddev_of_hand_made_groups():
    """Eight images make two groups, the even and the odd ones; constant images 0, 2, 4, 6 differ by sqrt(5)."""
    x = torch.zeros(8, 3, 2, 2)
    x[0::2] = torch.tensor([0.0, 2.0, 4.0, 6.0]).view(4, 1, 1, 1)
    channel = minibatch_stddev(x)[:, 3]
    assert torch.allclose(channel[0::2], torch.full((4, 2, 2), 5.0**0.5))
    assert torch.allclose(channel[1::2], torch.full((4, 2, 2), 1e-4))


def test_generator_without_noise_has_the_same_weights():
    sizes = {"style_dim": 6, "mapping_depth": 2, "channel_base": 128, "channel_max": 8}
    with_noise, without = Generator(16, **sizes), Generator(16, **sizes, noise=False)
    without.load_state_dict(with_noise.state_dict())
    assert not without.noise_shapes
    z = torch.randn(2, 6)
    zeros = {name: torch.zeros(2, *shape) for name, shape in with_noise.noise_shapes.items()}
    assert torch.equal(without(z, {}), with_noise(z, zeros))

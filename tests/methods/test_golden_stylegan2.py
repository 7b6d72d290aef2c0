"""StyleGAN2's networks are numerically the originals, at any size, width, style dimension and depth."""

from __future__ import annotations

import re

import torch

from networks.stylegan2 import Discriminator, Generator

TOLERANCE = 1e-4  # of the largest absolute value of the original's output

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


def weights_for(network, vector, patterns, leaves=()):
    """The file's weights under our names, in our shapes (the original keeps some with additional axes of size 1)."""
    given = {
        renamed(key.removeprefix("param/"), patterns, leaves): value
        for key, value in vector.items()
        if key.startswith("param/") and "mixing_linear" not in key
    }
    return {name: value.view(network.state_dict()[name].shape) for name, value in given.items()}


def assert_close(ours, original):
    assert ours.shape == original.shape
    assert (ours - original).abs().max() <= TOLERANCE * original.abs().max()


@torch.no_grad()
def test_generator(golden):
    """Style, image and two feature maps, given the original's weights, latent codes and noise maps."""
    vector = golden("stylegan2_generator")
    size, style_dim, channels, depth = (
        int(vector[f"meta/{key}"]) for key in ("size", "style_dim", "channels", "n_mlp")
    )
    generator = Generator(size, style_dim, depth, channel_base=channels * size, channel_max=channels)
    generator.load_state_dict(weights_for(generator, vector, GENERATOR_NAMES, GENERATOR_LEAVES))
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
    weights = weights_for(discriminator, vector, DISCRIMINATOR_NAMES)
    missing, unexpected = discriminator.load_state_dict(weights, strict=False)
    assert set(missing) == {"projection.weight", "projection.bias"}
    assert not unexpected
    assert_close(discriminator(vector["input/image"]), vector["output/logits"])

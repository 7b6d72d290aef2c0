"""FastGAN's networks are numerically the originals at 256 px, and have the documented form at other resolutions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.fastgan import Discriminator, GatedConv, Generator, noise_name, small_size
from tests.networks.conftest import assert_close, weights

RESOLUTION = 256

# What each name of an original starts with, and what it starts with here.
GENERATOR_NAMES = {"init.init.": "start.", "to_big.": "to_image.", "to_128.": "to_small."}
for size in (64, 128, 256):
    GENERATOR_NAMES[f"se_{size}.main."] = f"excitations.{size}.gate."
for size in (16, 64, 256):
    GENERATOR_NAMES |= {f"feat_{size}.1.": f"blocks.{size}.0.conv.", f"feat_{size}.2.": f"blocks.{size}.0.norm."}
for size in (8, 32, 128):
    for position, (conv, noise, norm) in enumerate([(1, 2, 3), (5, 6, 7)]):
        ours = f"blocks.{size}.{position}"
        GENERATOR_NAMES |= {
            f"feat_{size}.{conv}.": f"{ours}.conv.",
            f"feat_{size}.{noise}.": f"{ours}.noise_",  # ...weight
            f"feat_{size}.{norm}.": f"{ours}.norm.",
        }

DISCRIMINATOR_NAMES = {"down_from_big.": "stem.", "rf_big.": "head.", "rf_small.": "small_head."}
for original, size in {4: 128, 8: 64, 16: 32, 32: 16, 64: 8}.items():
    DISCRIMINATOR_NAMES[f"down_{original}."] = f"trunk.{size}."
for original, size in {"2_16": 32, "4_32": 16, "8_64": 8}.items():
    DISCRIMINATOR_NAMES[f"se_{original}.main."] = f"excitations.{size}.gate."
DISCRIMINATOR_NAMES["down_from_small.0."] = "small_path.0."
for block in (2, 3, 4):  # grouped in the original, one row of convolution, BatchNorm, activation here
    for layer in (0, 1):
        DISCRIMINATOR_NAMES[f"down_from_small.{block}.main.{layer}."] = f"small_path.{3 * block - 4 + layer}."
for original, ours in {"big": "decoder", "small": "small_decoder", "part": "part_decoder"}.items():
    DISCRIMINATOR_NAMES[f"decoder_{original}.main.5."] = f"{ours}.8."
    for block in (1, 2, 3, 4):
        for layer, name in {1: "conv", 2: "norm"}.items():
            DISCRIMINATOR_NAMES[f"decoder_{original}.main.{block}.{layer}."] = f"{ours}.{2 * block - 1}.{name}."


def our_name(name: str, prefixes: dict[str, str]) -> str:
    prefix = next(prefix for prefix in prefixes if name.startswith(prefix))
    name = prefixes[prefix] + name.removeprefix(prefix)
    for original, ours in {"_orig": ".original", "_u": ".0._u", "_v": ".0._v"}.items():
        name = name.replace(f".weight{original}", f".parametrizations.weight{ours}")
    return name


def load(network: nn.Module, vector: dict, prefixes: dict[str, str]) -> nn.Module:
    """Strict: every weight of ours is given, and every weight of the original has a place."""
    network.load_state_dict({our_name(name, prefixes): value for name, value in weights(vector).items()})
    return network.eval()


def noise_for(generator: Generator, n: int) -> dict[str, Tensor]:
    return {name: torch.randn(n, *shape) for name, shape in generator.noise_shapes.items()}


def wave(size: int, phase: float) -> torch.Tensor:
    """(2, 3, size, size) with x[b, c, i, j] = sin(0.05 (c + 1) i + 0.07 (b + 1) j + b + phase)."""
    b, c, i, j = torch.meshgrid(*(torch.arange(float(n)) for n in (2, 3, size, size)), indexing="ij")
    return torch.sin(0.05 * (c + 1) * i + 0.07 * (b + 1) * j + b + phase)


@torch.no_grad()
def test_generator(golden):
    """Both images, given the original's weights; noise does not matter since the file's noise weights are zero."""
    vector = golden("fastgan_generator_eval")
    generator = Generator(RESOLUTION, int(vector["meta/nz"]), int(vector["meta/ngf"]))
    load(generator, vector, GENERATOR_NAMES)
    z = vector["input/z"]
    image, small = generator(z, noise_for(generator, len(z)))
    assert_close(image[..., ::8, ::8], vector["output/image256_every8"])
    assert_close(small[..., ::4, ::4], vector["output/image128_every4"])


def in_original_order(logits: torch.Tensor) -> torch.Tensor:
    """All logits of the image, then all of the small image."""
    return torch.cat([path.flatten() for path in logits.chunk(2, dim=1)])


@torch.no_grad()
def test_discriminator(golden):
    """Logits of fakes; of reals the logits and the three reconstructions, for each quadrant."""
    vector = golden("fastgan_discriminator_eval")
    network = load(Discriminator(RESOLUTION, int(vector["meta/ndf"])), vector, DISCRIMINATOR_NAMES)
    real = wave(RESOLUTION, 0)
    fooled = network(real, wave(small_size(RESOLUTION), 0.5))
    assert_close(in_original_order(fooled), vector["output/fake_logits"])
    features = network.features(real, F.interpolate(real, small_size(RESOLUTION)))
    for part in range(4):
        assert_close(in_original_order(network.logits(features)), vector[f"output/real_logits_part{part}"])
        for position, reconstruction in enumerate(network.reconstruct(features, part)):
            expected = vector[f"output/real_part{part}_rec{position}_every8"]
            assert_close(reconstruction[..., ::8, ::8], expected)


@pytest.mark.parametrize(
    ("resolution", "generator_links", "discriminator_links"), [(32, {32: 4}, []), (128, {64: 4, 128: 8}, ["16", "8"])]
)
def test_other_resolutions(resolution, generator_links, discriminator_links):
    """Two images, 50 logits, three reconstructions, and the excitations that fit."""
    generator, discriminator = Generator(resolution, nz=4, ngf=2), Discriminator(resolution, ndf=2, decoder_width=4)
    assert (generator.links, list(discriminator.excitations)) == (generator_links, discriminator_links)
    images = generator(torch.randn(2, 4), noise_for(generator, 2))
    assert [batch.shape[-1] for batch in images] == [resolution, resolution // 2]
    features = discriminator.features(*images)
    assert discriminator.logits(features).shape == (2, 50)
    assert {each.shape for each in discriminator.reconstruct(features, part=3)} == {images[1].shape}


def test_noise_enters_twice_at_8_32_and_128_pixels_before_batch_normalisation():
    """One scalar weight a convolution; the blocks of 16, 64 and 256 px have none.  (The golden file's are all zero.)"""
    generator = Generator(256, nz=4, ngf=2)
    noise = noise_for(generator, 2)
    assert generator.noise_shapes == {noise_name(s, i): (1, s, s) for s in (8, 32, 128) for i in range(2)}
    found: list[tuple[str, GatedConv, list[Tensor]]] = []
    for size, block in generator.blocks.items():
        for position, layer in enumerate(block):
            if layer.noise_weight is not None:
                nn.init.constant_(layer.noise_weight, 0.5 + position)
                steps: list[Tensor] = []
                layer.conv.register_forward_hook(lambda _, inputs, output, into=steps: into.append(output))
                layer.norm.register_forward_pre_hook(lambda _, inputs, into=steps: into.append(inputs[0]))
                found.append((noise_name(int(size), position), layer, steps))
    generator(torch.randn(2, 4), noise)
    assert [name for name, _, _ in found] == list(noise)
    for name, layer, (convolved, normalised) in found:
        assert torch.allclose(normalised, convolved + layer.noise_weight * noise[name], atol=1e-6)

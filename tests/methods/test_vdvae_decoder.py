"""The generator of the IMLE family is numerically the original, at any size."""

from __future__ import annotations

import pytest
import torch

from common.console import UserError
from networks.vdvae_decoder import BlockSpec, VDVAEDecoder, parse_blocks

TOLERANCE = 1e-4  # of the largest absolute value of the original's output

RENAMED = {
    "resnet.weight": "to_image.weight",
    "resnet.bias": "to_image.bias",
}


def our_name(original: str) -> str:
    """The name in our network of a parameter of the original."""
    parts = original.split(".")
    if parts[0] == "mapping_network":  # style.0 is the pixel norm, then linear layers and activations alternate
        return f"mapping.layers.{(int(parts[2]) - 1) // 2}.{parts[-1]}"
    if parts[0] == "dec_blocks":
        block = f"blocks.{parts[1]}"
        if parts[2] == "noise":
            return f"{block}.noise_gain"
        if parts[2] == "adaIN":
            return f"{block}.norm.style.{parts[-1]}"
        return f"{block}.bottleneck.convolutions.{int(parts[3][1:]) - 1}.{parts[-1]}"
    return RENAMED.get(original, original)


def tiny(**changes) -> VDVAEDecoder:
    torch.manual_seed(0)
    return VDVAEDecoder(**{"blocks": "1x1,4m1,8m4,8x1", "width": 16, "latent_dim": 12, "mapping_depth": 2, **changes})


def inputs(decoder: VDVAEDecoder, n: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    noise = {str(r): torch.randn(n, 1, r, r, generator=generator) for r in decoder.noise_resolutions}
    return torch.randn(n, decoder.latent_dim, generator=generator), noise


def assert_close(ours: torch.Tensor, original: torch.Tensor, scale: float = 0.0) -> None:
    assert ours.shape == original.shape
    assert (ours - original).abs().max() <= TOLERANCE * max(scale, original.abs().max())


def largest_gradient(decoder: VDVAEDecoder) -> float:
    return max(float(parameter.grad.abs().max()) for parameter in decoder.parameters())


def test_golden_vector(golden):
    """Given the original's weights, the images, the styles and two gradients are the original's."""
    vector = golden("vdvae_decoder")
    weights = {our_name(key.removeprefix("param/")): value for key, value in vector.items() if key.startswith("param/")}
    noise = {key.removeprefix("input/noise_"): value for key, value in vector.items() if key.startswith("input/noise_")}
    decoder = VDVAEDecoder(
        blocks=vector["meta/blocks"],
        width=int(vector["meta/width"]),
        bottleneck=float(vector["meta/bottleneck"]),
        latent_dim=int(vector["meta/latent_dim"]),
        mapping_depth=sum(name.startswith("mapping.") and name.endswith(".weight") for name in weights),
        channels=vector["output/image"].shape[1],
    )
    decoder.load_state_dict(weights)

    images = decoder(vector["input/z"], noise)
    images.square().mean().backward()

    assert_close(decoder.mapping(vector["input/z"]), vector["output/w"])
    assert_close(images, vector["output/image"])
    assert_close(decoder.mapping.layers[0].weight.grad, vector["output/grad_first_mapping_weight"])
    # The constant is the same at every pixel, so the first instance normalisation removes it: its gradient is zero and
    # what both networks compute is rounding (1e-5 of the other gradients).
    assert_close(decoder.constant.grad, vector["output/grad_constant"], scale=10 * largest_gradient(decoder))


def test_paper_size_parameter_count():
    with torch.device("meta"):
        decoder = VDVAEDecoder()
    assert sum(p.numel() for p in decoder.parameters()) == 36_588_937
    assert sum(p.numel() for p in decoder.mapping.parameters()) == 8_396_800
    assert len(decoder.blocks) == 28
    assert decoder.noise_resolutions == [1, 4, 8, 16, 32, 64, 128, 256]


def test_initialisation():
    """Scales start at 1, shifts and convolution biases at 0, noise gains are not zero, residual outputs are damped."""
    damped, undamped = tiny(width=64), tiny(width=64, blocks="1x1")
    block = damped.blocks[0]
    assert torch.equal(block.norm.style.bias, torch.cat([torch.ones(64), torch.zeros(64)]))
    assert all(not convolution.bias.any() for convolution in block.bottleneck.convolutions)
    assert block.noise_gain.std() > 0.5
    weights = [decoder.blocks[0].bottleneck.convolutions[-1].weight.detach() for decoder in (damped, undamped)]
    assert float(weights[0].std() / weights[1].std()) == pytest.approx(len(damped.blocks) ** -0.5, rel=0.1)


def test_image_does_not_depend_on_its_batch():
    decoder = tiny()
    z, noise = inputs(decoder, 5)
    alone = decoder(z[2:3], {name: value[2:3] for name, value in noise.items()})
    assert torch.allclose(decoder(z, noise)[2:3], alone, atol=1e-5)


def test_latent_and_every_noise_map_matter():
    decoder = tiny()
    z, noise = inputs(decoder, 2)
    images = decoder(z, noise)
    assert images.shape == (2, 3, 8, 8)
    assert not torch.allclose(decoder(z + 1, noise), images)
    for name, value in noise.items():
        assert not torch.allclose(decoder(z, {**noise, name: value + torch.randn_like(value)}), images), name


def test_block_list():
    assert parse_blocks("1x2, 4m1,4x1") == [BlockSpec(1, 1), BlockSpec(1, 1), BlockSpec(4, 4), BlockSpec(4, 1)]


@pytest.mark.parametrize("text", ["", "4x1", "1x1,4x1", "1x1,8m4", "1x1,4m1,6m4", "1y1", "1x0"])
def test_block_list_that_does_not_fit_together_is_refused(text):
    with pytest.raises(UserError, match="`blocks`"):
        parse_blocks(text)

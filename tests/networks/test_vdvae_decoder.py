"""The generator of the IMLE family is numerically the original, at any size."""

from __future__ import annotations

import pytest
import torch

from common.console import UserError
from networks.vdvae_decoder import BlockSpec, VDVAEDecoder, parse_blocks
from tests.networks.conftest import assert_close, weights

RENAMED = {"resnet.weight": "to_image.weight", "resnet.bias": "to_image.bias"}


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


def test_golden_vector(golden):
    """Given the original's weights, the images, the styles and two gradients are the original's."""
    vector = golden("vdvae_decoder")
    renamed = {our_name(name): value for name, value in weights(vector).items()}
    noise = {key.removeprefix("input/noise_"): value for key, value in vector.items() if key.startswith("input/noise_")}
    decoder = VDVAEDecoder(
        blocks=vector["meta/blocks"],
        width=int(vector["meta/width"]),
        bottleneck=float(vector["meta/bottleneck"]),
        latent_dim=int(vector["meta/latent_dim"]),
        mapping_depth=sum(name.startswith("mapping.") and name.endswith(".weight") for name in renamed),
        channels=vector["output/image"].shape[1],
    )
    decoder.load_state_dict(renamed)

    images = decoder(vector["input/z"], noise)
    images.square().mean().backward()

    assert_close(decoder.mapping(vector["input/z"]), vector["output/w"])
    assert_close(images, vector["output/image"])
    assert_close(decoder.mapping.layers[0].weight.grad, vector["output/grad_first_mapping_weight"])
    # The constant is the same at every pixel, so the first instance normalisation removes it: its gradient is zero, and
    # what both networks compute is rounding (1e-5 of the other gradients).
    largest = max(float(parameter.grad.abs().max()) for parameter in decoder.parameters())
    assert_close(decoder.constant.grad, vector["output/grad_constant"], scale=10 * largest)


def test_block_list():
    assert parse_blocks("1x2, 4m1,4x1") == [BlockSpec(1, 1), BlockSpec(1, 1), BlockSpec(4, 4), BlockSpec(4, 1)]


@pytest.mark.parametrize("text", ["", "4x1", "1x1,4x1", "1x1,8m4", "1x1,4m1,6m4", "1y1", "1x0"])
def test_block_list_that_does_not_fit_together_is_refused(text):
    with pytest.raises(UserError, match="`blocks`"):
        parse_blocks(text)


@torch.no_grad()
def test_instance_normalisation_is_skipped_at_a_single_pixel():
    torch.manual_seed(0)
    decoder = VDVAEDecoder("1x1,4m1", width=6, latent_dim=5, mapping_depth=2)
    for block, side in zip(decoder.blocks, (1, 4), strict=True):
        block.norm.style.weight.zero_()  # scales 1, shifts 0
        x = torch.randn(2, 6, side, side) * 3 + 1
        result = block.norm(x, torch.randn(2, 5))
        expected = x if side == 1 else (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), correction=0, keepdim=True)
        assert torch.allclose(result, expected, atol=1e-4)

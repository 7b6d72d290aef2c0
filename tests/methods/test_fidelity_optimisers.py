"""What `paper` and `official` optimise with: class, rates, betas, epsilon, decay and warm-up of every method.

The expected values are typed from the sources (ICLR 2023 text, section 5; the released codes), not read from the
presets.  Networks are narrowed, everything else is the preset's.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from common.files import read_yaml
from methods.api import Method, Streams
from training.config import method_config, run_settings
from training.registry import ROOT, method_info

COUNT = {"obama": 100, "grumpy_cat": 100, "panda": 100, "ffhq_100": 100, "cat": 160, "dog": 389}
NARROW = {
    "adaptive_imle": {"blocks": "16m1", "width": 4, "latent_dim": 4, "mapping_depth": 1, "lpips_weight": 0.0},
    "fastgan": {"nz": 4, "ngf": 2, "ndf": 2, "decoder_width": 4},
    "mixdl": {"style_dim": 4, "mapping_depth": 1, "channel_base": 64, "channel_max": 4},
}
NARROW["vanilla_imle"] = NARROW["adaptive_imle"]
PRESETS = ("paper", "official")
IMLE_OF_DATASET = {  # released scripts: learning rate, delta, greatest age in epochs
    "obama": (5e-5, 0.99, 15),
    "grumpy_cat": (1e-4, 0.98, 25),
    "panda": (1e-4, 0.99, 30),
    "ffhq_100": (1e-4, 0.98, 15),
    "cat": (5e-5, 0.99, 25),
    "dog": (1e-4, 0.99, 15),
}


@cache
def preset(name: str) -> dict[str, Any]:
    config = read_yaml(ROOT / "config" / f"{name}.yaml")
    for entry in config["methods"].values():
        entry.setdefault("by_dataset", {})
    return config


def build(name: str, method: str, dataset: str, n: int = 2) -> tuple[Method, Any, int]:
    """The method, its Config as the preset has it, and its number of steps."""
    settings = run_settings(preset(name), dataset, method, 0, "full")
    config = method_config(method, settings["config"])
    side = 32 if method == "fastgan" else 16
    images = torch.zeros(n, 3, side, side)
    narrowed = dataclasses.replace(config, **NARROW[method])
    built = method_info(method).load()(narrowed, side, 3, images, Streams(0, dataset, method, "full"))
    return built, config, settings["steps"]


def assert_optimises(
    optimiser: torch.optim.Optimizer,
    kind: type[torch.optim.Optimizer],
    lr: float,
    betas: tuple[float, float],
    weight_decay: float,
    *networks: nn.Module,
) -> None:
    """Exactly this class; one group with these values and PyTorch's epsilon, 1e-8; each parameter once, no other."""
    assert type(optimiser) is kind
    (group,) = optimiser.param_groups
    assert group["lr"] == pytest.approx(lr, rel=1e-12)
    assert group["betas"] == pytest.approx(betas, rel=1e-12)
    assert (group["eps"], group["weight_decay"], group["amsgrad"], group["maximize"]) == (
        1e-8,
        weight_decay,
        False,
        False,
    )
    expected = [id(parameter) for network in networks for parameter in network.parameters()]
    assert sorted(map(id, group["params"])) == sorted(expected)
    assert len(set(expected)) == len(expected)


# The IMLE family ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["adaptive_imle", "vanilla_imle"])
@pytest.mark.parametrize("dataset", COUNT)
def test_imle_of_the_released_code(method, dataset):
    """AdamW with both betas 0.9, decay 0.01, linear warm-up over 100 iterations, a rate for each dataset."""
    built, config, steps = build("official", method, dataset)
    lr, delta, oldest = IMLE_OF_DATASET[dataset]
    assert_optimises(built.optimizer, torch.optim.AdamW, lr, (0.9, 0.9), 0.01, built.decoder)
    for step, share in [(0, 0.01), (1, 0.02), (49, 0.5), (98, 0.99), (99, 1.0), (100, 1.0), (499_999, 1.0)]:
        built.descend(step, torch.tensor([0]))
        assert built.optimizer.param_groups[0]["lr"] == pytest.approx(share * lr, rel=1e-9)
    assert (config.batch, config.latent_dim, config.mapping_depth, config.width) == (4, 1024, 8, 384)
    assert (config.perceptual, config.lpips_weight, config.mse_weight) == ("vgg", 1.0, 0.1)
    assert (config.search, config.proj_dim, config.latent_perturbation) == ("projected", 800, 0.001)
    assert (config.pool_batch, config.pool_size) == (16, None)
    assert (config.sample_from, config.ema_decay) == ("raw", 0.9999)  # kept, but samples and FID are of the raw model
    assert built.sampler() is built.decoder
    if method == "adaptive_imle":
        assert (config.schedule, config.delta, config.staleness) == ("official", delta, 5)
        assert config.force_resample == oldest
    else:
        assert config.reassign_every == 10
    assert steps == 500_000


@pytest.mark.parametrize("method", ["adaptive_imle", "vanilla_imle"])
@pytest.mark.parametrize("dataset", COUNT)
def test_imle_of_the_iclr_text(method, dataset):
    """Adam, rate 2e-6 from the first step on, batch 4, 500,000 steps, delta 0.9; Algorithm 1 perturbs nothing."""
    built, config, steps = build("paper", method, dataset)
    assert_optimises(built.optimizer, torch.optim.Adam, 2e-6, (0.9, 0.999), 0.0, built.decoder)
    for step in (0, 1, 100, 499_999):
        built.descend(step, torch.tensor([0]))
        assert built.optimizer.param_groups[0]["lr"] == pytest.approx(2e-6, rel=1e-12)
    assert (config.batch, config.latent_dim, config.latent_perturbation, steps) == (4, 1024, 0.0, 500_000)
    assert (config.perceptual, config.lpips_weight, config.mse_weight) == ("vgg", 1.0, 0.1)
    assert built.sampler() is built.decoder
    if method == "adaptive_imle":
        assert (config.schedule, config.delta) == ("paper", 0.9)


@pytest.mark.parametrize(
    ("name", "dataset", "expected"),
    [
        *(("paper", dataset, 10_000) for dataset in COUNT),
        *(("official", dataset, 10_000) for dataset in ("obama", "grumpy_cat", "ffhq_100")),
        ("official", "panda", 20_000),
        ("official", "cat", 16_000),
        ("official", "dog", 38_900),
    ],
)
@pytest.mark.parametrize("method", ["adaptive_imle", "vanilla_imle"])
def test_size_of_the_pool(method, name, dataset, expected):
    """Released scripts: 100 n, Panda 200 n; our choice where the ICLR text is silent: 10,000."""
    built, _, _ = build(name, method, dataset, n=COUNT[dataset])
    assert built.pool.size == expected


# The baselines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_fastgan(name):
    """Both networks: Adam, 2e-4, betas 0.5 and 0.999; the decoders belong to the discriminator."""
    built, config, steps = build(name, "fastgan", "obama")
    for optimiser, network in [
        (built.generator_optimiser, built.generator),
        (built.discriminator_optimiser, built.discriminator),
    ]:
        assert_optimises(optimiser, torch.optim.Adam, 2e-4, (0.5, 0.999), 0.0, network)
    assert any(name.startswith("part_decoder") for name, _ in built.discriminator.named_parameters())
    assert (config.batch, config.ema_decay, config.margin, config.flip, steps) == (8, 0.999, (0.8, 1.0), True, 50_000)
    assert (config.augmentation, config.perceptual) == (("color", "translation"), "vgg")
    assert (config.nz, config.ngf, config.ndf, config.decoder_width) == (256, 64, 64, 128)


@pytest.mark.parametrize("name", PRESETS)
def test_mixdl(name):
    """Adam, 0.002, betas 0 and 0.99, all by the lazy-regularisation ratios: 4/5 for G, 16/17 for D and its heads."""
    built, config, steps = build(name, "mixdl", "obama")
    for optimiser, ratio, networks in [
        (built.generator_optimiser, 4 / 5, [built.generator]),
        (built.discriminator_optimiser, 16 / 17, [built.discriminator, built.heads]),
    ]:
        assert_optimises(optimiser, torch.optim.Adam, 0.002 * ratio, (0.0, 0.99**ratio), 0.0, *networks)
    assert (config.batch, config.flip, config.augmentation, steps) == (4, True, (), 150_000)
    assert (config.style_dim, config.mapping_depth, config.channel_base, config.channel_max) == (512, 8, 32768, 512)
    assert (config.noise, config.style_mixing, config.mixup_every, config.mixup_phase) == (True, 0.9, 2, 0)
    assert (config.generator_distance, config.discriminator_distance) == (1000.0, 1.0)
    assert (config.r1_weight, config.r1_every) == (10.0, 16)
    assert (config.path_weight, config.path_every, config.path_batch_shrink) == (2.0, 4, 2)
    assert config.ema_decay == pytest.approx(0.9978, abs=1e-4)

"""What `paper` and `official` train with: optimisers, rates, warm-up, and the constants of every method.

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

from methods.api import Method, Streams
from training.config import Preset, RunConfig, read_preset
from training.registry import method_info

NARROW_IMLE = {"blocks": "16m1", "width": 4, "latent_dim": 4, "mapping_depth": 1, "lpips_weight": 0.0}
NARROW = {
    "adaptive_imle": NARROW_IMLE,
    "vanilla_imle": NARROW_IMLE,
    "fastgan": {"nz": 4, "ngf": 2, "ndf": 2, "decoder_width": 4},
    "mixdl": {"style_dim": 4, "mapping_depth": 1, "channel_base": 64, "channel_max": 4},
}
OFFICIAL = {  # released scripts: number of images, learning rate, delta, greatest age in epochs, size of the pool
    "obama": (100, 5e-5, 0.99, 15, 10_000),
    "grumpy_cat": (100, 1e-4, 0.98, 25, 10_000),
    "panda": (100, 1e-4, 0.99, 30, 20_000),
    "ffhq_100": (100, 1e-4, 0.98, 15, 10_000),
    "cat": (160, 5e-5, 0.99, 25, 16_000),
    "dog": (389, 1e-4, 0.99, 15, 38_900),
}
IMLE_METHODS = pytest.mark.parametrize("method", ["adaptive_imle", "vanilla_imle"])


@cache
def preset(name: str) -> Preset:
    return read_preset(name)


def build(name: str, method: str, dataset: str) -> tuple[Method, RunConfig]:
    run = preset(name).run(dataset, method, 0, "full")
    method_class, side = method_info(method).load(), 32 if method == "fastgan" else 16
    config = dataclasses.replace(method_class.Config(**run.config), **NARROW[method])
    images = torch.zeros(OFFICIAL[dataset][0], 3, side, side)
    return method_class(config, side, 3, images, Streams(0, dataset, method, "full")), run


def assert_has(run: RunConfig, **expected: Any) -> None:
    assert {key: run.config[key] for key in expected} == expected


def assert_optimises(
    optimiser: torch.optim.Optimizer, kind: type, lr: float, betas: tuple[float, float], *networks: nn.Module
) -> None:
    """This class; one group with these values and PyTorch's epsilon, 1e-8; each parameter once, no other."""
    assert type(optimiser) is kind
    (group,) = optimiser.param_groups
    assert (group["lr"], *group["betas"]) == pytest.approx((lr, *betas), rel=1e-12)
    decay = 0.01 if kind is torch.optim.AdamW else 0
    assert (group["eps"], group["weight_decay"], group["amsgrad"]) == (1e-8, decay, False)
    expected = [id(parameter) for network in networks for parameter in network.parameters()]
    assert sorted(map(id, group["params"])) == sorted(expected)


@IMLE_METHODS
@pytest.mark.parametrize("dataset", OFFICIAL)
def test_imle_of_the_released_code(method, dataset):
    """AdamW with both betas 0.9, decay 0.01, linear warm-up over 100 iterations, a rate for each dataset."""
    built, run = build("official", method, dataset)
    _, lr, delta, oldest, pool = OFFICIAL[dataset]
    assert_optimises(built.optimizer, torch.optim.AdamW, lr, (0.9, 0.9), built.decoder)
    for step, share in [(0, 0.0), (50, 0.5), (99, 0.99), (100, 1.0)]:
        built.descend(step, torch.tensor([0]))
        assert built.optimizer.param_groups[0]["lr"] == pytest.approx(share * lr, rel=1e-9)
    assert built.sampler() is built.decoder  # averaged weights are kept, but samples and FID are of the raw model
    assert (built.search.pool.size, run.steps) == (pool, 500_000)
    assert_has(run, batch=4, latent_dim=1024, mapping_depth=8, width=384, sample_from="raw", ema_decay=0.9999)
    assert_has(run, perceptual="vgg", lpips_weight=1.0, mse_weight=0.1)
    assert_has(run, search="projected", proj_dim=800, latent_perturbation=0.001, pool_batch=16)
    policy = {"schedule": "official", "delta": delta, "staleness": 5, "force_resample": oldest}
    assert_has(run, **(policy if method == "adaptive_imle" else {"reassign_every": 10}))


@IMLE_METHODS
@pytest.mark.parametrize("dataset", ["obama", "dog"])
def test_imle_of_the_iclr_text(method, dataset):
    """Adam, rate 2e-6 from the first step on, delta 0.9; Algorithm 1 perturbs nothing.  A pool of 10,000 is ours."""
    built, run = build("paper", method, dataset)
    assert_optimises(built.optimizer, torch.optim.Adam, 2e-6, (0.9, 0.999), built.decoder)
    built.descend(0, torch.tensor([0]))
    assert built.optimizer.param_groups[0]["lr"] == pytest.approx(2e-6, rel=1e-12)
    assert built.sampler() is built.decoder
    assert (built.search.pool.size, run.steps) == (10_000, 500_000)
    assert_has(run, batch=4, latent_dim=1024, latent_perturbation=0.0)
    assert_has(run, perceptual="vgg", lpips_weight=1.0, mse_weight=0.1)
    if method == "adaptive_imle":
        assert_has(run, schedule="paper", delta=0.9)


@pytest.mark.parametrize("name", ["paper", "official"])
def test_fastgan(name):
    """Both networks: Adam, 2e-4, betas 0.5 and 0.999; the decoders belong to the discriminator."""
    built, run = build(name, "fastgan", "obama")
    assert_optimises(built.generator_optimiser, torch.optim.Adam, 2e-4, (0.5, 0.999), built.generator)
    assert_optimises(built.discriminator_optimiser, torch.optim.Adam, 2e-4, (0.5, 0.999), built.discriminator)
    assert run.steps == 50_000
    assert_has(run, batch=8, ema_decay=0.999, margin=(0.8, 1.0), flip=True, perceptual="vgg")
    assert_has(run, augmentation=("color", "translation"), nz=256, ngf=64, ndf=64, decoder_width=128)


@pytest.mark.parametrize("name", ["paper", "official"])
def test_mixdl(name):
    """Adam, 0.002, betas 0 and 0.99, all by the lazy-regularisation ratios: 4/5 for G, 16/17 for D and its heads."""
    built, run = build(name, "mixdl", "obama")
    for optimiser, ratio, networks in [
        (built.generator_optimiser, 4 / 5, [built.generator]),
        (built.discriminator_optimiser, 16 / 17, [built.discriminator, built.heads]),
    ]:
        assert_optimises(optimiser, torch.optim.Adam, 0.002 * ratio, (0.0, 0.99**ratio), *networks)
    assert run.steps == 150_000
    assert_has(run, batch=4, flip=True, augmentation=(), noise=True, mixup_every=2, mixup_phase=0, style_mixing=0.9)
    assert_has(run, style_dim=512, mapping_depth=8, channel_base=32768, channel_max=512)
    assert_has(run, generator_distance=1000.0, discriminator_distance=1.0, r1_weight=10.0, r1_every=16)
    assert_has(run, path_weight=2.0, path_every=4, path_batch_shrink=2, ema_decay=pytest.approx(0.9978, abs=1e-4))

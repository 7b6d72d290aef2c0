"""StyleGAN2's training with DiffAugment, ADA, APA and LeCam beside its description."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from snakemake.utils import update_config
from torch import Tensor, nn

from common.files import read_yaml
from methods.api import Streams
from methods.stylegan2.lecam import LeCam
from methods.stylegan2_diffaugment import StyleGAN2, draw_deceived
from networks.stylegan2 import Discriminator, Generator
from tests.conftest import ROOT
from tests.methods.reference import Adam, assert_parameters, augment, random_flip
from training.config import parse_preset

TINY: dict[str, Any] = {"style_dim": 8, "mapping_depth": 2, "channel_base": 128, "channel_max": 8, "batch": 4}
LOW_SHOT: dict[str, Any] = {"joint_r1": False, "r1_every": 16, "path_weight": 2.0, "flip": False, "ema_start": 0}


def make(n: int = 6, **changes: Any) -> StyleGAN2:
    torch.manual_seed(0)
    images = torch.rand(n, 3, 16, 16) * 2 - 1
    config = StyleGAN2.Config(**{**TINY, **changes})
    method = StyleGAN2(config, 16, 3, images, Streams(0, "toy", "stylegan2", "full"))
    for conv in method.generator.convs:
        nn.init.constant_(conv.noise_gain, 0.3)  # zero at first
    return method


def test_parameters_are_those_of_the_256_px_networks() -> None:
    def count(network: nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    with torch.device("meta"):
        assert count(Generator(256, mapping_depth=8)) == 30_034_338
        assert count(Generator(256, mapping_depth=2)) == 28_458_402
        assert count(Discriminator(256, projects=StyleGAN2.projects)) == 28_864_129


def test_the_paper_s_constants_reach_its_preset() -> None:
    """Typed from the DiffAugment paper's code, not read from the preset."""
    content = read_yaml(ROOT / "config/paper.yaml")
    update_config(content, read_yaml(ROOT / "config/overlays/field.yaml"))
    preset = parse_preset(content, "field")
    kimg = {"obama": 300, "grumpy_cat": 300, "panda": 300, "ffhq_100": 300, "cat": 500, "dog": 500}
    for dataset, images in kimg.items():
        run = preset.run(dataset, "stylegan2", 0, "full")
        assert run.steps * 16 == images * 1000
        expected = {"batch": 16, "learning_rate": 0.002, "mapping_depth": 8, "channel_base": 32768, "channel_max": 512}
        expected |= {"r1_weight": 10.0, "r1_every": 4, "joint_r1": True, "path_weight": 0.0, "style_mixing": 0.9}
        expected |= {"flip": True, "augment": "diffaugment", "augmentation": ("color", "translation", "cutout")}
        expected |= {"ema_decay": pytest.approx(0.998892, abs=1e-6), "apa": False, "lecam": 0.0}
        assert {key: run.config[key] for key in expected} == expected


class Reference:
    """The paper's step, written out: one Adam step for each network, R1 inside the discriminator's every 4th time.

    Real and generated images are judged apart.
    """

    def __init__(self, method: StyleGAN2) -> None:
        self.method = method
        self.g, self.d = copy.deepcopy(method.generator), copy.deepcopy(method.discriminator)
        self.g_adam, self.d_adam = (Adam(net, lr=0.002, betas=(0.0, 0.99)) for net in (self.g, self.d))
        self.average = [parameter.detach().clone() for parameter in self.g.parameters()]

    def step(self, step: int) -> dict[str, float]:
        rng = self.rng = self.method.streams.generator("train", step)
        g_loss = (1 + (-self.d(self.augmented(self.fakes()))).exp()).log().mean()
        self.g_adam.descend(g_loss)

        real = random_flip(self.method.images[self.method.minibatch(step, 4, rest="fill")], rng).requires_grad_()
        fake = self.fakes().detach()
        both = self.augmented(torch.cat([real, fake]))
        of_real, of_fake = self.d(both[:4]), self.d(both[4:])
        d_loss = (1 + of_fake.exp()).log().mean() + (1 + (-of_real).exp()).log().mean()
        scalars, loss = {"g_loss": g_loss.item(), "d_loss": d_loss.item()}, d_loss
        if step % 4 == 0:
            (gradient,) = torch.autograd.grad(of_real.sum(), real, create_graph=True)
            scalars["r1"] = (gradient.square().sum() / 4).item()
            loss = d_loss + 4 * 10 / 2 * gradient.square().sum() / 4
        self.d_adam.descend(loss)

        decay = 0.5 ** (4 / 10_000) if step >= 2 else 0.0
        pairs = zip(self.average, self.g.parameters(), strict=True)
        self.average = [decay * old + (1 - decay) * new.detach() for old, new in pairs]
        return scalars

    def augmented(self, images: Tensor) -> Tensor:
        return augment(images, ("color", "translation", "cutout"), self.rng)

    def fakes(self) -> Tensor:
        method = self.method
        codes = [self.g.mapping(torch.randn(4, 8, generator=self.rng))]
        crossover = self.g.n_styles
        if torch.rand((), generator=self.rng) < 0.9:
            codes.append(self.g.mapping(torch.randn(4, 8, generator=self.rng)))
            crossover = int(torch.randint(1, self.g.n_styles, (), generator=self.rng))
        styles = torch.stack([codes[0] if k < crossover else codes[-1] for k in range(self.g.n_styles)], dim=1)
        shapes = method.generator.noise_shapes.items()
        return self.g.synthesise(styles, {key: torch.randn(4, *each, generator=self.rng) for key, each in shapes})[0]


def test_six_steps_equal_the_paper_s(float64: None) -> None:
    """R1 at steps 0 and 4; the average follows the generator for two steps, then it averages."""
    method = make(ema_decay=0.5 ** (4 / 10_000), ema_start=2)
    reference = Reference(method)
    for step in range(6):
        assert method.train_step(step) == pytest.approx(reference.step(step), rel=1e-9)
    assert_parameters(method.generator, list(reference.g.parameters()), "generator")
    assert_parameters(method.discriminator, list(reference.d.parameters()), "discriminator")
    assert_parameters(method.sampler(), reference.average, "average")


@pytest.mark.parametrize(
    ("changes", "g_ratio", "d_ratio"), [({}, 1.0, 1.0), (LOW_SHOT, 4 / 5, 16 / 17)], ids=["paper", "PyTorch"]
)
def test_adam_is_corrected_for_the_regularisers_that_take_steps_of_their_own(
    changes: dict[str, Any], g_ratio: float, d_ratio: float
) -> None:
    method = make(**changes)
    for optimiser, ratio in [(method.generator_optimiser, g_ratio), (method.discriminator_optimiser, d_ratio)]:
        (group,) = optimiser.param_groups
        assert (group["lr"], group["betas"], group["eps"]) == (0.002 * ratio, (0.0, 0.99**ratio), 1e-8)
    logged = [method.train_step(step).keys() for step in range(5)]
    assert ["path_length" in keys for keys in logged] == [bool(changes), False, False, False, bool(changes)]
    assert ["r1" in keys for keys in logged] == [True, False, False, False, not changes]


def test_half_life_of_the_average_ramps_up_with_the_images() -> None:
    """StyleGAN2-ADA, batch 16, half-life 5,000 images, ramp 0.05: complete from 100,000 images, step 6,250, on."""
    method = make(ema_start=0, ema_ramp=0.05, ema_decay=0.5 ** (16 / 5000))
    assert method.decay(0) == 0.0
    assert method.decay(100) == pytest.approx(0.5 ** (16 / (1600 * 0.05)))
    assert method.decay(6250) == method.decay(9999) == pytest.approx(0.5 ** (16 / 5000))


def test_apa_replaces_its_share_of_the_real_images() -> None:
    generator = torch.Generator().manual_seed(0)
    assert draw_deceived(4000, 0.3, generator).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert not draw_deceived(4000, 0.0, generator).any()


def test_under_apa_the_discriminator_is_shown_the_generator_s_latest_images(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(apa=True)
    method.controller.p = 1.0
    seen: list[tuple[Tensor, Tensor]] = []
    improve, update = method.improve_generator, method.update_discriminator

    def improve_generator(rng: torch.Generator) -> Any:
        seen.append(improve(rng))
        return seen[-1]

    def update_discriminator(real: Tensor, step: int, rng: torch.Generator) -> Any:
        assert torch.equal(real, seen[-1][0])
        return update(real, step, rng)

    monkeypatch.setattr(method, "improve_generator", improve_generator)
    monkeypatch.setattr(method, "update_discriminator", update_discriminator)
    method.train_step(0)
    assert len(seen) == 1


def test_lecam_by_hand() -> None:
    """Corrected averages are means weighted by 0.99 ** age; both terms are one-sided."""
    lecam = LeCam(start=1, device=torch.device("cpu"))
    assert lecam.penalty(0, torch.tensor([2.0, 4.0]), torch.tensor([-1.0])).item() == 0  # real 3, generated -1
    real, fake = torch.tensor([1.0, -3.0]), torch.tensor([0.0, 9.0])
    usual_real, usual_fake = (0.99 * 3 + 1 * -1) / 1.99, (0.99 * -1 + 1 * 4.5) / 1.99
    expected = max(0, 1 - usual_fake) ** 2 / 2 + (usual_real - 0) ** 2 / 2
    assert lecam.penalty(1, real, fake).item() == pytest.approx(expected, rel=1e-5)


def test_lecam_enters_the_discriminator_s_loss_after_its_start() -> None:
    plain, regular = make(), make(lecam=100.0, lecam_start=1)
    weights: list[list[bool]] = []
    for step in range(2):
        plain.train_step(step), regular.train_step(step)
        weights.append(
            [
                torch.equal(a, b)
                for a, b in zip(plain.discriminator.parameters(), regular.discriminator.parameters(), strict=True)
            ]
        )
    assert all(weights[0])
    assert not all(weights[1])

"""EDM and flow matching: constants of the papers, how they train, and samplers that end where theory says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from methods.api import Streams
from methods.edm import EDM, denoise, noise_levels
from methods.flow_matching import FlowMatching

TINY = {"width": 8, "multipliers": (1,), "blocks": 1, "attention": (), "augmentation": 0.0, "dropout": 0.0}
SIDE = 4
METHODS = pytest.mark.parametrize("cls", [EDM, FlowMatching])
Network = Callable[[Tensor, Tensor], Tensor]


def build(cls: type[EDM | FlowMatching], images: Tensor | None = None, **changes: object) -> EDM | FlowMatching:
    streams, images = Streams(0, "toy", cls.name, "full"), random_images(3) if images is None else images
    with streams.seeded("initialisation"):
        return cls(cls.Config(**(TINY | changes)), images.shape[3], 3, images, streams)


def random_images(n: int, side: int = SIDE) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def trainable(n: int = 6, **changes: object) -> EDM:
    """With augmentation, dropout and warm-up."""
    keys = {"batch": 4, "warmup_steps": 4, "augmentation": 0.12, "dropout": 0.13}
    return build(EDM, random_images(n, side=8), **(keys | changes))


def normal(n: int, *shape: int) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))


def posterior_mean(x: Tensor, images: Tensor, scale: Tensor, std: Tensor) -> Tensor:
    """E[image | x] where x = scale image + std noise, and the image is one of `images` with equal probability."""
    distance = (x[:, None] - scale[:, None] * images).square().sum(dim=(2, 3, 4)) / (2 * std.flatten(1) ** 2)
    return torch.einsum("nk,kchw->nchw", (-distance).softmax(dim=1), images)


def ideal_network(cls: type[EDM | FlowMatching], images: Tensor) -> Network:
    """What the network of each paper answers where its loss is smallest."""
    images = images.double()

    def edm(x: Tensor, label: Tensor) -> Tensor:
        sigma = (4 * label.double()).exp().view(-1, 1, 1, 1)
        variance = sigma**2 + 0.25
        x = x.double() * variance.sqrt()
        denoised = posterior_mean(x, images, torch.ones_like(sigma), sigma)
        return (denoised - 0.25 / variance * x) / (0.5 * sigma / variance.sqrt())

    def flow(x: Tensor, label: Tensor) -> Tensor:
        t = label.double().view(-1, 1, 1, 1) / 1000
        return (posterior_mean(x.double(), images, t, 1 - t) - x.double()) / (1 - t)

    return edm if cls is EDM else flow


@METHODS
@pytest.mark.parametrize("n", [1, 3])
def test_the_minimiser_of_the_loss_draws_only_training_images(cls: type[EDM | FlowMatching], n: int) -> None:
    images = random_images(n)
    samples = build(cls).integrate(ideal_network(cls, images), normal(40, 3, SIDE, SIDE).double())
    distance = (samples[:, None] - images).abs().amax(dim=(2, 3, 4))
    assert distance.min(dim=1).values.max() < 1e-4
    assert set(distance.argmin(dim=1).tolist()) == set(range(n))


@METHODS
def test_a_network_trained_on_one_image_draws_it(cls: type[EDM | FlowMatching]) -> None:
    """Loss, label and sampler belong together: a wrong sign or coefficient in one of them leaves noise."""
    image = torch.linspace(-1, 1, SIDE).expand(1, 3, SIDE, SIDE)
    method = build(cls, image, width=16, batch=16, learning_rate=0.01, warmup_steps=5, sampler_steps=8)
    latents = method.latents(8, torch.Generator().manual_seed(0))

    def error() -> float:
        with torch.no_grad():
            return (method.generate(latents) - image).square().mean().item()

    before = error()
    for step in range(150):
        method.train_step(step)
    assert error() < 0.05 * before


@METHODS
@pytest.mark.parametrize(("steps", "evaluations"), [(18, 35), (40, 79)])
def test_evaluations_of_the_network(cls: type[EDM | FlowMatching], steps: int, evaluations: int) -> None:
    labels = []

    def network(x: Tensor, label: Tensor) -> Tensor:
        assert x.dtype == label.dtype == torch.float32
        labels.append(label[0].item())
        return torch.zeros_like(x)

    samples = build(cls, sampler_steps=steps).integrate(network, normal(2, 3, SIDE, SIDE).double())
    assert samples.dtype == torch.float64
    assert len(labels) == evaluations
    step = [80, 0.002] if cls is EDM else [0, 1 - 1 / steps]
    expected = torch.tensor(step).log() / 4 if cls is EDM else 1000 * torch.tensor(step)
    assert [labels[0], labels[-1]] == pytest.approx(expected.tolist(), rel=1e-5)


def test_noise_levels_of_the_paper() -> None:
    """Equation 5 with rho 7, in between too: (80^(1/7) + i/17 (0.002^(1/7) - 80^(1/7)))^7."""
    levels = noise_levels(18)
    expected = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    assert levels == pytest.approx([*expected, 0.0], rel=1e-9)


def test_preconditioning_at_the_noise_level_of_the_data() -> None:
    """Table 1 at s = 0.5: D = x/2 + F(sqrt(2) x, ln(0.5)/4) / sqrt(8)."""
    x = normal(2, 3, SIDE, SIDE)

    def network(scaled: Tensor, label: Tensor) -> Tensor:
        torch.testing.assert_close(scaled, 2**0.5 * x)
        torch.testing.assert_close(label, torch.full((2,), -0.173287))
        return torch.ones_like(scaled)

    torch.testing.assert_close(denoise(network, x, torch.full((2, 1, 1, 1), 0.5)), x / 2 + 8**-0.5)


def zero(x: Tensor, label: Tensor) -> Tensor:
    return torch.zeros_like(x)


def test_loss_of_the_zero_network_is_the_number_of_pixels_for_data_of_the_assumed_variance() -> None:
    """The preconditioned target then has variance 1 at every noise level."""
    images = 0.5 * random_images(200).sign()
    loss = build(EDM).loss(zero, images, normal(200, 1, 1, 1), normal(200, 3, SIDE, SIDE))
    assert loss.item() == pytest.approx(3 * SIDE**2, rel=0.02)


def test_flow_matching_goes_from_noise_to_images() -> None:
    """At t = 0.1587, the normal distribution function at -1, the network sees mostly noise."""
    images, noise, level, seen = random_images(2), normal(2, 3, SIDE, SIDE), torch.full((2, 1, 1, 1), -1.0), []

    def network(x: Tensor, label: Tensor) -> Tensor:
        seen.extend((x, label))
        return images - noise

    assert build(FlowMatching, times="uniform").loss(network, images, level, noise) == 0
    assert torch.allclose(seen[0], 0.158655 * images + 0.841345 * noise, atol=1e-5)
    assert torch.allclose(seen[1], torch.full((2,), 158.655), atol=1e-2)


@pytest.mark.parametrize("times", ["uniform", "logit_normal"])
def test_flow_matching_s_loss_of_the_zero_network_and_its_times(times: str) -> None:
    """The target image - noise has the sum of both variances.  Uniform times have mean 1/2 and variance 1/12."""
    images, level, seen = 0.5 * random_images(4000).sign(), normal(4000, 1, 1, 1), []

    def network(x: Tensor, label: Tensor) -> Tensor:
        seen.append(label / 1000)
        return torch.zeros_like(x)

    loss = build(FlowMatching, times=times).loss(network, images, level, normal(4000, 3, SIDE, SIDE))
    assert loss.item() == pytest.approx(1.25, rel=0.02)
    assert seen[0].mean().item() == pytest.approx(0.5, abs=0.02)
    assert seen[0].var().item() == pytest.approx(1 / 12 if times == "uniform" else 0.0433, rel=0.05)


# Training: order of the images, warm-up, averaged weights


def test_batches_are_full_also_where_they_are_larger_than_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    method, seen = trainable(n=3), []
    monkeypatch.setattr(method, "loss", lambda network, x, *_: seen.append(len(x)) or network(x, x[:, 0, 0, 0]).sum())
    for step in range(3):
        method.train_step(step)
    assert seen == [4, 4, 4]


def test_parts_of_a_batch_add_up_to_its_gradients() -> None:
    """Parts of three and one."""
    losses, gradients = [], []
    for microbatch in (4, 3):
        method = trainable(microbatch=microbatch, dropout=0.0)
        losses.append(float(method.train_step(0)["loss"]))
        gradients.append([parameter.grad for parameter in method.network.parameters()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-4)


def test_the_learning_rate_rises_from_zero() -> None:
    method, rates = trainable(learning_rate=0.01), []
    for step in range(6):
        method.train_step(step)
        rates.append(method.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0, 0.0025, 0.005, 0.0075, 0.01, 0.01])


def test_the_half_life_of_the_average_is_a_twentieth_of_the_images_seen_up_to_a_limit() -> None:
    """Batch 4: step 15 has seen 60 images, half-life 3; from step 20 on the half-life is 4 and the decay 1/2."""
    method = trainable(ema_images=4, warmup_steps=0)
    expected = None
    for step in range(25):
        method.train_step(step)
        weights = method.network.first.weight.detach().clone()
        decay = 0.5 ** (4 / min(4, 0.05 * 4 * step)) if step else 0.0  # the first average is the first weights
        expected = weights if expected is None else decay * expected + (1 - decay) * weights
        torch.testing.assert_close(method.sampler().first.weight, expected)


def test_gradients_that_are_not_finite_are_replaced() -> None:
    method = trainable()
    values = [torch.nan, torch.inf, -torch.inf, 2.0]
    method.network.last.bias.grad = torch.tensor(values[:3])
    method.network.first.bias.grad = torch.tensor([*values[3:], *[0.0] * 7])
    method.descend()
    assert method.network.last.bias.grad.tolist() == [0, 1e5, -1e5]
    assert method.network.first.bias.grad[0] == 2

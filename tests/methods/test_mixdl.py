"""MixDL's training step equals one derived here from its description: both updates and both regularisers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from methods.api import Streams
from methods.mixdl import MixDL
from tests.methods.reference import Adam, Average, assert_parameters, augment, random_flip

TINY = {"style_dim": 8, "mapping_depth": 2, "channel_base": 128, "channel_max": 8}
BATCH = 4


def distance_term(similarities: list[list[Tensor]], coefficients: Tensor) -> Tensor:
    """KL of softmax(similarities) from softmax(coefficients) of each row, averaged over all entries, not over rows."""
    total = torch.zeros(())
    for row, c in zip(similarities, coefficients, strict=True):
        p, q = c.exp() / c.exp().sum(), torch.stack(row).exp() / torch.stack(row).exp().sum()
        total = total + (p * (p / q).log()).sum()
    return total / len(coefficients) ** 2


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()


class Reference:
    """The official step: networks copied from `method`, draws in its order, losses and updates written out.

    The discriminator judges reals and fakes apart, which its `parts` promise to be the same.
    """

    def __init__(self, method: MixDL, phase: int, policy: tuple[str, ...]) -> None:
        self.method, self.phase, self.policy = method, phase, policy
        self.g, self.d, self.heads = map(copy.deepcopy, (method.generator, method.discriminator, method.heads))
        self.g_adam = Adam(self.g, lr=0.002 * 4 / 5, betas=(0.0, 0.99 ** (4 / 5)))  # path length every 4 steps
        self.d_adam = Adam(self.d, self.heads, lr=0.002 * 16 / 17, betas=(0.0, 0.99 ** (16 / 17)))  # R1 every 16
        self.average = Average(method.sampler(), 0.5 ** (32 / 10_000))
        self.mean_length = torch.zeros(())

    def step(self, step: int) -> dict[str, float]:
        self.rng = self.method.streams.generator("train", step)
        mixup = step % 2 == self.phase
        real = random_flip(self.method.images[self.method.minibatch(step, BATCH, rest="drop")], self.rng)
        scalars = self.update_discriminator(real, mixup)
        if step % 16 == 0:
            scalars["r1"] = self.r1(real, mixup)
        scalars |= self.update_generator(mixup)
        if step % 4 == 0:
            scalars["path_length"] = self.path_length()
        self.average.update(self.g)
        return scalars

    def update_discriminator(self, real: Tensor, mixup: bool) -> dict[str, float]:
        if mixup:
            c = self.coefficients()
            w = self.codes(BATCH)
            images, _ = self.synthesise(self.same_everywhere(torch.cat([c @ w, w])))
            mixed, unmixed = images.detach().chunk(2)
            fake = mixed
        else:
            fake = self.synthesise(self.crossed(len(real)))[0].detach()
        if mixup:  # each by a tap of its own
            (of_real,), (of_fake,) = self.judge([real], mixup), self.judge([fake], mixup)
        else:
            of_real, of_fake = self.judge([real, fake], mixup)
        loss = (1 + (-of_real).exp()).log().mean() + (1 + of_fake.exp()).log().mean()
        scalars = {"d_loss": loss.item()}
        if mixup:
            # Compared in one batch: the deviation channel is that of mixed and unmixed images together.
            vectors = self.d.embed(torch.cat([mixed, unmixed]))
            similarities = [[cosine(m, u) for u in vectors[len(mixed) :]] for m in vectors[: len(mixed)]]
            distance = distance_term(similarities, c)
            loss, scalars["d_distance"] = loss + 1 * distance, distance.item()
        self.d_adam.descend(loss)
        return scalars

    def update_generator(self, mixup: bool) -> dict[str, float]:
        if mixup:  # the same coefficients for the codes that are judged and for those that are compared
            c = self.coefficients()
            w, judged = self.codes(2 * BATCH).chunk(2)
            images, features = self.synthesise(self.same_everywhere(torch.cat([c @ judged, c @ w, w])))
            images = images[:BATCH]
        else:
            images, _ = self.synthesise(self.crossed(BATCH))
        (logits,) = self.judge([images], mixup)
        loss = (1 + (-logits).exp()).log().mean()
        scalars = {"g_loss": loss.item()}
        if mixup:  # each mixed image by one layer, neither the first nor the last
            layers = torch.randint(1, len(features) - 1, (BATCH,), generator=self.rng)
            similarities = [
                [cosine(features[layer][BATCH + i], features[layer][2 * BATCH + j]) for j in range(BATCH)]
                for i, layer in enumerate(layers)
            ]
            distance = distance_term(similarities, c)
            loss, scalars["g_distance"] = loss + 1000 * distance, distance.item()
        self.g_adam.descend(loss)
        return scalars

    def r1(self, real: Tensor, mixup: bool) -> float:
        real = real.clone().requires_grad_()
        (logits,) = self.judge([real], mixup)
        # The official code differentiates the mean over the positions of a map, summed over images.
        means = sum(image.mean() for image in logits)
        (gradient,) = torch.autograd.grad(means, real, create_graph=True)
        penalty = gradient.square().sum() / len(real)
        self.d_adam.descend(10 / 2 * 16 * penalty)
        return penalty.item()

    def path_length(self) -> float:
        styles = self.crossed(BATCH // 2)
        images, _ = self.synthesise(styles)
        y = torch.randn(images.shape, generator=self.rng)
        (gradient,) = torch.autograd.grad((images * y).sum() / images.shape[-1], styles, create_graph=True)
        lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()
        mean = 0.99 * self.mean_length + 0.01 * lengths.mean()
        self.g_adam.descend(2 * 4 * (lengths - mean).square().mean())
        self.mean_length = mean.detach()
        return lengths.mean().item()

    def judge(self, groups: list[Tensor], mixup: bool) -> list[Tensor]:
        """By a random patch head in mixup iterations, else whole."""
        tap = int(torch.randint(4, (), generator=self.rng)) if mixup else None
        images = augment(torch.cat(groups), self.policy, self.rng).split([len(group) for group in groups])
        return [self.d(each) if tap is None else self.heads[tap](self.d.patch_features(each, tap)) for each in images]

    def coefficients(self) -> Tensor:
        """Dirichlet(1, ..., 1)."""
        draws = torch.empty(BATCH, BATCH).exponential_(generator=self.rng)
        return torch.stack([row / row.sum() for row in draws])

    def codes(self, n: int) -> Tensor:
        return self.g.mapping(torch.randn(n, 8, generator=self.rng))

    def same_everywhere(self, w: Tensor) -> Tensor:
        return torch.stack([w] * self.g.n_styles, dim=1)

    def crossed(self, n: int) -> Tensor:
        """Style mixing, 9 times out of 10: another code from a random layer on."""
        styles = self.same_everywhere(self.codes(n))
        if torch.rand((), generator=self.rng) < 0.9:
            other = self.same_everywhere(self.codes(n))
            crossover = int(torch.randint(1, self.g.n_styles, (), generator=self.rng))
            styles = torch.cat([styles[:, :crossover], other[:, crossover:]], dim=1)
        return styles

    def synthesise(self, styles: Tensor) -> tuple[Tensor, list[Tensor]]:
        shapes = self.g.noise_shapes.items()
        noise = {name: torch.randn(len(styles), *shape, generator=self.rng) for name, shape in shapes}
        return self.g.synthesise(styles, noise)


@pytest.mark.parametrize(("phase", "policy"), [(0, ()), (1, ("color", "translation"))])
@pytest.mark.parametrize("n", [6, 1])  # a last piece that is dropped; fewer images than a batch
def test_six_steps_equal_the_derived_ones(float64: None, n: int, phase: int, policy: tuple[str, ...]) -> None:
    """Three mixup steps and three ordinary ones, R1 at step 0, path length at 0 and 4: losses, networks and average."""
    torch.manual_seed(0)
    images = torch.rand(n, 3, 16, 16) * 2 - 1
    config = MixDL.Config(**TINY, mixup_phase=phase, augmentation=policy)
    method = MixDL(config, 16, 3, images, Streams(0, "toy", "mixdl", "full"))
    for conv in method.generator.convs:
        torch.nn.init.constant_(conv.noise_gain, 0.3)  # zero at first
    reference = Reference(method, phase, policy)
    for step in range(6):
        assert method.train_step(step) == pytest.approx(reference.step(step), rel=1e-9)
    assert_parameters(method.generator, list(reference.g.parameters()), "generator")
    assert_parameters(method.discriminator, list(reference.d.parameters()), "discriminator")
    assert_parameters(method.heads, list(reference.heads.parameters()), "heads")
    assert_parameters(method.sampler(), reference.average.values, "average")


def test_regularisers_run_when_they_are_due() -> None:
    config = MixDL.Config(**TINY, r1_every=3, path_every=2)
    method = MixDL(config, 16, 3, torch.zeros(2, 3, 16, 16), Streams(0, "toy", "mixdl", "full"))
    scalars = [method.train_step(step) for step in range(4)]
    assert ["r1" in each for each in scalars] == [True, False, False, True]
    assert ["path_length" in each for each in scalars] == [True, False, True, False]

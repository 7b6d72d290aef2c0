"""The paper's lemmas, checked by numbers, and its objective against the class that trains.

The known model: T(z) = z, so p is the standard normal density in the plane and the squared distance of a sample to a
data point x follows the noncentral chi-squared law with 2 degrees of freedom and noncentrality |x|^2.

Monte Carlo estimates are compared within 4 standard errors.  Seeds are fixed, so a test passes always or never; 4
standard errors keep it from failing by the choice of the seed (6 in 100,000), and each test asserts that they are
small beside the terms whose loss it has to notice.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import integrate, stats
from torch import Tensor

from methods.api import Latents, Streams
from methods.imle.family import IMLE
from methods.vanilla_imle import VanillaIMLE

Array = NDArray[np.float64]

DRAWS = 400_000
POINTS = np.array([[0.3, -0.2], [1.0, 0.5], [-2.0, 1.5]])


def distances(point: Array, draws: int, seed: int) -> Array:
    """d(x, T(z)) of independent z."""
    z = np.random.default_rng(seed).standard_normal((draws, 2))
    return np.linalg.norm(z - point, axis=1)


def probability(point: Array, t: float) -> float:
    """Pr(d(x, T(z)) < t), exactly."""
    return float(stats.ncx2.cdf(t**2, 2, point @ point))


def integral(function: Callable[[float], float], low: float, high: float) -> float:
    return integrate.quad(function, low, high, limit=200)[0]


def phi(t: Array, tau: Array | float, delta: float) -> Array:
    """Phi_tau of Section 4.1."""
    return np.clip(t, delta * tau, tau)


def ball_mass(point: Array, tau: float, delta: float) -> float:
    """The right-hand side of Lemmas 2 and 3: the integral of Pr(d < t) from delta tau to tau."""
    return integral(lambda t: probability(point, t), delta * tau, tau)


def agree(values: Array, expected: float, notice: float) -> None:
    """The mean of independent `values` is `expected` within 4 standard errors, and these are below `notice` / 4."""
    error = values.std() / math.sqrt(len(values))
    assert 16 * error < notice
    assert abs(values.mean() - expected) < 4 * error


# Lemmas 1 to 3 --------------------------------------------------------------------------------------------------------

FUNCTIONS = [
    (lambda t: t**2 + 1, lambda t: 2 * t),
    (lambda t: np.exp(-t), lambda t: -np.exp(-t)),
    (lambda t: 2 + np.sin(3 * t), lambda t: 3 * np.cos(3 * t)),
]


@pytest.mark.parametrize(("function", "derivative"), FUNCTIONS, ids=["square", "exponential", "sine"])
def test_lemma_1(function, derivative):
    """E[Phi(X)] = Phi(0) + integral of Phi'(t) Pr(X >= t) dt, for a non-negative X (here: a distance).

    Tolerance: 4 standard errors of 400,000 draws; a lost Phi(0), or Pr(X < t) for Pr(X >= t), is over 16 of them.
    """
    point = POINTS[1]
    tail = integral(lambda t: derivative(t) * (1 - probability(point, t)), 0, 12)  # Pr(X >= 12) < 1e-25
    head = integral(lambda t: derivative(t) * probability(point, t), 0, 12)
    agree(function(distances(point, DRAWS, seed=1)), function(0.0) + tail, notice=min(function(0.0), abs(head - tail)))


@pytest.mark.parametrize("delta", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("tau", [0.5, 2.0])
def test_lemma_2(tau, delta):
    """E[Phi_tau(d(x, T(z)))] = tau - integral from delta tau to tau of Pr(d < t) dt.

    Tolerance: 4 standard errors of 400,000 draws; the integral itself is over 16 of them.
    """
    mass = ball_mass(POINTS[1], tau, delta)
    agree(phi(distances(POINTS[1], DRAWS, seed=2), tau, delta), tau - mass, notice=mass)


def test_lemma_3():
    """The objective of equation 2 is (1/n) sum_i 1/(m w_i) sum_j of the integrals of Lemma 2: its expectation over
    z_1, ..., z_m, with m = 5 shared by three data points of their own tau_i and w_i.

    Tolerance: 4 standard errors of 80,000 pools; the smallest data point's term is over 16 of them.
    """
    m, delta, taus, weights = 5, 0.7, np.array([0.5, 1.0, 2.5]), np.array([1.0, 0.3, 0.7])
    pools = np.random.default_rng(3).standard_normal((80_000, m, 1, 2))
    d = np.linalg.norm(pools - POINTS, axis=3)  # (pools, m, points)
    objective = ((taus - phi(d, taus, delta).mean(axis=1)) / weights).mean(axis=1)
    masses = np.array([ball_mass(x, tau, delta) for x, tau in zip(POINTS, taus, strict=True)])
    terms = masses / weights / len(POINTS)
    agree(objective, terms.sum(), notice=terms.min())


def test_equation_3():
    """With tau_i = min_j d, the objective of equation 2 is that of equation 3, draw by draw; a smaller tau_i leaves a
    constant zero, without a gradient.  Tolerance: rounding, 1e-12.
    """
    m, delta = 6, 0.8
    d = distances(POINTS[0], 1000 * m, seed=4).reshape(1000, m)
    nearest = d.min(axis=1)
    objective = nearest - phi(d, nearest[:, None], delta).mean(axis=1)
    assert np.allclose(objective, (nearest - np.maximum(nearest, delta * nearest)) / m, atol=1e-12)
    smaller = 0.99 * nearest
    assert np.allclose(smaller - phi(d, smaller[:, None], delta).mean(axis=1), 0, atol=1e-12)


# Lemma 4 and its weights ----------------------------------------------------------------------------------------------


def weight(tau: float, delta: float, dim: int, p: float = 2.0) -> float:
    """w_i, the integral of vol(B_t) from delta tau to tau, as the integral gives it."""
    return (2 * tau) ** (dim + 1) * (1 - delta ** (dim + 1)) / (2 * (dim + 1)) * unit(dim, p)


def printed_weight(tau: float, delta: float, dim: int, p: float = 2.0) -> float:
    """w_i as the appendix prints it."""
    return (2 * (1 - delta) * tau) ** (dim + 1) / (2 * (dim + 1)) * unit(dim, p)


def unit(dim: int, p: float) -> float:
    """Volume of the l_p ball of diameter 1 in `dim` dimensions."""
    return math.gamma(1 + 1 / p) ** dim / math.gamma(1 + dim / p)


LINE = np.array([-1.2, 0.0, 0.4, 2.0])


def mixture(x: Array | float) -> Array | float:
    return 0.3 * stats.norm.pdf(x, -1, 0.4) + 0.7 * stats.norm.pdf(x, 1, 0.8)


def mixture_mass(x: float, t: float) -> float:
    def cdf(at: float) -> float:
        return float(0.3 * stats.norm.cdf(at, -1, 0.4) + 0.7 * stats.norm.cdf(at, 1, 0.8))

    return cdf(x + t) - cdf(x - t)


def objective_on_a_line(tau: float, delta: float, weigh: Callable[..., float] = weight) -> float:
    """L in the form of Lemma 3, at the data points LINE under the density `mixture`."""
    masses = [integral(lambda t, x=x: mixture_mass(x, t), delta * tau, tau) for x in LINE]
    return sum(masses) / weigh(tau, delta, dim=1) / len(LINE)


@pytest.mark.parametrize("delta", [0.0, 0.9])
def test_lemma_4(delta):
    """L tends to the mean of p(x_i) as all tau_i tend to 0, if w_i is the integral of the balls' volumes.

    By quadrature, no Monte Carlo.  Tolerance: 1e-6 at tau = 1e-3, since the error is tau^2 (1 + delta^2) / 12 times
    the mean of p'' (here below 4); that it shrinks fourfold as tau is halved is checked within 1 %.
    """
    limit = mixture(LINE).mean()
    assert objective_on_a_line(1e-3, delta) == pytest.approx(limit, abs=1e-6)
    errors = [objective_on_a_line(tau, delta) - limit for tau in (0.04, 0.02)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.01)
    assert abs(errors[0]) > 1e-5


CASES = [(dim, p, delta) for dim in (1, 2, 3, 6) for p in (1.0, 2.0, 4.0) for delta in (0.5, 0.9)]


@pytest.mark.parametrize(("dim", "p", "delta"), CASES)
def test_closed_form_of_the_weights(dim, p, delta):
    """Erratum (docs/erratum.md): w_i holds 1 - delta^(d+1), not (1 - delta)^(d+1).

    The definition is integrated as it stands, over t and over the ball: a place x of the cube [-tau, tau]^d lies in
    the balls of radii max(delta tau, |x|_p) to tau.  Tolerance: 4 standard errors of 400,000 places, which are below
    a sixteenth of what the printed formula lacks.
    """
    tau = 0.7
    places = np.random.default_rng(5).uniform(-tau, tau, (DRAWS, dim))
    norms = (np.abs(places) ** p).sum(axis=1) ** (1 / p)
    inside = (2 * tau) ** dim * np.clip(tau - np.maximum(norms, delta * tau), 0, None)
    expected, printed = weight(tau, delta, dim, p), printed_weight(tau, delta, dim, p)
    agree(inside, expected, notice=expected - printed)
    assert expected / printed == pytest.approx((1 - delta ** (dim + 1)) / (1 - delta) ** (dim + 1))


def test_lemma_4_fails_with_the_printed_weights():
    """With the printed w_i, L tends to (1 - delta^2) / (1 - delta)^2 times the mean density on a line: 19 times at
    delta = 0.9.  By quadrature; tolerance 1e-4, of which tau = 1e-3 uses a hundredth.
    """
    assert objective_on_a_line(1e-3, 0.9, printed_weight) / mixture(LINE).mean() == pytest.approx(19, rel=1e-4)


# Equation 4 and vanilla IMLE ------------------------------------------------------------------------------------------


def imle(method: type[IMLE], **changes: object) -> IMLE:
    """Five images of 8 x 8 px, the pixel distance, pools of 15 candidates."""
    config = method.Config(
        blocks="4m1,8m4", width=8, latent_dim=6, mapping_depth=1, lpips_weight=0.0, mse_weight=1.0, search="exact",
        pool_factor=3.0, latent_perturbation=0.0, batch=2, **changes,
    )  # fmt: skip
    torch.manual_seed(0)
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return method(config, 8, 3, images, Streams(0, "theory", "imle", "full"))


def equation_4(method: IMLE, delta: float, tau: Tensor, weights: Tensor) -> Tensor:
    """sum_i 1/w_i max(min_j d(x_i, T(z_j)), delta tau_i) over the pool drawn last, as it is written."""
    pool = Latents.cat(list(method.search.pool.batches(method.search.count - 1, 5)))
    samples = method.generate(pool)
    d = (method.images[:, None] - samples).square().mean(dim=(2, 3, 4))
    return (torch.maximum(d.amin(dim=1), delta * tau) / weights).sum()


def gradient(method: IMLE, loss: Tensor) -> Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(method.decoder.parameters()))])


def test_equation_4_without_tightening_is_vanilla_imle():
    """With delta = 0 and equal weights, equation 4 and its gradient are those that vanilla IMLE's class descends: its
    loss is the mean over images, so n times it is the sum.

    The objective, not the schedule.  Tolerance: 1e-5 of the gradient's norm, float32 rounding of a differently ordered
    sum; delta = 0.9 at these thresholds, or unequal weights, changes it by over 10 %.
    """
    method = imle(VanillaIMLE)
    method.initialise()
    n = len(method.images)
    tau, equal = method.current_distance(method.everyone) * 1.2, torch.ones(n)
    vanilla = n * method.sample_distance(method.everyone).mean()
    expected = gradient(method, vanilla)

    loss = equation_4(method, 0.0, tau, equal)
    assert loss.item() == pytest.approx(vanilla.item(), rel=1e-5)
    assert torch.linalg.vector_norm(gradient(method, loss) - expected) < 1e-5 * torch.linalg.vector_norm(expected)

    for delta, weights in ((0.9, equal), (0.0, torch.linspace(0.5, 1.5, n))):
        other = gradient(method, equation_4(method, delta, tau, weights))
        assert torch.linalg.vector_norm(other - expected) > 0.1 * torch.linalg.vector_norm(expected)

"""LPIPS backtracking: how well can a frozen generator reconstruct images that it was not trained on?

The idea is that of Liu et al. 2021 (arXiv:2101.04775), section 4.3; the default protocol is this benchmark's own: a
generator trained on 90 % of a dataset; for each image of the other 10 %, R latent codes drawn from the prior and moved
by Adam; the score is the LPIPS of the best restart at its best step, lower is better.  For every method, only the
latent code z is optimised and the generator's other noise is fixed: otherwise a generator with tens of thousands of
noise values could not be compared with one that has only 256 latent values.  Variants are protocols of other names;
`fastgan` has the settings of the script that Liu et al. released.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from common.console import Progress, UserError
from methods.api import Latents, Method
from metrics.perceptual import enlarged
from networks.lpips import LPIPS, SMALLEST
from training.protocols import Backtracking, check_side


@dataclass(frozen=True)
class Backtracked:
    """Per target: what the best of the restarts reached.  All tensors are on the CPU.

    reconstruction: (k, C, H, W), nominally in [-1, 1].
    score: (k,) LPIPS.
    start: (k,) the lowest LPIPS of the restarts before any step.
    pooled: (k,) LPIPS at half the resolution; None if that is too small, or if the protocol pools anyway.
    z_norm: (k,) |z| / sqrt(d), about 1 under the prior: a large learning rate moves z away from it.
    """

    reconstruction: Tensor
    score: Tensor
    start: Tensor
    pooled: Tensor | None
    z_norm: Tensor


class Distance:
    """LPIPS of pooled or enlarged images to fixed targets, whose features are computed once."""

    def __init__(self, lpips: LPIPS, protocol: Backtracking, targets: Tensor) -> None:
        self.lpips, self.protocol = lpips, protocol
        with torch.no_grad():
            self.targets = self._embed(targets)

    def __call__(self, images: Tensor) -> Tensor:
        return (self._embed(images) - self.targets).square().sum(dim=1)

    def _embed(self, images: Tensor) -> Tensor:
        if self.protocol.pool > 1:
            images = F.avg_pool2d(images, self.protocol.pool)
        return self.lpips.embed(enlarged(images, self.protocol.upsample))


def backtrack(
    method: Method, targets: Tensor, items: Sequence[int], lpips: LPIPS, protocol: Backtracking, batch: int = 32
) -> Backtracked:
    """Reconstruct `targets`, float32 (k, C, H, W) in [-1, 1] on the method's device.

    items: the targets' indices in the dataset.  The initial latents of a target depend only on its index and on the
    method's streams, and the loss of a latent does not depend on other latents.  So a score depends neither on other
    targets nor on `batch` (latents optimised at once, which limits memory), except for rounding, which steps amplify.

    Raises `UserError` if an image is too small for LPIPS or a score becomes NaN.
    """
    check_side(targets.shape[-1], protocol.net, protocol.upsample, protocol.pool)
    pairs = [(position, restart) for position in range(len(items)) for restart in range(protocol.restarts)]
    start = Latents.cat([_prior(method, items[position], restart) for position, restart in pairs])
    mirrored = torch.stack([_coins(method, items[position], restart, protocol) for position, restart in pairs])
    owner = torch.tensor([position for position, _ in pairs], device=targets.device)

    descents = []
    with Progress(protocol.steps * -(-len(pairs) // batch), f"backtrack {method.name}") as progress:
        for latents, own, mirror in zip(start.chunks(batch), owner.split(batch), mirrored.split(batch), strict=True):
            descents.append(_descend(method, latents, targets[own], mirror, lpips, protocol, progress))
    best = torch.cat([descent.score for descent in descents]).view(-1, protocol.restarts).argmin(dim=1)
    chosen = best + torch.arange(len(items), device=best.device) * protocol.restarts
    before = torch.cat([descent.start for descent in descents]).view(-1, protocol.restarts).amin(dim=1)
    found = Latents.cat([descent.latents for descent in descents])[chosen]
    last = mirrored[chosen.cpu(), -1].to(targets.device)
    return _measure(method, found, mirror_some(targets, last), before, lpips, protocol, batch)


def _coins(method: Method, item: int, restart: int, protocol: Backtracking) -> Tensor:
    """(steps + 2,): is the target mirrored at each step, and when it is scored?"""
    generator = method.streams.generator(f"mirroring of image {item}", restart)
    return torch.rand(protocol.steps + 2, generator=generator) < (0.5 if protocol.flip else 0.0)


def mirror_some(images: Tensor, chosen: Tensor) -> Tensor:
    """The chosen (n,) ones of images (n, C, H, W) are mirrored."""
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(3), images)


def _prior(method: Method, item: int, restart: int) -> Latents:
    return method.latents(1, method.streams.generator(f"backtracking of image {item}", restart))


@dataclass(frozen=True)
class _Descent:
    """Per latent: its best value, its LPIPS there (n,), and its LPIPS before any step (n,)."""

    latents: Latents
    score: Tensor
    start: Tensor


def _descend(
    method: Method,
    latents: Latents,
    targets: Tensor,
    mirrored: Tensor,
    lpips: LPIPS,
    protocol: Backtracking,
    progress: Progress,
) -> _Descent:
    """Minimise LPIPS + mse_weight * MSE from each of `latents` to its own target, (n, C, H, W).

    mirrored: (n, steps + 1 or more), whether the target is mirrored at each step.
    """
    mirrored = mirrored.to(targets.device)
    plain = Distance(lpips, protocol, targets)
    other = Distance(lpips, protocol, targets.flip(3)) if protocol.flip else plain
    z = latents.z.detach().clone().requires_grad_()
    noise = latents.noise
    if protocol.optimise == "z+noise":
        noise = {name: value.detach().clone().requires_grad_() for name, value in noise.items()}
    current = Latents(z, noise)
    moving = [tensor for tensor in (z, *noise.values()) if tensor.requires_grad]
    optimiser = torch.optim.Adam(moving, lr=protocol.learning_rate, betas=(0.5, 0.999))
    best, scores = _copy(current), torch.full((len(latents),), torch.inf, device=z.device)
    start = scores

    for step in range(protocol.steps + 1):
        images = method.generate(current)
        mirror = mirrored[:, step]
        score = torch.where(mirror, other(images), plain(images)) if protocol.flip else plain(images)
        if not torch.isfinite(score).all():
            raise UserError(
                f"backtracking through {method.name} reached NaN at step {step}: look at the run's samples, "
                "or lower metrics.backtracking.learning_rate"
            )
        start = score.detach() if step == 0 else start
        better = score.detach() < scores
        scores = torch.where(better, score.detach(), scores)
        _assign(best, current, better)
        if step == protocol.steps:
            break
        # Sums of per-image terms: the gradient of an image does not depend on the size of the batch.
        pixels = (images - mirror_some(targets, mirror)).square().mean(dim=(1, 2, 3))
        loss = score.sum() + protocol.mse_weight * pixels.sum()
        optimiser.zero_grad()
        loss.backward(inputs=moving)
        optimiser.step()
        progress.advance(note=f"LPIPS {scores.mean():.3f}")
    return _Descent(best, scores, start)


def _copy(latents: Latents) -> Latents:
    return Latents(latents.z.detach().clone(), {name: value.detach().clone() for name, value in latents.noise.items()})


def _assign(best: Latents, current: Latents, where: Tensor) -> None:
    with torch.no_grad():
        best.z[where] = current.z[where]
        for name, value in current.noise.items():
            best.noise[name][where] = value[where]


@torch.no_grad()
def _measure(
    method: Method, found: Latents, targets: Tensor, start: Tensor, lpips: LPIPS, protocol: Backtracking, batch: int
) -> Backtracked:
    """Generate the reconstructions again and score these images, so that images and scores agree."""
    images = torch.cat([method.generate(piece) for piece in found.chunks(batch)])

    def score(x: Tensor, y: Tensor) -> Tensor:
        pieces = zip(x.split(batch), y.split(batch), strict=True)
        return torch.cat([Distance(lpips, protocol, b)(a) for a, b in pieces]).cpu()

    pooled = None
    if protocol.pool == 1 and targets.shape[-1] // 2 * protocol.upsample >= SMALLEST[protocol.net]:
        pooled = score(F.avg_pool2d(images, 2), F.avg_pool2d(targets, 2))
    z_norm = found.z.flatten(1).norm(dim=1) / found.z[0].numel() ** 0.5
    return Backtracked(images.cpu(), score(images, targets), start.cpu(), pooled, z_norm.cpu())


def rows(result: Backtracked, items: Sequence[int], protocol: Backtracking) -> list[dict[str, Any]]:
    """Means over the targets, then one row per target, as rows of a metrics file."""
    means = {
        "lpips_backtracking": result.score,
        "lpips_backtracking_pooled": result.pooled,
        "lpips_backtracking_start": result.start,
        "z_norm": result.z_norm,
    }
    common = {"protocol": str(protocol)}
    summary = [
        {"metric": name, "value": float(values.double().mean()), **common, "n": len(items)}
        for name, values in means.items()
        if values is not None
    ]
    single = [
        {"metric": "lpips_backtracking_image", "value": float(score), **common, "item": int(item)}
        for item, score in zip(items, result.score, strict=True)
    ]
    return summary + single

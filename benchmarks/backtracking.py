"""LPIPS backtracking: all images and restarts in one batch, against image after image."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from benchmarks.harness import Benchmark
from methods.api import Method

STEPS = 5
Case = tuple[Method, Tensor, list[int]]


def case(name: str) -> Case:
    """A method of the demo, untrained, and the images that its train90 run would be judged by."""
    from data.load import load
    from methods.api import to_float
    from training.config import load_config, run_settings
    from training.loop import build

    settings = run_settings(load_config("demo"), "openmoji_faces", name, 0, "train90")
    images, _ = load("openmoji_faces", settings["resolution"], "train90")
    targets, manifest = load("openmoji_faces", settings["resolution"], "heldout")
    method = build(settings, images, torch.device("cpu"))
    method.sampler().eval()
    return method, to_float(torch.from_numpy(targets)), manifest["split"]["heldout"]


def scores(given: Case, batch: int) -> Tensor:
    """Scores (k,) at the demo's protocol with fewer steps.  batch: latent codes at a time."""
    from metrics.protocols import Backtracking

    from metrics.lpips_backtracking import LPIPS, backtrack

    method, targets, items = given
    protocol = Backtracking(net="alex", upsample=2, steps=STEPS)
    return backtrack(method, targets, items, LPIPS("alex"), protocol, batch).score


def same_scores(ours: Tensor, theirs: Tensor) -> None:
    """Within 1e-3: steps amplify the rounding of sums over batches of another size."""
    assert (ours - theirs).abs().max() < 1e-3, (ours, theirs)


BENCHMARKS = [
    Benchmark(
        f"backtracking_{name}",
        "one image and restart at a time",
        partial(case, name),
        partial(scores, batch=32),
        partial(scores, batch=1),
        same_scores,
    )
    for name in ("adaptive_imle", "fastgan", "mixdl")
]

"""How long a training step, a sample, a step of backtracking and an image's features take on this machine.

Timed on the real classes at their real size, untrained, with random images, so that nothing needs to be fetched first.
On a CPU seconds are those of one core (CPU time), which other processes on the machine do not lengthen.
Call these functions through `in_child`: they leave random weights behind.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from itertools import count, repeat
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.console import UserError, say
from data.load import dataset_info
from methods.api import Latents, Method
from methods.provenance import peak_memory_mb
from methods.sample import CHUNK
from methods.settings import method_config
from methods.train import build
from metrics import perceptual
from metrics.features import load_network, resize_8bit, resize_clean
from metrics.lpips_backtracking import Distance
from metrics.protocols import Backtracking
from metrics.weights import load_tensors

BUDGET = 10.0  # seconds after which no further training step is begun
MOST_STEPS = 16  # one cycle of MixDL's regularisers
# Algorithm 1 draws a pool whenever the distance of an image has fallen by delta.  How far it will fall is not known.
FALL = 20.0
RIPE = 0.5  # the released schedule measures this share of the images in an epoch, to see whether they are due
CONVOLUTIONS = {  # width and kernel
    "lpips_alex": [(64, 11), (192, 5), (384, 3), (256, 3), (256, 3)],
    "lpips_vgg": [(64, 3)] * 2 + [(128, 3)] * 2 + [(256, 3)] * 3 + [(512, 3)] * 6,
}

Timing = dict[str, float]  # "seconds" of one repetition, and how many "repetitions" were timed


def in_child(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Call in a process of its own, whose peak of memory is its own and ends nothing else if it is too high.

    Raises `UserError` if there was not enough memory.
    """
    # CUDA does not survive a fork, which saves a CPU the imports.
    context = get_context("spawn" if torch.cuda.is_available() else "fork")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except (BrokenProcessPool, MemoryError, torch.OutOfMemoryError):
            raise UserError("needs more memory than this machine has") from None


def time_method(run: dict[str, Any], device: str, backtracking: dict[str, Any] | None = None) -> dict[str, Any]:
    """run: as from `run_settings`; backtracking: the protocol, or None to time no more than the training.

    Returns timings ("step", "searched", "sample", "backtracked": per step, image, image, latent and step), the bytes
    of the model and of the state, the peak of memory in MB, and notes on what was timed in another way.
    """
    torch.set_num_threads(min(run["threads"], len(os.sched_getaffinity(0))))
    notes = use_random_weights()
    batch = getattr(method_config(run["method"], run["config"]), "batch", 8)
    # Two batches: mini-batches are full, and the second does not begin an epoch.
    images = np.random.default_rng(0).integers(0, 256, (2 * batch, *[run["resolution"]] * 2, 3), np.uint8)
    method = build(run, images, torch.device(device))
    imle = hasattr(method, "pool")
    if imle:
        _ = method.targets.cached  # embedded once in a run
        if method.config.search == "projected":
            notes.append("timed without the projection of `search: projected`, which takes 9.3 GiB more at 256 px")
        if getattr(method.config, "schedule", None) == "paper":
            notes.append(f"assumed: distances fall to 1/{FALL:g} of the first ones (Algorithm 1 searches as they do)")
    # IMLE: no step that begins an epoch, since `searched_images` counts the searches.  GANs: any but step 0, where all
    # the regularisers fall due.
    steps = repeat(1) if imle else count(2)
    found: dict[str, Any] = {"step": timed(lambda: method.train_step(next(steps)), method.device, MOST_STEPS, BUDGET)}
    if imle:
        most = method.config.pool_batch
        found["searched"] = per_image(lambda n: method.distance.embed(draw(method, n)), most, method)
    if backtracking:
        found["sample"] = per_image(lambda n: draw(method, n), CHUNK, method)
        if method.backtracks:
            found["backtracked"] = time_backtracking(method, Backtracking.parse(backtracking))
    sizes = {"model_bytes": size_of(method.sampler().state_dict()), "state_bytes": size_of(method.state_dict())}
    return found | sizes | {"peak_memory_mb": peak_memory_mb(method.device), "notes": notes}


def time_features(network: str, resolution: int, device: str) -> dict[str, Any]:
    """A feature network with the resizing that belongs to it: "feature" per image, memory and notes as above."""
    torch.set_num_threads(1)
    notes: list[str] = []
    try:
        model, resize = load_network(network)
    except UserError:
        notes.append(f"{network} is not fetched: timed with random weights")
        model, resize = random_network(network)
    model = model.eval().to(device)
    images = np.random.default_rng(0).integers(0, 256, (8, resolution, resolution, 3), np.uint8)

    def extract() -> None:
        resized = torch.from_numpy(np.stack([resize(image) for image in images])).permute(0, 3, 1, 2)
        model(resized.to(device, memory_format=torch.channels_last))

    with torch.inference_mode():
        batch = timed(extract, torch.device(device))
    feature = {"seconds": batch["seconds"] / len(images), "repetitions": batch["repetitions"] * len(images)}
    return {"feature": feature, "peak_memory_mb": peak_memory_mb(torch.device(device)), "notes": notes}


def searched_images(run: dict[str, Any], n: int) -> int:
    """Images that a run of the IMLE family on n images generates only to look at: candidates, threshold checks."""
    config = method_config(run["method"], run["config"])
    if not hasattr(config, "pool_factor"):
        return 0
    epochs, checks = run["steps"] / math.ceil(n / config.batch), 0.0
    schedule = getattr(config, "schedule", None)
    if schedule == "paper":  # here every point that is due has a pool of its own
        assignments = n * math.log(FALL) / -math.log(config.delta)
        pools = 1 + min(run["steps"], assignments)
    else:
        pools = epochs / (config.staleness if schedule == "official" else config.reassign_every)
        assignments = n * math.ceil(pools)
    if schedule == "official" and config.measure == "anew":
        checks = RIPE * n * epochs
    size = config.pool_size or int(config.pool_factor * n)
    if config.search == "lazy":
        return int(size + assignments * (config.lazy_renewed + config.lazy_shortlist) + checks)
    return int(math.ceil(pools) * size + checks)


def training_seconds(run: dict[str, Any], n: int, measured: dict[str, Any]) -> float:
    """Of a whole run on n images: of one core on a CPU, else of the GPU."""
    searched = searched_images(run, n)
    return run["steps"] * measured["step"]["seconds"] + (searched and searched * measured["searched"]["seconds"])


def refusal(run: dict[str, Any]) -> str:
    """Why a run that needs a GPU does not begin on a CPU: what it would take, and what can be done instead."""
    say(f"no GPU: timing {run['method']} on this CPU, up to a minute")
    try:
        measured = in_child(time_method, run | {"threads": 1}, "cpu")  # several would spend CPU time on waiting
        hours = training_seconds(run, dataset_info(run["dataset"]).count, measured) / 3600
        estimate = f"would take about {hours:,.0f} CPU-hours ({measured['step']['seconds']:.2g} s per step)"
    except UserError as error:
        estimate = str(error)
    return (
        f"training.require_gpu is set and there is no GPU: on this CPU, {run['method']} on {run['dataset']} alone "
        f"{estimate}; `snakemake --cores 1 plan` adds up the whole preset; for a run that fits a CPU: "
        "snakemake --cores all --configfile config/demo.yaml"
    )


def timed(work: Callable[[], object], device: torch.device, most: int = 1, budget: float = 2.0) -> Timing:
    """Mean of up to `most` repetitions begun within the budget.  The first warms up, and counts only if it is alone."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    spent: list[float] = []
    while not spent or (len(spent) <= most and sum(spent) < budget):
        began = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        spent.append(clock() - began)
    kept = spent[1:] or spent
    return {"seconds": sum(kept) / len(kept), "repetitions": len(kept)}


def per_image(work: Callable[[int], object], most: int, method: Method) -> Timing:
    """`work(n)` per image, where n is at most `most` and as many as take about a second."""
    alone = timed(lambda: work(1), method.device)
    n = min(most, int(1 / alone["seconds"]))
    if n < 2:
        return alone
    batch = timed(lambda: work(n), method.device)
    return {"seconds": batch["seconds"] / n, "repetitions": batch["repetitions"] * n}


@torch.no_grad()
def draw(method: Method, n: int) -> Tensor:
    return method.generate(method.latents(n, torch.Generator()))


def time_backtracking(method: Method, protocol: Backtracking) -> Timing:
    """A generation, its LPIPS and the gradient in z."""
    distance = Distance(perceptual.LPIPS(protocol.net).to(method.device), protocol.upsample, method.images[:1])

    def descend(n: int) -> None:
        latents = method.latents(n, torch.Generator())
        z = latents.z.requires_grad_()
        distance(method.generate(Latents(z, latents.noise))).sum().backward(inputs=[z])

    return per_image(descend, 32, method)  # the batch of `python -m metrics backtrack`


def size_of(tree: Any) -> int:
    """Bytes of all tensors of a nested state."""
    if isinstance(tree, Tensor):
        return tree.numel() * tree.element_size()
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return sum(map(size_of, parts))


def use_random_weights() -> list[str]:
    """From here on LPIPS has random weights where its own were not fetched; returns the list of notes that say so."""
    notes: list[str] = []

    def load(name: str, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        try:
            return load_tensors(name, device)
        except UserError:
            notes.append(f"{name} is not fetched: timed with random weights")
            return random_lpips(name)

    perceptual.load_tensors = load
    return notes


def random_lpips(name: str) -> dict[str, Tensor]:
    tensors = {f"lin{index}": torch.ones(1) for index in range(5)}
    channels = 3
    for index, (width, side) in enumerate(CONVOLUTIONS[name]):
        tensors[f"conv{index}.weight"] = torch.randn(width, channels, side, side) / (channels * side**2) ** 0.5
        tensors[f"conv{index}.bias"] = torch.zeros(width)
        channels = width
    return tensors


def random_network(network: str) -> tuple[nn.Module, Callable[[Any], Any]]:
    """torchvision's untrained network of the same layers."""
    import_module("metrics.torchvision_compat")  # before torchvision
    from torchvision import models

    if network == "inception":
        return models.inception_v3(weights=None, init_weights=False), resize_clean
    return models.vgg16(weights=None, init_weights=False), resize_8bit

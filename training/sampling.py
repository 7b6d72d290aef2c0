"""Draw the samples of a finished run: the images that every metric and figure uses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from common.console import Progress, UserError
from common.files import atomic_path, read_sealed
from common.hashing import sha256_file
from methods.api import Latents, Method, to_uint8
from methods.conditional import ConditionalMethod
from training.device import memory_advice
from training.identity import recorded_run, sources_hash
from training.inputs import hash_of, new_method, training_set
from training.protocols import RUN_KEYS

CHUNK = 50  # latents drawn and images generated at a time; part of the protocol, because it determines the draws


def load_run(folder: Path, device: torch.device, weights: str = "model.safetensors") -> Method:
    """The trained method of a run folder, ready to generate.  weights: those of the last step or of a checkpoint.

    Raises `UserError` if the run is unfinished or damaged, or if the method's sources or the data changed since.
    """
    record = read_sealed(folder / "run.json")
    run = recorded_run(record)
    data, _ = training_set(run)
    changed = [
        what
        for what, now, then in (
            ("the dataset", hash_of(data), record["data_hash"]),
            (f"the source of {run.method}", sources_hash(run.method), record["sources_hash"]),
        )
        if now != then
    ]
    if changed:
        raise UserError(f"{' and '.join(changed)} changed since {folder} was trained; run snakemake to train it again")
    model, expected = folder / weights, record["files"][weights]
    if (actual := sha256_file(model)) != expected:
        raise UserError(f"{model} has sha256 {actual}, but {expected} was trained; delete {folder} and run again")
    method = new_method(run, data, device)
    method.sampler().load_state_dict(load_file(model, device=str(device)))
    method.sampler().eval()
    return method


def sample(run_folder: Path, out: Path, n: int, rows: int, steps: int, device: torch.device, threads: int) -> None:
    """Write n samples, and `rows` latent interpolations of `steps` images, as one .npz."""
    torch.set_num_threads(threads)
    run = read_sealed(run_folder / "run.json")
    advice = "give the job more memory or let fewer jobs run at once (training.runs_per_gpu, --cores)"
    with memory_advice(f"sampling {run_folder}", advice):
        method = load_run(run_folder, device)
        if isinstance(method, ConditionalMethod):
            raise UserError(
                f"{run_folder} is a run of {method.name}, which draws at conditions; run: python -m metrics.answers"
            )
        arrays: dict[str, np.ndarray] = {"images": draw(method, n, run["method"])}
        if method.backtracks:
            arrays["interpolation"] = interpolate(method, rows, steps)
    meta = {key: run[key] for key in ("preset", *RUN_KEYS)}
    meta |= {
        "sources_hash": run["sources_hash"],
        "model_sha256": run["files"]["model.safetensors"],
        "exhausted": not method.trains and len(arrays["images"]) < n,  # the real-images control has fewer
    }
    with atomic_path(out) as temporary:
        np.savez(temporary, allow_pickle=False, meta=np.array(json.dumps(meta)), **arrays)


@torch.no_grad()
def draw(method: Method, n: int, label: str) -> np.ndarray:
    """n samples, uint8 (n, H, W, 3); fewer if the method has fewer (`control_real`)."""
    chunk = CHUNK if method.trains else n  # a control draws without replacement, so all at once
    pieces = []
    with Progress(n, f"sample {label}") as progress:
        for index, start in enumerate(range(0, n, chunk)):
            latents = method.latents(min(chunk, n - start), method.streams.generator("sample", index))
            pieces += [to_uint8(method.generate(part)).numpy() for part in latents.chunks(CHUNK)]
            progress.advance(len(latents))
    return np.concatenate(pieces)


@torch.no_grad()
def interpolate(method: Method, rows: int, steps: int) -> np.ndarray:
    """Section 5.2: images along straight lines between latent codes, uint8 (rows, steps, H, W, 3).

    The noise is that of the first end, so only z changes.
    """
    images = []
    for row in range(rows):
        ends = method.latents(2, method.streams.generator("interpolation", row))
        weights = torch.linspace(0, 1, steps, device=method.device).unsqueeze(1)
        z = torch.lerp(ends.z[:1], ends.z[1:], weights)
        path = Latents(z, {name: value[:1].expand(steps, *value.shape[1:]) for name, value in ends.noise.items()})
        images.append(to_uint8(method.generate(path)).numpy())
    return np.stack(images)

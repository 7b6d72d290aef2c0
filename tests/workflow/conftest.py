"""A whole made-up benchmark on disk: 2 datasets, 4 methods, 2 controls, external samples and real halves, 2 seeds."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from common.files import write_sealed
from metrics.diversity import pixel_rows
from tests.prepared import write_prepared
from training.identity import config_hash, recorded_run, run_hash, sources_hash
from workflow.rendering import pictures, report, tables
from workflow.rendering.results import Results

RESOLUTION, N_REAL, N_HELD_OUT, N_FAKE = 32, 40, 6, 24
DATASETS = ("dots", "rings")
METHODS = ("adaptive_imle", "vanilla_imle", "fastgan", "mixdl")
CONTROLS = ("control_real", "control_noise")
EXTERNAL = ("fake_clr",)
BACKTRACKING = "lpips-alex-x2-s50-r3"
SPLIT = {"train": list(range(N_REAL - N_HELD_OUT)), "heldout": list(range(N_REAL - N_HELD_OUT, N_REAL))}
ATTRIBUTION = "Dots: drawn by the OpenDots project (https://dots.example), CC BY-SA 4.0"
NO_90 = "not trained on 90% in this preset & others"
# Per method: FID, precision, recall, LPIPS of seed 0 on the first dataset; seed 1 adds 2 to FID and 0.02 elsewhere.
NUMBERS = {
    "adaptive_imle": (80.0, 0.90, 0.70, 0.300),
    "vanilla_imle": (95.0, 0.90, 0.50, 0.350),
    "fastgan": (110.0, 0.95, 0.20, 0.450),
    "mixdl": (105.0, 0.85, 0.30, 0.400),
    "fake_clr": (120.0, 0.60, 0.10, None),
    "control_real": (0.0, 1.00, 1.00, None),
    "control_noise": (450.0, 0.00, 0.00, None),
}


def config(**changes: Any) -> dict[str, Any]:
    """A preset as config.json holds it."""
    skip = [{"dataset": "rings", "method": name, "reason": "left out"} for name in ("mixdl", "fastgan")]
    return {
        "preset": "demo",
        "resolution": RESOLUTION,
        "datasets": list(DATASETS),
        "seeds": [0, 1],
        "methods": {**{name: {"steps": 1500} for name in METHODS}, **{name: {} for name in CONTROLS}},
        "skip": [*skip, {"dataset": "rings", "split": "train90", "reason": NO_90}],
        "sampling": {"n": N_FAKE},
        "metrics": {
            "precision_recall": ["inception-k5-n24"],
            "backtracking": {"net": "alex", "upsample": 2, "steps": 50, "restarts": 3},
        },
        "tables": {"ablation_datasets": list(DATASETS)},
        "command": "snakemake --cores 2 --configfile config/demo.yaml",
        **changes,
    }


def metrics() -> pd.DataFrame:
    """The tidy metrics: rings has no 90% runs and no FastGAN or MixDL; its other numbers are the dots' plus 10%."""
    lines = []
    for dataset in DATASETS:
        factor = 1.0 if dataset == "dots" else 1.1
        lines.append(_line(dataset, "floor", 0, "fid", 22.0 * factor, "inception-clean", 20, 20))
        for method, (fid, precision, recall, lpips) in NUMBERS.items():
            if dataset == "rings" and method in ("fastgan", "mixdl"):
                continue
            n_fake = N_REAL if method == "control_real" else N_FAKE
            for seed in (0,) if method in EXTERNAL else (0, 1):
                for metric, value, protocol in (
                    ("fid", fid * factor + 2 * seed, "inception-clean"),
                    ("kid", fid * factor / 1000, "inception-clean-s100"),
                    ("precision", precision - 0.02 * seed * (precision > 0), "inception-k5-n24"),
                    ("recall", recall / factor - 0.02 * seed * (recall > 0), "inception-k5-n24"),
                ):
                    lines.append(_line(dataset, method, seed, metric, value, protocol, N_REAL, n_fake))
                if lpips is not None and dataset == "dots":
                    lines += _backtracking_lines(dataset, method, seed, lpips)
    return pd.DataFrame(lines)


def _line(
    dataset: str, method: str, seed: int, metric: str, value: float, protocol: str,
    n_real: int | None, n_fake: int | None, split: str = "full", item: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "preset": "demo", "dataset": dataset, "method": method, "split": split, "seed": seed, "metric": metric,
        "value": value, "protocol": protocol, "n_real": n_real, "n_fake": n_fake,
        "steps": 1500 if method in METHODS else None, "item": item, "n": None,
        "run_hash": run_record(dataset, method)["run_hash"] if (seed, split) == (0, "full") else "0f3a",
    }  # fmt: skip


def _backtracking_lines(dataset: str, method: str, seed: int, lpips: float) -> list[dict[str, Any]]:
    scores = lpips + 0.02 * seed + np.linspace(-0.05, 0.05, N_HELD_OUT)
    common = (dataset, method, seed)
    lines = [_line(*common, "lpips_backtracking", scores.mean(), BACKTRACKING, None, None, split="train90")]
    for item, score in enumerate(scores):
        lines.append(_line(*common, "lpips_backtracking_image", score, BACKTRACKING, None, None, "train90", 34 + item))
    return lines


def write_benchmark(root: Path) -> None:
    """Everything below `root`: results/ and prepared/ as the pipeline leaves them."""
    results, rng = root / "results", np.random.default_rng(7)
    for index, dataset in enumerate(DATASETS):
        real = np.random.default_rng(index).integers(0, 256, (N_REAL, RESOLUTION, RESOLUTION, 3), np.uint8)
        rights = {"licence": "MIT"} if index else {"licence": "CC BY-SA 4.0", "attribution": ATTRIBUTION}
        keys = {"dataset": dataset, "title": dataset, "resolution": RESOLUTION, "count": N_REAL, "shareable": True}
        write_prepared(root / "prepared" / dataset, real, **keys, **rights, split=SPLIT)
        for offset, method in enumerate([*METHODS, *EXTERNAL]):
            if index == 1 and method in ("fastgan", "mixdl"):
                continue
            fake = np.clip(
                real[rng.permutation(N_REAL)[:N_FAKE]] + rng.normal(0, 12 + 6 * offset, (N_FAKE, 32, 32, 3)), 0, 255
            )
            _write_samples(results, dataset, method, fake.astype(np.uint8), real)
            if method in METHODS:
                _write_run(results, dataset, method, offset)
        if index == 0:
            _write_backtracking(results, dataset, real[-N_HELD_OUT:], rng)
    metrics().to_csv(results / "metrics.csv", index=False)
    (results / "config.json").write_text(json.dumps(config()))


def _write_samples(results: Path, dataset: str, method: str, fake: np.ndarray, real: np.ndarray) -> None:
    folder = results / "samples" / dataset / method
    folder.mkdir(parents=True)
    arrays = {"images": fake, "meta": np.array(json.dumps({"n": len(fake)}))}
    if method in METHODS:
        weight = np.linspace(0, 1, 8)[None, :, None, None, None]
        arrays["interpolation"] = ((1 - weight) * real[:3, None] + weight * real[3:6, None]).astype(np.uint8)
    np.savez(folder / "seed0.npz", **arrays)
    measured = results / "metrics" / dataset / method / "seed0"
    measured.mkdir(parents=True)
    np.savez(measured / "diversity.npz", **pixel_rows(real, fake)[1])


def _write_run(results: Path, dataset: str, method: str, offset: int) -> None:
    folder = results / "runs" / dataset / method / "seed0" / "full"
    folder.mkdir(parents=True)
    steps = np.arange(10, 1510, 10)
    noise = np.random.default_rng(offset).uniform(0.9, 1.1, len(steps))
    loss = noise * (0.2 + np.exp(-steps / 400) * (1 + offset)) * len(dataset) / 4
    history = {"step": steps, "seconds": steps / 17, "loss": loss}
    if method == "fastgan":
        history = {**history, "d_loss": np.sin(steps / 80), "reconstruction": 90 * np.exp(-steps / 200) + 0.5}
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    write_sealed(folder / "run.json", run_record(dataset, method, 88.4 + offset))


def run_record(dataset: str, method: str, seconds: float = 0.0) -> dict[str, Any]:
    """The run.json of seed 0; the sources of MixDL alone are the present ones."""
    record = {
        "version": "0.4.0", "preset": "demo", "dataset": dataset, "method": method, "seed": 0, "split": "full",
        "steps": 1500, "resolution": 32, "threads": 1, "config": {"perceptual": "alex"} if method == "fastgan" else {},
        "data_hash": "da7a" * 16, "device": "cpu",
        "sources_hash": sources_hash(method) if method == "mixdl" else "50" * 32,
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "git_dirty": method == "mixdl", "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "hardware": {"cpu": "AMD EPYC", "gpu": None, "threads": 1}, "seconds": seconds, "processor_seconds": seconds,
        "peak_memory_mb": 912.5, "mixed_devices": None,
        "started": "2025-11-21T20:00:00+00:00", "finished": "2025-11-21T20:01:28+00:00",
    }  # fmt: skip
    record["config_hash"] = config_hash(recorded_run(record))
    return {**record, "run_hash": run_hash(record)}


def _write_backtracking(results: Path, dataset: str, target: np.ndarray, rng: np.random.Generator) -> None:
    for method in METHODS:
        folder = results / "metrics" / dataset / method / "seed0"
        score = NUMBERS[method][3] + np.linspace(-0.05, 0.05, N_HELD_OUT)
        noise = rng.normal(0, 100 * score[:, None, None, None], target.shape)
        reconstruction = np.clip(target + noise, 0, 255).astype(np.uint8)
        index = np.arange(N_REAL - N_HELD_OUT, N_REAL)
        np.savez(folder / "backtracking.npz", target=target, reconstruction=reconstruction, score=score, index=index)


def open_at(root: Path) -> Results:
    return Results(root / "results", root / "prepared")


@pytest.fixture(scope="session")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the made-up benchmark; tests only read it."""
    root = tmp_path_factory.mktemp("benchmark")
    write_benchmark(root)
    return root


@pytest.fixture(scope="session")
def illustrated(benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with sheets of pictures and the page; tests only read it."""
    root = Path(shutil.copytree(benchmark, tmp_path_factory.mktemp("illustrated") / "benchmark"))
    pictures.draw(open_at(root), root / "results/pictures")
    (root / "results/report.html").write_text(report.page(open_at(root)))
    return root


def set_value(value: float, query: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """An edit of the metrics: `value` in every row that the query finds."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[frame.query(query).index, "value"] = value
        return frame

    return change


def without(query: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.drop(frame.query(query).index)


@pytest.fixture
def make(benchmark: Path, tmp_path: Path) -> Callable[..., Results]:
    """The made-up results after `edit` has changed metrics.csv, with some keys of the preset replaced."""

    def make(edit: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame, **changes: Any) -> Results:
        folder = Path(tempfile.mkdtemp(dir=tmp_path)) / "results"
        shutil.copytree(benchmark / "results", folder)
        edit(metrics()).to_csv(folder / "metrics.csv", index=False)
        (folder / "config.json").write_text(json.dumps(config(**changes)))
        return Results(folder, benchmark / "prepared")

    return make


@pytest.fixture
def build(make: Callable[..., Results]) -> Callable[..., tables.Table]:
    """Table `number` of such results."""
    return lambda number, *edit, **changes: tables.build(number, make(*edit, **changes))

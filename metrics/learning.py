"""Quality against training time: the metrics of a run's checkpoints, each on the same few samples.

A checkpoint's samples are those that the finished run would draw with these weights.  Runs on the full set get the
metrics of `metrics.evaluate` and `metrics.diversity`; runs on 90 % are backtracked.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.console import add_config, add_device, add_threads, run
from common.files import read_sealed, write_sealed
from common.hashing import derive_seed, sha256_file
from data.load import load
from metrics import diversity
from metrics.rows import Row
from training.config import Preset, read_preset
from training.protocols import RUN_KEYS
from training.sections import Metrics

if TYPE_CHECKING:
    import torch

    from networks.lpips import LPIPS

SAMPLES = 500  # at most: a checkpoint is measured on fewer samples than the finished run
EXAMPLES = """examples:
  python -m metrics.learning --config demo --run results/demo/runs/openmoji_faces/fastgan/seed0/full --out learning.json
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m metrics.learning",
        description="Measure the checkpoints of a finished run.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(parser)
    parser.add_argument("--run", type=Path, required=True, help="the run's folder")
    parser.add_argument("--out", type=Path, required=True, help="the file to write (.json)")
    add_threads(parser)
    add_device(parser)
    arguments = parser.parse_args()

    from threadpoolctl import threadpool_limits

    from training.device import measuring_device

    device = measuring_device(arguments.device, arguments.threads)
    with threadpool_limits(arguments.threads):
        measured = measure(arguments.run, read_preset(arguments.config), device)
    write_sealed(arguments.out, measured)


def measure(folder: Path, preset: Preset, device: torch.device) -> dict[str, Any]:
    """The content of a learning file: what was run, and `rows`, one for each checkpoint and metric.

    The last step is a checkpoint too.  Checkpoints that the preset does not ask for (any more) are left out.  Raises
    `UserError` as `training.sampling.load_run` does, and if the run lacks a checkpoint of the preset.
    """
    from networks.lpips import LPIPS
    from training.checkpoint import check_checkpoints, checkpoint_steps
    from training.sampling import load_run

    record = read_sealed(folder / "run.json")
    check_checkpoints(record, folder, preset.training.checkpoints)
    seconds = {key: record[key] for key in ("seconds", "processor_seconds")}
    asked = checkpoint_steps(record["steps"], preset.training.checkpoints)
    checkpoints = [checkpoint for checkpoint in record["checkpoints"] if checkpoint["step"] in asked]
    checkpoints.append({"step": record["steps"], **seconds, "file": "model.safetensors"})
    measured_by = Checkpoints(record, preset, LPIPS(preset.metrics.backtracking.net).to(device), device)
    rows = []
    for checkpoint in checkpoints:
        method = load_run(folder, device, checkpoint["file"])
        when = {key: checkpoint[key] for key in ("step", "seconds", "processor_seconds")}
        rows += [when | row for row in measured_by.rows(method)]
    files = [str(folder / checkpoint["file"]) for checkpoint in checkpoints]
    inputs = {file: sha256_file(Path(file)) for file in files}
    return {"preset": preset.preset, **{key: record[key] for key in RUN_KEYS}, "rows": rows, "inputs": inputs}


class Checkpoints:
    """Measures methods that have the weights of one run's checkpoints."""

    def __init__(self, record: dict[str, Any], preset: Preset, lpips: LPIPS, device: torch.device) -> None:
        self.record, self.lpips, self.device = record, lpips, device
        self.n = min(SAMPLES, preset.sampling.n)
        self.settings = limited(preset.metrics, self.n)
        part = "full" if record["split"] == "full" else "heldout"
        self.images, self.manifest = load(record["dataset"], record["resolution"], part)
        self.real = diversity.extracted(self.images, self.settings, device) if part == "full" else None

    def rows(self, method: Any) -> list[Row]:
        return self.backtracked(method) if self.real is None else self.sampled(method, self.real)

    def sampled(self, method: Any, real: diversity.ImageSet) -> list[Row]:
        """FID, KID, precision, recall, copies and diversity of the first samples."""
        from training.sampling import draw

        fake = diversity.extracted(draw(method, self.n, self.record["method"]), self.settings, self.device)
        seed = derive_seed(self.record["seed"], self.record["dataset"], self.record["method"], "learning")
        return diversity.all_rows(real, fake, self.settings, self.lpips, np.random.default_rng(seed), seed)

    def backtracked(self, method: Any) -> list[Row]:
        """The mean over held-out images."""
        import torch

        from methods.api import to_float
        from metrics.lpips_backtracking import backtrack, rows

        protocol, items = self.settings.backtracking, self.manifest["split"]["heldout"]
        targets = to_float(torch.from_numpy(self.images)).to(self.device)
        result = backtrack(method, targets, items, self.lpips, protocol)
        return [row for row in rows(result, items, protocol) if row["metric"] == "lpips_backtracking"]


def limited(settings: Metrics, n: int) -> Metrics:
    """The same metrics on at most n samples, without further networks."""
    protocols = [replace(protocol, n_fake=min(protocol.n_fake, n)) for protocol in settings.precision_recall]
    once = tuple(dict.fromkeys(protocols))
    return settings.model_copy(update={"precision_recall": once, "frechet": (), "sscd": False})


if __name__ == "__main__":
    run(main)

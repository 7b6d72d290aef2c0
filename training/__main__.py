"""Train methods, sample finished runs, and print what a preset trains."""

from __future__ import annotations

import argparse
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.console import UserError, add_config, add_device, add_threads, command, positive, run
from common.files import read_sealed
from training.config import Preset, RunConfig, read_preset
from training.registry import method_info
from training.sections import ALL_SPLITS

TRAIN_EXAMPLES = """examples:
  python -m training train --config demo --method adaptive_imle --dataset openmoji_faces
  python -m training train --config demo --method fastgan --dataset openmoji_faces --split train90 --device cpu
  python -m training train --config paper --method mixdl --dataset panda --out runs/mixdl

A run resumes by itself from state/<run hash>/.  Ctrl-C, SIGTERM and a closed terminal save the state.
"""
SAMPLE_EXAMPLES = """examples:
  python -m training sample --run results/demo/runs/openmoji_faces/fastgan/seed0/full --out samples.npz -n 500
"""
DESCRIBE_EXAMPLES = """examples:
  python -m training describe --config paper
"""
PLAN_EXAMPLES = """examples:
  python -m training plan --config demo
  python -m training plan --config paper --device cuda
  python -m training plan --config tuning --minutes 4    for equal budgets: the steps that take 4 minutes
"""
PRUNE_EXAMPLES = """examples:
  python -m training prune --config demo             list saved states that the preset no longer asks for
  python -m training prune --config demo --delete    remove them
"""
SCHEDULE_KEYS = ("schedule", "batch", "optimizer", "learning_rate", "delta", "staleness", "reassign_every")


def main() -> None:
    arguments = _parser().parse_args()
    arguments.act(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    train = command(commands, "train", _train, "Train one method on one dataset.", TRAIN_EXAMPLES)
    add_config(train)
    train.add_argument(
        "--method", required=True, help="a row under `methods:` of the preset, such as fastgan or fastgan-wide"
    )
    train.add_argument("--dataset", required=True, help="a data set or a task that the preset lists")
    train.add_argument("--seed", type=int, default=0, help="(default: 0)")
    train.add_argument(
        "--split",
        choices=ALL_SPLITS,
        help="all images (full, the default), or the 90%% that backtracking needs; of a task: train, the only one",
    )
    train.add_argument("--out", type=Path, help="folder for the finished run (default: results/<preset>/runs/...)")
    train.add_argument("--state", type=Path, default=Path("state"), help="folder for resumable states (default: state)")
    add_device(train)

    sample = command(
        commands, "sample", _sample, "Draw samples and latent interpolations of a finished run.", SAMPLE_EXAMPLES
    )
    sample.add_argument("--run", type=Path, required=True, help="the run's folder")
    sample.add_argument("--out", type=Path, required=True, help="the .npz to write")
    sample.add_argument("-n", type=positive, default=5000, help="how many samples (default: 5000)")
    sample.add_argument("--rows", type=positive, default=3, help="interpolations (default: 3)")
    sample.add_argument("--steps", type=positive, default=8, help="images per interpolation (default: 8)")
    add_threads(sample)
    add_device(sample)

    describe = command(
        commands, "describe", _describe, "Print sizes and schedule of each method of a preset.", DESCRIBE_EXAMPLES
    )
    add_config(describe)

    plan = command(commands, "plan", _plan, "Estimate the hours of the trainings that are left to do.", PLAN_EXAMPLES)
    add_config(plan)
    plan.add_argument("--minutes", type=float, help="also print how many steps of each method take so long")
    add_device(plan)

    prune = command(commands, "prune", _prune, "List saved states that the preset no longer asks for.", PRUNE_EXAMPLES)
    add_config(prune)
    prune.add_argument("--delete", action="store_true", help="remove them")
    return parser


def _train(arguments: argparse.Namespace) -> None:
    preset = read_preset(arguments.config)
    split = arguments.split or ("train" if arguments.dataset in preset.tasks else "full")
    cell = preset.run(arguments.dataset, arguments.method, arguments.seed, split)
    from training.loop import train

    out = arguments.out or default_folder(cell)
    train(cell, preset.training, out, arguments.state, arguments.device)
    print(out)


def default_folder(cell: RunConfig) -> Path:
    """Where the pipeline keeps a finished run."""
    return Path("results", cell.preset, "runs", cell.dataset, cell.method, f"seed{cell.seed}", cell.split)


def _sample(arguments: argparse.Namespace) -> None:
    from training.device import device_for
    from training.sampling import sample

    device = device_for(read_sealed(arguments.run / "run.json")["method"], arguments.device)
    sample(arguments.run, arguments.out, arguments.n, arguments.rows, arguments.steps, device, arguments.threads)
    print(arguments.out)


def _describe(arguments: argparse.Namespace) -> None:
    for entry in describe(read_preset(arguments.config)):
        config = entry["config"]
        schedule = "".join(f", {key} {config[key]}" for key in SCHEDULE_KEYS if key in config)
        print(f"{entry['title']} ({entry['method']})")
        for role, count in entry["parameters"].items():
            print(f"  {role:<14} {count:>12,} parameters")
        print(f"  {'latent code':<14} {entry['latent_size']:>12,} dimensions")
        print(f"  {'schedule':<14} {entry['steps']:>12,} steps{schedule}")


def describe(preset: Preset) -> list[dict[str, Any]]:
    """Per method of a preset: parameters by network, size of the latent code, steps, configuration."""
    import numpy as np
    import torch

    from training.inputs import new_method, unprepared

    found = []
    for name in preset.methods:
        run = preset.example(name)
        blank = np.zeros((4, preset.resolution, preset.resolution, 3), np.uint8)
        # Blank images have no rare colours.
        plain = {"rebalance": "none"} if "rebalance" in run.config else {}
        sized = replace(run, config={**run.config, **plain})
        method = new_method(sized, unprepared(run, blank), torch.device("cpu"))
        counts = {role: sum(p.numel() for p in network.parameters()) for role, network in method.networks().items()}
        latents = method.latents(1, method.streams.generator("describe"))
        found.append(
            {
                "method": name,
                "title": method.title,
                "parameters": counts,
                "latent_size": latents.z.shape[1],
                "steps": run.steps,
                "config": run.config,
            }
        )
    return found


def _plan(arguments: argparse.Namespace) -> None:
    preset = read_preset(arguments.config)
    runs = [preset.run(*cell, split) for split in ALL_SPLITS for cell in preset.cells(split)]
    pending = [run for run in runs if method_info(run.method).trains and not _finished(run)]
    if not pending:
        print(f"all trainings of the preset {preset.preset} are finished")
        return
    from torch.cuda import device_count

    from training.cost import estimate
    from training.device import pick_device

    gpus = device_count()  # before a slot makes one of them visible
    print(estimate(pending, pick_device(arguments.device), preset.training.threads, arguments.minutes, gpus))


def _finished(cell: RunConfig) -> bool:
    """Has this very run a result?  If its images are prepared, of these images."""
    from training.identity import config_hash, sources_hash
    from training.inputs import hash_of, training_set

    try:
        record = read_sealed(default_folder(cell) / "run.json")
    except UserError:
        return False
    same = {"config_hash": config_hash(cell), "sources_hash": sources_hash(cell.method)}
    with suppress(UserError):  # not prepared yet
        same["data_hash"] = hash_of(training_set(cell)[0])
    return all(record.get(key) == value for key, value in same.items())


def _prune(arguments: argparse.Namespace) -> None:
    from training.prune import prune

    prune(read_preset(arguments.config), arguments.delete)


if __name__ == "__main__":
    run(main)

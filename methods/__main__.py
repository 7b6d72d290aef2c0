"""The methods' command lines: train, sample, describe, plan, prune."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from data.console import UserError, run
from data.files import write_json
from methods.discover import method_info, methods
from methods.settings import SPLITS, load_config, run_settings

TRAIN_EXAMPLES = """examples:
  python -m methods train --config demo --method adaptive_imle --dataset openmoji_faces
  python -m methods train --config demo --method fastgan --dataset openmoji_faces --split train90 --device cpu
  python -m methods train --config paper --method mixdl --dataset panda --out results/mine --fresh

  python -m methods train --config demo --method fastgan --dataset openmoji_faces --resume state/0123456789abcdef

A run resumes by itself from state/<run hash>/.  Ctrl-C and SIGTERM save the state before leaving.
"""

SAMPLE_EXAMPLES = """examples:
  python -m methods sample --run results/demo/runs/openmoji_faces/fastgan/seed0/full --out samples.npz -n 500
"""

DESCRIBE_EXAMPLES = """examples:
  python -m methods describe --preset paper
  python -m methods describe --preset demo --json
"""

PLAN_EXAMPLES = """examples:
  snakemake --cores 1 plan --configfile config/demo.yaml

which runs: snakemake --summary ... | python -m methods plan --settings ... --out results/demo/plan.json
"""

PRUNE_EXAMPLES = """examples:
  snakemake --cores 1 prune --configfile config/demo.yaml        list them
  snakemake --cores 1 prune_now --configfile config/demo.yaml    remove them

which run: python -m methods prune --config '{"preset": ...}' [--delete]
"""

SCHEDULE_KEYS = ("schedule", "batch", "optimizer", "learning_rate", "delta", "staleness", "reassign_every")


def main() -> None:
    arguments = _parser().parse_args()
    acts = {"train": _train, "sample": _sample, "describe": _describe, "plan": _plan, "prune": _prune}
    acts[arguments.act](arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m methods", description=__doc__)
    commands = parser.add_subparsers(dest="act", required=True)

    def command(name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    train = command("train", "Train one method on one dataset.", TRAIN_EXAMPLES)
    train.add_argument("--config", help="a preset's name or file (demo means config/demo.yaml)")
    train.add_argument("--method", help=f"one of: {', '.join(methods())}")
    train.add_argument("--dataset", help="a name from data/datasets.yaml that the preset lists")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument(
        "--split", choices=SPLITS, default="full", help="all images, or the 90%% that backtracking needs"
    )
    train.add_argument("--settings", help="the settings as JSON, in place of all of the above (what Snakemake passes)")
    train.add_argument("--out", type=Path, help="folder for the finished run (default: results/<preset>/runs/...)")
    train.add_argument("--state", type=Path, default=Path("state"), help="folder for resumable states (default: state)")
    _device(train)
    train.add_argument("--fresh", action="store_true", help="start again even if a state exists")
    train.add_argument("--resume", type=Path, help="go on with the run of this folder, and refuse if it is another one")
    train.add_argument("--check", action="store_true", help="train nothing; only say whether this machine may")

    sample = command("sample", "Draw samples and latent interpolations of a finished run.", SAMPLE_EXAMPLES)
    sample.add_argument("--run", type=Path, required=True, help="the run's folder")
    sample.add_argument("--out", type=Path, required=True, help="the .npz to write")
    sample.add_argument("-n", type=int, default=5000, help="how many samples (default: 5000)")
    sample.add_argument("--rows", type=int, default=3, help="interpolations (default: 3)")
    sample.add_argument("--steps", type=int, default=8, help="images per interpolation (default: 8)")
    sample.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    _device(sample)

    describe = command("describe", "Print sizes and schedule of each method of a preset.", DESCRIBE_EXAMPLES)
    describe.add_argument("--preset", default="paper", help="a preset's name or file (default: paper)")
    describe.add_argument("--json", action="store_true", help="print JSON")

    plan = command("plan", "Estimate the cost of the jobs that `snakemake --summary` lists on stdin.", PLAN_EXAMPLES)
    plan.add_argument("--settings", required=True, help="config, outputs and gpus as JSON (what Snakemake passes)")
    plan.add_argument("--out", type=Path, required=True, help="the plan.json to write")

    prune = command("prune", "List saved states that the configuration no longer asks for.", PRUNE_EXAMPLES)
    prune.add_argument("--config", required=True, help="the configuration as JSON (what Snakemake passes)")
    prune.add_argument("--command", default="add --delete", help="what to say for removing them")
    prune.add_argument("--delete", action="store_true", help="remove them")
    return parser


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto, the GPU if any)")


def _train(arguments: argparse.Namespace) -> None:
    settings, training = _settings(arguments)
    out = arguments.out or Path("results", settings["preset"], "runs", *_cell(settings))
    require_gpu = training.get("require_gpu", False)
    if arguments.check:
        from methods.device import check_gpu

        if require_gpu:
            check_gpu(settings, arguments.device)
        return
    from methods.train import train

    intervals = {key: training[key] for key in ("log_every", "grid_every", "save_every") if key in training}
    train(settings, out, arguments.state, arguments.device, require_gpu, intervals, arguments.fresh, arguments.resume)
    print(out)


def _cell(settings: dict[str, Any]) -> tuple[str, str, str, str]:
    return settings["dataset"], settings["method"], f"seed{settings['seed']}", settings["split"]


def _settings(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run's settings and the preset's `training` section."""
    if arguments.settings:
        try:
            settings = json.loads(arguments.settings)
            return settings["run"], settings["training"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"--settings is not the JSON that the Snakefile passes ({error!r})") from None
    if not (arguments.config and arguments.method and arguments.dataset):
        raise UserError("train needs --config, --method and --dataset; see python -m methods train --help")
    config = load_config(arguments.config)
    method_info(arguments.method)
    if arguments.method not in config["methods"]:
        raise UserError(f"{arguments.config} has no methods.{arguments.method}; add it, or choose another --config")
    if arguments.dataset not in config["datasets"]:
        raise UserError(f"--dataset {arguments.dataset}: {arguments.config} lists {', '.join(config['datasets'])}")
    settings = run_settings(config, arguments.dataset, arguments.method, arguments.seed, arguments.split)
    return settings, config["training"]


def _sample(arguments: argparse.Namespace) -> None:
    from methods.device import pick_device
    from methods.sample import sample

    device = pick_device(arguments.device)
    sample(arguments.run, arguments.out, arguments.n, arguments.rows, arguments.steps, device, arguments.threads)
    print(arguments.out)


def _describe(arguments: argparse.Namespace) -> None:
    config = load_config(arguments.preset)
    from methods.sample import describe

    found = describe(config)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for entry in found:
        schedule = ", ".join(f"{key} {entry['config'][key]}" for key in SCHEDULE_KEYS if key in entry["config"])
        print(f"{entry['title']} ({entry['method']})")
        for role, count in entry["parameters"].items():
            print(f"  {role:<14} {count:>12,} parameters")
        print(f"  {'latent code':<14} {entry['latent_size']:>12,} dimensions")
        print(f"  {'schedule':<14} {entry['steps']:>12,} steps{', ' + schedule if schedule else ''}")


def _plan(arguments: argparse.Namespace) -> None:
    from methods.plan import pending_jobs, plan, render

    settings = json.loads(arguments.settings)
    jobs = pending_jobs(sys.stdin.read(), settings["outputs"])
    found = plan(settings["config"], jobs, len(os.sched_getaffinity(0)), settings["gpus"])
    write_json(arguments.out, found)
    print(render(found))


def _prune(arguments: argparse.Namespace) -> None:
    from methods.prune import prune

    prune(json.loads(arguments.config), arguments.delete, arguments.command)


if __name__ == "__main__":
    run(main)

"""The metrics' command lines: fetch, external, features, evaluate, floor, backtrack, collect."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from data.console import UserError, run
from data.files import atomic_path, sha256_file, write_sealed

FETCH_EXAMPLES = """examples:
  python -m metrics fetch inception
  python -m metrics fetch lpips_vgg
"""

EXTERNAL_EXAMPLES = """examples:
  python -m metrics external --folder data/external/stylegan/obama --resolution 256 \\
      --out results/paper/samples/obama/stylegan/seed0.npz

The folder holds either images (JPEG, PNG, WebP) or one .npz with a uint8 array `images` (n, height, width, 3).
"""

FEATURES_EXAMPLES = """examples:
  python -m metrics features --images data/prepared/32/openmoji_faces/images.npy --out real.npz
  python -m metrics features --samples results/demo/samples/openmoji_faces/fastgan/seed0.npz --limit 200 --out fake.npz
  python -m metrics features --samples samples.npz --network vgg16fc2 --device cuda --out fake.npz
"""

EVALUATE_EXAMPLES = """examples:
  python -m metrics evaluate --real real.npz --fake fake.npz --config demo --out-fid fid.json --out-pr pr.json
  python -m metrics evaluate --real real.npz --fake fake.npz --out-fid fid.json --out-pr pr.json \\
      --settings '{"preset": "demo", "n_fake": 200, "precision_recall": ["inception-k5-n200"]}'
"""

FLOOR_EXAMPLES = """examples:
  python -m metrics floor --real real.npz --settings '{"preset": "demo"}' --out fid.json
"""

BACKTRACK_EXAMPLES = """examples:
  python -m metrics backtrack --run results/demo/runs/openmoji_faces/fastgan/seed0/train90 --config demo \\
      --out backtracking.json
  python -m metrics backtrack --run RUN --out backtracking.json --settings \\
      '{"preset": "demo", "backtracking": {"net": "alex", "upsample": 2, "steps": 50, "restarts": 3}}'

Targets and reconstructions go to an .npz of the same name.
"""

COLLECT_EXAMPLES = """examples:
  python -m metrics collect --out results/demo/metrics.csv results/demo/metrics/*/*/seed*/*.json
"""


def main() -> None:
    arguments = _parser().parse_args()
    arguments.act(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m metrics", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, act: Any, summary: str, epilog: str) -> argparse.ArgumentParser:
        formatter = argparse.RawDescriptionHelpFormatter
        added = commands.add_parser(name, help=summary, description=summary, epilog=epilog, formatter_class=formatter)
        added.set_defaults(act=act)
        return added

    fetch = command("fetch", _fetch, "Fetch and verify the weights of one network.", FETCH_EXAMPLES)
    fetch.add_argument("name", help="a network of metrics/weights.yaml")

    external = command("external", _external, "Import samples of a baseline trained elsewhere.", EXTERNAL_EXAMPLES)
    external.add_argument("--folder", type=Path, required=True, help="data/external/NAME/DATASET")
    external.add_argument("--resolution", type=int, required=True, help="side of the benchmark's images, in pixels")
    external.add_argument("--out", type=Path, required=True, help="the .npz to write")

    features = command("features", _features, "Extract the features of images.", FEATURES_EXAMPLES)
    source = features.add_mutually_exclusive_group(required=True)
    source.add_argument("--samples", type=Path, help="a sample file (.npz)")
    source.add_argument("--images", type=Path, help="images.npy of a prepared dataset, beside its manifest.json")
    features.add_argument("--network", default="inception", help="inception (default) or vgg16fc2")
    features.add_argument("--limit", type=int, help="take the first LIMIT images (default: all)")
    features.add_argument("--batch", type=int, default=32, help="images at a time; bounds memory (default: 32)")
    features.add_argument("--out", type=Path, required=True, help="the feature file (.npz) to write")
    _machine(features)

    evaluate = command("evaluate", _evaluate, "FID, KID, precision and recall of one sample set.", EVALUATE_EXAMPLES)
    evaluate.add_argument(
        "--real", type=Path, nargs="+", required=True, help="the dataset's features, a file a network"
    )
    evaluate.add_argument("--fake", type=Path, nargs="+", required=True, help="the samples' features, a file a network")
    _settings_options(evaluate, "preset, n_fake, precision_recall")
    evaluate.add_argument("--out-fid", type=Path, required=True, help="metric file for FID and KID")
    evaluate.add_argument("--out-pr", type=Path, required=True, help="metric file for precision and recall")

    floor = command("floor", _floor, "FID and KID of half of the real images against the rest.", FLOOR_EXAMPLES)
    floor.add_argument("--real", type=Path, required=True, help="the dataset's inception features")
    _settings_options(floor, "preset")
    floor.add_argument("--seed", type=int, default=0, help="of the division into halves (default: 0)")
    floor.add_argument("--out", type=Path, required=True, help="the metric file to write")

    backtrack = command("backtrack", _backtrack, "LPIPS backtracking of a run's held-out images.", BACKTRACK_EXAMPLES)
    backtrack.add_argument("--run", type=Path, required=True, help="folder of a finished train90 run")
    _settings_options(backtrack, "preset, backtracking")
    backtrack.add_argument("--batch", type=int, default=32, help="latents at a time; bounds memory (default: 32)")
    backtrack.add_argument("--out", type=Path, required=True, help="the metric file to write")
    _machine(backtrack)

    collect = command("collect", _collect, "Put all metric files of a preset into one table.", COLLECT_EXAMPLES)
    collect.add_argument("files", type=Path, nargs="+", help="metric files (.json)")
    collect.add_argument("--out", type=Path, required=True, help="the metrics.csv to write")
    return parser


def _machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto, the GPU if any)")


def _settings_options(parser: argparse.ArgumentParser, keys: str) -> None:
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--config", help="a preset's name or file (demo means config/demo.yaml)")
    group.add_argument("--settings", help=f"JSON with the keys {keys}, in place of --config (what Snakemake passes)")


def _settings(arguments: argparse.Namespace, *keys: str) -> list[Any]:
    """The values of `keys`, from --settings or from the configuration in its place."""
    if arguments.config:
        from methods.settings import load_config

        config = load_config(arguments.config)
        settings = {"preset": config["preset"], "n_fake": config["sampling"]["n"], **config["metrics"]}
    else:
        try:
            settings = json.loads(arguments.settings)
        except json.JSONDecodeError as error:
            raise UserError(f"--settings is not valid JSON ({error})") from None
    for key in keys:
        if not isinstance(settings, dict) or key not in settings:
            raise UserError(f"--settings lacks the key {key}; it needs {', '.join(keys)}")
    return [settings[key] for key in keys]


def _device(arguments: argparse.Namespace) -> Any:
    """Set torch up for measuring: the threads asked for, and float32 convolutions on GPUs that would round to TF32."""
    import torch

    from methods.device import pick_device

    torch.set_num_threads(arguments.threads)
    torch.backends.cudnn.allow_tf32 = False
    return pick_device(arguments.device)


def _fetch(arguments: argparse.Namespace) -> None:
    from metrics.weights import fetch

    print(fetch(arguments.name))


def _external(arguments: argparse.Namespace) -> None:
    from metrics.external import import_samples

    import_samples(arguments.folder, arguments.resolution, arguments.out)


def _features(arguments: argparse.Namespace) -> None:
    from metrics import features

    source = arguments.samples or arguments.images
    images, described = features.read_samples(source) if arguments.samples else features.read_prepared(source)
    device = _device(arguments)
    from methods.device import memory_advice

    with memory_advice(f"{arguments.network} features", f"lower --batch (now {arguments.batch})"):
        values = features.extract(images[: arguments.limit], arguments.network, arguments.batch, device)
    features.save(arguments.out, values, arguments.network, source, described)


def _evaluate(arguments: argparse.Namespace) -> None:
    preset, n_fake, protocols = _settings(arguments, "preset", "n_fake", "precision_recall")
    from metrics.evaluate import evaluate
    from metrics.features import load

    real, fake = map(load, arguments.real), map(load, arguments.fake)
    fid, precision_recall = evaluate(real, fake, preset, n_fake, protocols)
    inputs = _digests(*arguments.real, *arguments.fake)
    write_sealed(arguments.out_fid, {**fid, "inputs": inputs})
    write_sealed(arguments.out_pr, {**precision_recall, "inputs": inputs})


def _digests(*paths: Path) -> dict[str, str]:
    """What a metric file was computed from, for `snakemake verify`."""
    return {str(path): sha256_file(path) for path in paths}


def _floor(arguments: argparse.Namespace) -> None:
    (preset,) = _settings(arguments, "preset")
    from metrics.evaluate import floor
    from metrics.features import load

    measured = floor(load(arguments.real), preset, arguments.seed)
    write_sealed(arguments.out, {**measured, "inputs": _digests(arguments.real)})


def _backtrack(arguments: argparse.Namespace) -> None:
    preset, settings = _settings(arguments, "preset", "backtracking")
    from metrics.protocols import Backtracking

    protocol = Backtracking.parse(settings)
    device = _device(arguments)
    import numpy as np

    from methods.device import memory_advice
    from metrics.lpips_backtracking import backtrack_run

    with memory_advice(f"backtracking {arguments.run}", f"lower --batch (now {arguments.batch})"):
        measured, arrays = backtrack_run(arguments.run, protocol, preset, device, arguments.batch)
    images = arguments.out.with_suffix(".npz")
    with atomic_path(images) as temporary:
        np.savez(temporary, **arrays)
    inputs = _digests(arguments.run / "model.safetensors")
    write_sealed(arguments.out, {**measured, "inputs": inputs, "images_sha256": sha256_file(images)})


def _collect(arguments: argparse.Namespace) -> None:
    from metrics.collect import collect

    collect(arguments.files, arguments.out)


if __name__ == "__main__":
    run(main)

"""Features, FID, KID, precision and recall, copies and diversity, LPIPS backtracking; all of a folder of images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.console import UserError, command, run
from common.files import atomic_path, read_sealed, write_json, write_sealed
from common.hashing import sha256_file
from networks.names import DINOV2
from training.config import read_preset
from training.identity import sources_hash
from training.sections import Metrics

if TYPE_CHECKING:
    import torch

FEATURES_EXAMPLES = """examples:
  python -m metrics features --images data/prepared/32/openmoji_faces/images.npy --out real.npz
  python -m metrics features --samples results/demo/samples/openmoji_faces/fastgan/seed0.npz --limit 200 --out fake.npz
  python -m metrics features --samples samples.npz --network vgg16fc2 --device cuda --out fake.npz
"""
EVALUATE_EXAMPLES = """examples:
  python -m metrics evaluate --config demo --real real.npz --fake fake.npz --out-fid fid.json --out-pr pr.json
"""
FLOOR_EXAMPLES = """examples:
  python -m metrics floor --config demo --real real.npz --out fid.json
"""
DIVERSITY_EXAMPLES = """examples:
  python -m metrics diversity --config demo --images data/prepared/32/openmoji_faces/images.npy --real real.npz \\
      --samples results/demo/samples/openmoji_faces/fastgan/seed0.npz --fake fake.npz --out diversity.json
"""
SCORE_EXAMPLES = """examples:
  python -m metrics score my_samples --against my_photographs
  python -m metrics score my_samples --against my_photographs --protocol inception-k3-n500 --json score.json

A folder contains images, or one .npz of uint8 (n, height, width, 3), or is a prepared dataset.
"""
BACKTRACK_EXAMPLES = """examples:
  python -m metrics backtrack --config demo --run results/demo/runs/openmoji_faces/fastgan/seed0/train90 \\
      --out backtracking.json

Targets and reconstructions go to an .npz of the same name.
"""
RUN_KEYS = ("dataset", "method", "seed", "split", "steps", "run_hash")  # of a run.json, copied into its metric files


def main() -> None:
    arguments = _parser().parse_args()
    arguments.act(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m metrics", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    features = command(commands, "features", _features, "Extract the features of images.", FEATURES_EXAMPLES)
    source = features.add_mutually_exclusive_group(required=True)
    source.add_argument("--samples", type=Path, help="a sample file (.npz)")
    source.add_argument("--images", type=Path, help="images.npy of a prepared dataset, beside its manifest.json")
    features.add_argument("--network", default="inception", help="inception (default) or vgg16fc2")
    features.add_argument("--limit", type=int, help="take the first LIMIT images (default: all)")
    features.add_argument("--batch", type=int, default=32, help="images at a time; bounds memory (default: 32)")
    features.add_argument("--out", type=Path, required=True, help="the feature file (.npz) to write")
    _threads(features)
    _device(features)

    evaluate = command(
        commands, "evaluate", _evaluate, "FID, KID, precision and recall of one sample set.", EVALUATE_EXAMPLES
    )
    _config(evaluate)
    evaluate.add_argument(
        "--real", type=Path, nargs="+", required=True, help="the dataset's features, a file a network"
    )
    evaluate.add_argument("--fake", type=Path, nargs="+", required=True, help="the samples' features, a file a network")
    evaluate.add_argument("--out-fid", type=Path, required=True, help="metric file for FID and KID")
    evaluate.add_argument("--out-pr", type=Path, required=True, help="metric file for precision and recall")
    _threads(evaluate)

    floor = command(commands, "floor", _floor, "FID and KID of half of the real images to the rest.", FLOOR_EXAMPLES)
    _config(floor)
    floor.add_argument("--real", type=Path, required=True, help="the dataset's inception features")
    floor.add_argument("--seed", type=int, default=0, help="of the division into halves (default: 0)")
    floor.add_argument("--out", type=Path, required=True, help="the metric file to write")
    _threads(floor)

    diversity = command(commands, "diversity", _diversity, "Copies and diversity of one set.", DIVERSITY_EXAMPLES)
    _config(diversity)
    diversity.add_argument("--images", type=Path, required=True, help="images.npy of the prepared dataset")
    diversity.add_argument("--real", type=Path, nargs="+", required=True, help="its features, a file a network")
    diversity.add_argument("--samples", type=Path, help="a sample file (.npz); default: halves of the images")
    diversity.add_argument("--fake", type=Path, nargs="+", default=[], help="its features, a file a network")
    diversity.add_argument("--out", type=Path, required=True, help="the metric file to write")
    _threads(diversity)
    _device(diversity)

    score = command(commands, "score", _score, "All metrics of samples made anywhere.", SCORE_EXAMPLES)
    score.add_argument("folder", type=Path, help="the samples")
    score.add_argument("--against", type=Path, required=True, help="the training images")
    score.add_argument("--resolution", type=int, help="side in pixels that both get (default: of the smaller images)")
    score.add_argument("--protocol", help="of precision and recall (default: inception-k5 with at most 1,000 samples)")
    score.add_argument("--lpips", choices=("alex", "vgg"), default="alex", help="network of LPIPS (default: alex)")
    score.add_argument("--frechet", nargs="+", default=[], choices=tuple(DINOV2), help="further Fréchet distances")
    score.add_argument("--sscd", action="store_true", help="copy rate by SSCD too; needs two further packages")
    score.add_argument("--json", type=Path, help="also write the numbers to this file")
    _threads(score)
    _device(score)

    backtrack = command(
        commands, "backtrack", _backtrack, "LPIPS backtracking of a run's held-out images.", BACKTRACK_EXAMPLES
    )
    _config(backtrack)
    backtrack.add_argument("--run", type=Path, required=True, help="folder of a finished train90 run")
    backtrack.add_argument("--batch", type=int, default=32, help="latents at a time; bounds memory (default: 32)")
    backtrack.add_argument("--out", type=Path, required=True, help="the metric file to write")
    _threads(backtrack)
    _device(backtrack)
    return parser


def _config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, help="a preset's name or file (demo means config/demo.yaml)")


def _threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto, the GPU if any)")


def _measuring_device(arguments: argparse.Namespace) -> torch.device:
    """Set the threads and full float32 precision (no TF32) for measuring, and choose the device."""
    import torch

    from training.device import pick_device

    torch.set_num_threads(arguments.threads)
    torch.backends.cudnn.allow_tf32 = False
    return pick_device(arguments.device)


def _features(arguments: argparse.Namespace) -> None:
    from metrics import features
    from training.device import memory_advice

    source = arguments.samples or arguments.images
    images, described = features.read_samples(source) if arguments.samples else features.read_prepared(source)
    _refuse_other_sources(source, described)
    device = _measuring_device(arguments)
    with memory_advice(f"{arguments.network} features", f"lower --batch (now {arguments.batch})"):
        values = features.extract(images[: arguments.limit], arguments.network, arguments.batch, device)
    features.save(arguments.out, values, arguments.network, source, described)


def _evaluate(arguments: argparse.Namespace) -> None:
    from threadpoolctl import threadpool_limits

    from metrics.evaluate import evaluate
    from metrics.features import load

    preset = read_preset(arguments.config)
    real, fake = [load(path) for path in arguments.real], [load(path) for path in arguments.fake]
    for path, samples in zip(arguments.fake, fake, strict=True):
        _refuse_other_sources(path, samples.meta["samples"])
    with threadpool_limits(arguments.threads):
        fid, precision_recall = evaluate(real, fake, preset.preset, preset.sampling.n, preset.metrics.precision_recall)
    inputs = _digests(*arguments.real, *arguments.fake)
    write_sealed(arguments.out_fid, {**fid, "inputs": inputs})
    write_sealed(arguments.out_pr, {**precision_recall, "inputs": inputs})


def _refuse_other_sources(path: Path, samples: dict[str, Any]) -> None:
    """Raises `UserError` if the sources of the method have changed since it drew these samples."""
    recorded = samples.get("sources_hash")  # absent from real images and from samples made elsewhere
    if recorded and recorded != sources_hash(samples["method"]):
        raise UserError(
            f"{path}: {samples['method']} was edited since it drew these samples; run snakemake to train and sample it "
            "again"
        )


def _digests(*paths: Path) -> dict[str, str]:
    """What a metric file was computed from, for `snakemake verify`."""
    return {str(path): sha256_file(path) for path in paths}


def _floor(arguments: argparse.Namespace) -> None:
    from threadpoolctl import threadpool_limits

    from metrics.evaluate import floor
    from metrics.features import load

    preset = read_preset(arguments.config)
    with threadpool_limits(arguments.threads):
        measured = floor(load(arguments.real), preset.preset, arguments.seed)
    write_sealed(arguments.out, {**measured, "inputs": _digests(arguments.real)})


def _diversity(arguments: argparse.Namespace) -> None:
    """Load images and features of both sides, and write the metric file of the samples, or of the halves."""
    from threadpoolctl import threadpool_limits

    from metrics import diversity, sscd
    from metrics.features import check_comparable, load, read_prepared, read_samples
    from networks.lpips import LPIPS

    preset = read_preset(arguments.config)
    if len(arguments.fake) != (len(arguments.real) if arguments.samples else 0):
        raise UserError("--samples needs one --fake for each --real; without both, halves of the images are compared")
    lpips = LPIPS(preset.metrics.backtracking.net).to(_measuring_device(arguments))
    images, described = read_prepared(arguments.images)
    if preset.metrics.sscd:
        sscd.check(images.shape[1])
    real_features = [load(path, arguments.images) for path in arguments.real]
    real = diversity.image_set(images, real_features)
    copies: dict[str, Any] = {}
    with threadpool_limits(arguments.threads):
        if arguments.samples:
            images, described = read_samples(arguments.samples)
            _refuse_other_sources(arguments.samples, described)
            fake_features = [load(path, arguments.samples) for path in arguments.fake]
            for pair in zip(real_features, fake_features, strict=True):
                check_comparable(*pair)
            fake = diversity.image_set(images, fake_features)
            measured, copies = diversity.of_samples(real, fake, described, preset, lpips)
        else:
            measured = diversity.of_halves(real, described["dataset"], preset, lpips)
    if copies:
        arrays = arguments.out.with_suffix(".npz")
        with atomic_path(arrays) as temporary:
            np.savez(temporary, allow_pickle=False, **copies)
        measured["images_sha256"] = sha256_file(arrays)
    write_sealed(arguments.out, {**measured, "inputs": _digests(*arguments.real, *arguments.fake)})


def _score(arguments: argparse.Namespace) -> None:
    from threadpoolctl import threadpool_limits

    from metrics import score

    asked = {"frechet": tuple(arguments.frechet), "sscd": arguments.sscd, "backtracking": {"net": arguments.lpips}}
    settings, device = Metrics.model_validate(asked), _measuring_device(arguments)
    folders = (arguments.folder, arguments.against, arguments.resolution)
    with threadpool_limits(arguments.threads):
        scored = score.score_folders(*folders, settings, arguments.protocol, device)
    print(score.text(scored))
    if arguments.json:
        write_json(arguments.json, scored)


def _backtrack(arguments: argparse.Namespace) -> None:
    """Load the run, hand its method and its held-out images to the metric, write scores and the arrays of Figure 3."""
    import torch

    from data.load import load
    from methods.api import to_float, to_uint8
    from metrics.lpips_backtracking import backtrack, rows
    from networks.lpips import LPIPS
    from training.device import memory_advice
    from training.sampling import load_run

    preset = read_preset(arguments.config)
    record = read_sealed(arguments.run / "run.json")
    if record["split"] != "train90":
        raise UserError(f"{arguments.run} was trained on the split {record['split']}; backtracking needs train90")
    protocol, device = preset.metrics.backtracking, _measuring_device(arguments)
    targets, manifest = load(record["dataset"], record["resolution"], "heldout")
    items = manifest["split"]["heldout"]
    with memory_advice(f"backtracking {arguments.run}", f"lower --batch (now {arguments.batch})"):
        method = load_run(arguments.run, device)
        if not method.backtracks:
            raise UserError(f"{record['method']} has no latent code to optimise; leave it out of backtracking")
        images, lpips = to_float(torch.from_numpy(targets)).to(device), LPIPS(protocol.net).to(device)
        result = backtrack(method, images, items, lpips, protocol, arguments.batch)
    arrays = arguments.out.with_suffix(".npz")
    with atomic_path(arrays) as temporary:
        np.savez(
            temporary,
            target=targets,
            reconstruction=to_uint8(result.reconstruction).numpy(),
            score=result.score.numpy(),
            index=np.array(items),
        )
    measured = {
        "preset": preset.preset,
        **{key: record[key] for key in RUN_KEYS},
        "rows": rows(result, items, protocol),
    }
    inputs = _digests(arguments.run / "model.safetensors")
    write_sealed(arguments.out, {**measured, "inputs": inputs, "images_sha256": sha256_file(arrays)})


if __name__ == "__main__":
    run(main)

"""Features, FID, KID, precision and recall, copies and diversity, LPIPS backtracking; `score` measures a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.console import UserError, add_config, add_device, add_threads, command, positive, run
from common.files import atomic_path, read_sealed, write_json, write_sealed
from common.hashing import sha256_file
from networks.names import DINOV2, FEATURE_NETWORKS
from training.config import Preset, read_preset
from training.identity import sources_hash
from training.protocols import RUN_KEYS
from training.sections import Metrics

if TYPE_CHECKING:
    from metrics.features import Features
    from networks.lpips import LPIPS

FEATURES_EXAMPLES = """examples:
  python -m metrics features --images data/prepared/32/openmoji_faces/images.npy --out real.npz
  python -m metrics features --samples results/demo/samples/openmoji_faces/fastgan/seed0.npz --out fake.npz
  python -m metrics features --samples samples.npz --network vgg16fc2 --device cuda --out fake.npz
"""
EVALUATE_EXAMPLES = """examples:
  python -m metrics evaluate --config demo --images data/prepared/32/openmoji_faces/images.npy --real real.npz \\
      --samples results/demo/samples/openmoji_faces/fastgan/seed0.npz --fake fake.npz --out fastgan
  python -m metrics evaluate --config demo --images data/prepared/32/openmoji_faces/images.npy --real real.npz \\
      --out floor

Writes fid.json and diversity.json; of samples also precision_recall.json, and diversity.npz, the nearest images.
"""
SCORE_EXAMPLES = """examples:
  python -m metrics score my_samples --against my_photographs
  python -m metrics score my_samples --against my_photographs --protocol inception-k3-n500 --json score.json

A folder contains images, or one .npz of uint8 (n, height, width, 3), or is a prepared dataset.
"""
CODES_EXAMPLES = """examples:
  python -m metrics codes results/demo/runs/openmoji_faces/adaptive_imle/seed0/full --out codes.csv

Rows of other runs in the table are kept.
"""
BACKTRACK_EXAMPLES = """examples:
  python -m metrics backtrack --config demo --run results/demo/runs/openmoji_faces/fastgan/seed0/train90 \\
      --out backtracking.json

Targets and reconstructions go to an .npz of the same name.
"""


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
    features.add_argument(
        "--network", default="inception", help=f"one of {', '.join(FEATURE_NETWORKS)} (default: inception)"
    )
    features.add_argument("--batch", type=positive, default=32, help="images at a time; bounds memory (default: 32)")
    features.add_argument("--out", type=Path, required=True, help="the feature file (.npz) to write")
    add_threads(features)
    add_device(features)

    summary = "All metrics but backtracking of one sample set, or of halves of the training images."
    evaluate = command(commands, "evaluate", _evaluate, summary, EVALUATE_EXAMPLES)
    add_config(evaluate)
    evaluate.add_argument("--images", type=Path, required=True, help="images.npy of the prepared dataset")
    evaluate.add_argument("--real", type=Path, nargs="+", required=True, help="its features, a file a network")
    evaluate.add_argument("--samples", type=Path, help="a sample file (.npz); default: halves of the images")
    evaluate.add_argument("--fake", type=Path, nargs="+", default=[], help="its features, a file a network")
    evaluate.add_argument("--full", type=Path, help="Inception features of metrics.full_set: FID against it too")
    evaluate.add_argument("--out", type=Path, required=True, help="the folder of the metric files")
    add_threads(evaluate)
    add_device(evaluate)

    score = command(commands, "score", _score, "All metrics but backtracking of samples made anywhere.", SCORE_EXAMPLES)
    score.add_argument("folder", type=Path, help="the samples")
    score.add_argument("--against", type=Path, required=True, help="the training images")
    score.add_argument(
        "--resolution", type=positive, help="side in pixels that both get (default: of the smaller images)"
    )
    score.add_argument("--protocol", help="of precision and recall (default: inception-k5 with at most 1,000 samples)")
    score.add_argument("--lpips", choices=("alex", "vgg"), default="alex", help="network of LPIPS (default: alex)")
    score.add_argument("--frechet", nargs="+", default=[], choices=tuple(DINOV2), help="further Fréchet distances")
    score.add_argument("--sscd", action="store_true", help="copy rate by SSCD too; needs two further packages")
    score.add_argument("--json", type=Path, help="also write the numbers to this file")
    add_threads(score)
    add_device(score)

    backtrack = command(
        commands, "backtrack", _backtrack, "LPIPS backtracking of a run's held-out images.", BACKTRACK_EXAMPLES
    )
    add_config(backtrack)
    backtrack.add_argument("--run", type=Path, required=True, help="folder of a finished train90 run")
    backtrack.add_argument("--batch", type=positive, default=32, help="latents at a time; bounds memory (default: 32)")
    backtrack.add_argument("--out", type=Path, required=True, help="the metric file to write")
    add_threads(backtrack)
    add_device(backtrack)

    codes = command(
        commands, "codes", _codes, "Samples of assigned codes against the prior's, of IMLE runs.", CODES_EXAMPLES
    )
    codes.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run's folder, of a method of the family")
    codes.add_argument("--state", type=Path, default=Path("state"), help="where saved states are (default: state)")
    codes.add_argument("--out", type=Path, required=True, help="the table to write or to extend (.csv)")
    add_threads(codes)
    add_device(codes)
    return parser


def _features(arguments: argparse.Namespace) -> None:
    from metrics import features
    from training.device import measuring_device, memory_advice

    source = arguments.samples or arguments.images
    images, described = features.read_sample_file(source) if arguments.samples else features.read_prepared(source)
    _refuse_other_sources(source, described)
    device = measuring_device(arguments.device, arguments.threads)
    with memory_advice(f"{arguments.network} features", _less_memory(arguments.batch)):
        values = features.extract(images, arguments.network, arguments.batch, device)
    features.save(arguments.out, values, arguments.network, source, described)


def _evaluate(arguments: argparse.Namespace) -> None:
    from threadpoolctl import threadpool_limits

    from metrics import sscd
    from metrics.features import load, read_prepared

    preset = read_preset(arguments.config)
    if len(arguments.fake) != (len(arguments.real) if arguments.samples else 0):
        raise UserError("--samples needs one --fake for each --real; without both, halves of the images are compared")
    images, _ = read_prepared(arguments.images)
    if preset.metrics.sscd:
        sscd.check(images.shape[1])
    real = [load(path, arguments.images) for path in arguments.real]
    with threadpool_limits(arguments.threads):
        if arguments.samples:
            measured = _measure_samples(arguments, preset, images, real)
        else:
            measured = _measure_halves(arguments, preset, images, real)
    inputs = _digests(*arguments.real, *arguments.fake, *filter(None, [arguments.full]))
    for name, content in measured.items():
        write_sealed(arguments.out / f"{name}.json", {**content, "inputs": inputs})


def _measure_samples(
    arguments: argparse.Namespace, preset: Preset, images: NDArray[np.uint8], real: list[Features]
) -> dict[str, dict[str, Any]]:
    """The contents of the metric files, by name; writes diversity.npz, of which one has the digest."""
    from metrics import diversity
    from metrics.evaluate import evaluate
    from metrics.features import load, read_sample_file

    samples, described = read_sample_file(arguments.samples)
    _refuse_other_sources(arguments.samples, described)
    fake = [load(path, arguments.samples) for path in arguments.fake]
    full, protocols = arguments.full and load(arguments.full), preset.metrics.precision_recall
    fid, precision_recall = evaluate(real, fake, preset.preset, preset.sampling.n, protocols, full)
    sets = (diversity.image_set(images, real), diversity.image_set(samples, fake))
    measured, copies = diversity.of_samples(*sets, described, preset, _lpips(arguments, preset))
    arrays = arguments.out / "diversity.npz"
    with atomic_path(arrays) as temporary:
        np.savez(temporary, allow_pickle=False, **copies)
    measured["images_sha256"] = sha256_file(arrays)
    return {"fid": fid, "precision_recall": precision_recall, "diversity": measured}


def _measure_halves(
    arguments: argparse.Namespace, preset: Preset, images: NDArray[np.uint8], real: list[Features]
) -> dict[str, dict[str, Any]]:
    from metrics import diversity
    from metrics.evaluate import floor

    inception = next((features for features in real if features.meta["network"] == "inception"), None)
    if inception is None:
        raise UserError("FID needs inception features: pass their file with --real")
    fid, dataset = floor(inception, preset.preset, seed=0), inception.meta["samples"]["dataset"]
    measured = diversity.of_halves(diversity.image_set(images, real), dataset, preset, _lpips(arguments, preset))
    return {"fid": fid, "diversity": measured}


def _less_memory(batch: int) -> str:
    return f"let fewer jobs run at once (--cores), or call this command with a --batch below {batch}"


def _lpips(arguments: argparse.Namespace, preset: Preset) -> LPIPS:
    from networks.lpips import LPIPS
    from training.device import measuring_device

    return LPIPS(preset.metrics.backtracking.net).to(measuring_device(arguments.device, arguments.threads))


def _refuse_other_sources(path: Path, samples: dict[str, Any]) -> None:
    """Raises `UserError` if the sources of the method have changed since it drew these samples."""
    recorded = samples.get("sources_hash")  # absent from real images and from samples made elsewhere
    if recorded and recorded != sources_hash(samples["method"]):
        raise UserError(
            f"{path}: {samples['method']} was edited since it drew these samples; run snakemake to train and sample it "
            "again"
        )


def _codes(arguments: argparse.Namespace) -> None:
    from metrics.codes import extend, measure, read_table
    from training.device import measuring_device

    read_table(arguments.out)  # before anything is measured
    device = measuring_device(arguments.device, arguments.threads)
    for folder in arguments.runs:
        extend(arguments.out, measure(folder, arguments.state, device))


def _digests(*paths: Path) -> dict[str, str]:
    """What a metric file was computed from, for `snakemake verify`."""
    return {str(path): sha256_file(path) for path in paths}


def _score(arguments: argparse.Namespace) -> None:
    from threadpoolctl import threadpool_limits

    from metrics import score
    from training.device import measuring_device

    asked = {"frechet": tuple(arguments.frechet), "sscd": arguments.sscd, "backtracking": {"net": arguments.lpips}}
    settings, device = Metrics.model_validate(asked), measuring_device(arguments.device, arguments.threads)
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
    from training.device import measuring_device, memory_advice
    from training.sampling import load_run

    preset = read_preset(arguments.config)
    record = read_sealed(arguments.run / "run.json")
    if record["split"] != "train90":
        raise UserError(f"{arguments.run} was trained on the split {record['split']}; backtracking needs train90")
    protocol, device = preset.metrics.backtracking, measuring_device(arguments.device, arguments.threads)
    targets, manifest = load(record["dataset"], record["resolution"], "heldout")
    items = manifest["split"]["heldout"]
    with memory_advice(f"backtracking {arguments.run}", _less_memory(arguments.batch)):
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

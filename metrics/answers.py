"""Draw and measure several answers to each input of a task, of a trained method or of a control.

Examples:
  python -m metrics.answers --config multimodal --run results/multimodal/runs/people/cond_imle/seed0/train --out a.json
  python -m metrics.answers --config multimodal --task people --control real_answers --out a.json

The answers to the first held-out inputs go to an .npz of the same name.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.console import UserError, add_config, add_device, add_threads, run
from common.files import atomic_path, read_sealed, write_sealed
from common.hashing import sha256_file
from data.tasks import Examples, SuperResolution, TaskKind, load_task
from metrics.rows import Row
from training.config import Preset, read_preset
from training.protocols import ANSWER_CONTROLS, ANSWERS, RUN_KEYS

if TYPE_CHECKING:
    import torch

    from networks.lpips import LPIPS

SHOWN = 8  # held-out inputs whose answers figures may show
Answers = NDArray[np.uint8]  # (n, k, H, W, 3)
Draw = Callable[[Examples, str], Answers]  # the answers to examples; the second argument names the random stream


def control(name: str, examples: Examples, purpose: str) -> Answers:
    """The answers of a control: one (the truth, a bicubic enlargement), or every right one."""
    if name != "bicubic":
        return examples.answers[:, : 1 if name == "truth" else None]
    import torch
    from torch.nn import functional as F

    from methods.api import to_uint8

    small, side = torch.from_numpy(examples.conditions), examples.answers.shape[2]
    return to_uint8(F.interpolate(small, size=(side, side), mode="bicubic", align_corners=False)).numpy()[:, None]


def rows(task: TaskKind, examples: Examples, drawn: Answers, lpips: LPIPS, upsample: int) -> list[Row]:
    """All numbers of answers (n, k, H, W, 3) as rows of a metric file, but for the protocol."""
    n, k, a = *drawn.shape[:2], examples.answers.shape[1]
    about = {"n_real": n * a, "n_fake": n * k, "n": n}
    # One input at a time: at 256 px, the embeddings of all answers would take 20 GB.
    places = [slice(place, place + 1) for place in range(len(drawn))]
    single = [_of_one(task, examples[place], drawn[place], lpips, upsample) for place in places]
    found = [{"metric": name, "value": float(np.mean([row[name] for row in single])), **about} for name in single[0]]
    return found + _modes(examples, drawn)


def _of_one(task: TaskKind, examples: Examples, drawn: Answers, lpips: LPIPS, upsample: int) -> dict[str, float]:
    """The numbers of a single input, by name."""
    import torch

    from metrics import conditional

    embedded, right = (_embedded(images, lpips, upsample) for images in (drawn, examples.answers))
    pixels, truth = _planes(drawn), _planes(examples.answers)[:, 0]
    distances = conditional.between(embedded, right)
    measured = {"diversity": conditional.diversity(embedded), "fwv": conditional.fwv(embedded, distances)}
    if right.shape[1] == 1:
        scores = {"lpips": distances[..., 0], "psnr": conditional.psnr(pixels, truth)}
        if truth.shape[-1] >= conditional.WINDOW:
            scores["ssim"] = conditional.ssim(pixels, truth)
        for name, values in scores.items():
            measured[f"best_{name}"] = conditional.best_of_k(values, higher=name != "lpips")
            measured[f"mean_{name}"] = values.mean()
    if isinstance(task, SuperResolution):
        small = (torch.from_numpy(examples.conditions) + 1) * 127.5
        measured["consistency"] = conditional.consistency(pixels, small)
    else:
        measured["recall_distance"] = conditional.recall_distance(distances)
        measured["precision_distance"] = conditional.precision_distance(distances)
    return {name: float(value) for name, value in measured.items()}


def _modes(examples: Examples, drawn: Answers) -> list[Row]:
    """Mode coverage and shares, of the inputs whose right answers can be told apart."""
    import torch

    from metrics import conditional

    if examples.inside is None or not (usable := examples.inside.any(axis=(1, 2))).any():
        return []
    answers = examples.answers[usable]
    n, k, a = int(usable.sum()), drawn.shape[1], answers.shape[1]
    inside = torch.from_numpy(examples.inside[usable])
    nearest, counts = conditional.modes(_planes(drawn[usable]), _planes(answers), inside)
    shares = nearest[counts].bincount(minlength=a) / counts.sum().clamp(min=1)
    measured = [
        {"metric": "mode_coverage", "value": float(conditional.mode_coverage(nearest, counts, a))},
        {"metric": "counted", "value": float(counts.float().mean())},
        *({"metric": "mode_share", "value": float(share), "item": item} for item, share in enumerate(shares)),
    ]
    return [{**row, "n_real": n * a, "n_fake": n * k, "n": n} for row in measured]


def _planes(images: Answers) -> torch.Tensor:
    """(n, k, H, W, 3) in 0..255 to float32 (n, k, 3, H, W)."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 1, 4, 2, 3).float()


def _embedded(images: Answers, lpips: LPIPS, upsample: int) -> torch.Tensor:
    """(n, k, D), on the CPU."""
    from metrics.perceptual import embed

    n, k = images.shape[:2]
    return embed(images.reshape(n * k, *images.shape[2:]), lpips, upsample).cpu().unflatten(0, (n, k))


def measure(task: TaskKind, preset: Preset, draw: Draw, lpips: LPIPS) -> tuple[list[Row], dict[str, NDArray[Any]]]:
    """The rows of held-out inputs and of as many training inputs, and what figures show of the former."""
    measured: list[Row] = []
    arrays: dict[str, NDArray[Any]] = {}
    settings = preset.metrics.backtracking
    heldout = load_task(task, preset.resolution, "heldout")
    training = load_task(task, preset.resolution, "train")[: len(heldout.answers)]
    for inputs, examples, purpose in (("heldout", heldout, "sample"), ("train", training, "sample train")):
        drawn = draw(examples, purpose)
        protocol = f"{inputs}-k{drawn.shape[1]}-{settings.perceptual}"
        measured += [{**row, "protocol": protocol} for row in rows(task, examples, drawn, lpips, settings.upsample)]
        if inputs == "heldout":
            shown = examples[:SHOWN]
            arrays = {"conditions": shown.conditions, "answers": shown.answers, "drawn": drawn[:SHOWN]}
    return measured, arrays


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m metrics.answers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config(parser)
    parser.add_argument("--run", type=Path, help="folder of a finished conditional run")
    parser.add_argument("--task", help="of a control")
    parser.add_argument("--control", help="; ".join(f"{kind}: {', '.join(c)}" for kind, c in ANSWER_CONTROLS.items()))
    parser.add_argument("--out", type=Path, required=True, help="the metric file to write")
    add_threads(parser)
    add_device(parser)
    arguments = parser.parse_args()
    if (arguments.run is None) == (arguments.control is None) or (arguments.task is None) != (
        arguments.control is None
    ):
        raise UserError("name either a finished run (--run), or a control with its task (--control, --task)")
    _answers(arguments)


def _answers(arguments: argparse.Namespace) -> None:
    from networks.lpips import LPIPS
    from training.device import measuring_device, memory_advice

    preset = read_preset(arguments.config)
    device = measuring_device(arguments.device, arguments.threads)
    if arguments.run:
        record, source = read_sealed(arguments.run / "run.json"), arguments.run / "model.safetensors"
        header = {key: record[key] for key in RUN_KEYS}
    else:
        header = dict(zip(RUN_KEYS, (arguments.task, arguments.control, 0, "train", None, None), strict=True))
    task = _task(preset, header["dataset"], arguments.control)
    if arguments.control:
        source = Path("data/prepared", str(preset.resolution), task.dataset, "images.npy")
    elif record.get("task") != task.model_dump(mode="json"):
        raise UserError(
            f"{arguments.run} was not trained on the task {header['dataset']} as {preset.preset} defines it: "
            f"run snakemake to train it again, or name the run's own preset (--config {record['preset']})"
        )
    with memory_advice(f"answers of {header['method']}", "close other programs, or use a larger machine"):
        draw = _of_run(arguments.run, task, device) if arguments.run else partial(control, arguments.control)
        measured, arrays = measure(task, preset, draw, LPIPS(preset.metrics.backtracking.net).to(device))
    pictures = arguments.out.with_suffix(".npz")
    with atomic_path(pictures) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
    content = {"preset": preset.preset, **header, "rows": measured, "inputs": {str(source): sha256_file(source)}}
    write_sealed(arguments.out, {**content, "images_sha256": sha256_file(pictures)})


def _of_run(folder: Path, task: TaskKind, device: torch.device) -> Draw:
    import torch

    from methods.conditional import ConditionalMethod
    from training.conditional import draw_answers
    from training.sampling import load_run

    method = load_run(folder, device)
    assert isinstance(method, ConditionalMethod)  # others have no task
    return lambda examples, purpose: draw_answers(
        method, torch.from_numpy(examples.conditions), ANSWERS[task.kind], purpose
    )


def _task(preset: Preset, name: str, of_control: str | None) -> TaskKind:
    if name not in preset.tasks:
        raise UserError(f"the preset {preset.preset} has no task {name!r}; its tasks: {', '.join(preset.tasks)}")
    task = preset.tasks[name]
    controls = ANSWER_CONTROLS[task.kind]
    if of_control and of_control not in controls:
        raise UserError(f"--control {of_control}: the task {name} has the controls {', '.join(controls)}")
    return task


if __name__ == "__main__":
    run(main)

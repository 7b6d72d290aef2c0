"""Read the files of one preset that earlier stages wrote, or say why something is missing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from common.console import UserError
from common.files import read_json
from metrics.collect import TEXTS
from training.config import Preset, load_preset
from training.sections import ALL_SPLITS
from workflow.rendering.contents import HALVES, Entry, dataset_title, entries

NOT_RUN = "not run"
DUPLICATES = "metrics/{dataset}/floor/seed0/diversity.json"
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Results:
    """The results of one preset, finished or in part.

    folder: results/<preset>, which holds config.json.  prepared: data/prepared/<resolution>.
    shareable: leave out pictures of data sets whose licence forbids copies, and of models trained on them.
    Every reader of pictures returns None if the file is missing; `why` gives the text to print instead.
    """

    folder: Path
    prepared: Path
    shareable: bool = False

    @cached_property
    def preset(self) -> Preset:
        path = self.folder / "config.json"
        try:
            return load_preset(read_json(path))
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """The table of all numbers, see metrics/collect.py."""
        return read_metrics(self.folder / "metrics.csv", self.preset.preset)

    @cached_property
    def rows(self) -> list[Entry]:
        """Methods, then samples made elsewhere, then controls, then the real halves."""
        known, frame = entries(self.preset), self.metrics
        measured = set(frame.loc[~frame["dataset"].isin(list(self.preset.tasks)), "method"])
        elsewhere = sorted(measured - {entry.id for entry in known} - {HALVES.id})
        return [
            *(entry for entry in known if entry.ranked),
            *(Entry(name, name, "external") for name in elsewhere),
            *(entry for entry in known if not entry.ranked),
            *([HALVES] if HALVES.id in measured else []),
        ]

    @property
    def ranked(self) -> list[Entry]:
        """The rows that are ranked and shown in figures: all except controls and real halves."""
        return [row for row in self.rows if row.ranked]

    @property
    def generators(self) -> list[Entry]:
        """The trained methods: neither controls nor samples made elsewhere."""
        return [row for row in self.rows if row.kind == "method"]

    @property
    def answerers(self) -> list[Entry]:
        """The conditional methods, which answer the inputs of tasks."""
        return entries(self.preset, conditional=True)

    @property
    def datasets(self) -> list[str]:
        """The data sets of the preset and of its tasks."""
        return list(dict.fromkeys([*self.preset.datasets, *(task.dataset for task in self.preset.tasks.values())]))

    @cached_property
    def runs(self) -> list[dict[str, Any]]:
        """The run.json of every run of the preset, in the order of datasets, methods, seeds and splits."""
        paths = [
            self.run_folder(dataset, method, seed, split) / "run.json"
            for dataset in (*self.preset.datasets, *self.preset.tasks)
            for method in self.preset.methods
            for seed in self.preset.seeds
            for split in ALL_SPLITS
            if self.preset.why_left_out(dataset, method, split, seed) is None
        ]
        return [read_json(path) for path in paths if path.is_file()]

    def runs_of(self, rows: pd.DataFrame) -> list[dict[str, Any]]:
        """The runs behind the rows of a table with the columns dataset, method, seed and split."""
        columns = ["dataset", "method", "seed", "split"]
        behind = set(rows[columns].itertuples(index=False, name=None))
        return [run for run in self.runs if tuple(run[name] for name in columns) in behind]

    @cached_property
    def measured_runs(self) -> list[dict[str, Any]]:
        """The runs behind the numbers of metrics.csv; others have been trained, but are not measured yet."""
        return self.runs_of(self.metrics)

    def run_folder(self, dataset: str, method: str, seed: int, split: str) -> Path:
        return self.folder / "runs" / dataset / method / f"seed{seed}" / split

    def why_missing(self, dataset: str, row: Entry, split: str = "full", seed: int | None = None) -> str:
        """The text of a cell without a number: "n/a (reason)" if it cannot exist, otherwise "not run"."""
        reason = self.preset.why_left_out(dataset, row.id, split, seed)
        if not reason and row.kind == "external" and not self._measured(dataset, row):
            reason = "no samples were supplied"
        return f"n/a ({reason})" if reason else NOT_RUN

    def _measured(self, dataset: str, row: Entry) -> bool:
        """Has the row any number on the data set?"""
        return bool(((self.metrics["dataset"] == dataset) & (self.metrics["method"] == row.id)).any())

    def why(self, dataset: str, row: Entry, split: str = "full") -> str:
        """Why pictures of a row are missing: left out, not run, or run but the pictures are not on this machine."""
        seed = self._seed(row)
        reason = self.why_missing(dataset, row, split, seed)
        ran = row.kind == "external" or (self.run_folder(dataset, row.id, seed, split) / "run.json").is_file()
        return self.why_no_images(dataset) if reason == NOT_RUN and ran else reason

    def why_no_images(self, dataset: str) -> str:
        """Why images are missing: results saved in the repository have no photographs without a licence."""
        if self.manifest(dataset).get("shareable", True):
            return "n/a (the images are not on this machine)"
        return "n/a (no licence allows copies of these photographs, or of images made from them)"

    def manifest(self, dataset: str) -> dict[str, Any]:
        """The manifest that `prepare` wrote; empty if the dataset is not on this machine."""
        path = self.prepared / dataset / "manifest.json"
        return dict(read_json(path)) if path.is_file() else {}

    @property
    def pictured(self) -> tuple[str, ...]:
        """The data sets whose pictures figures show; all, with the reason in their place, if none may be copied."""
        return tuple(name for name in self.preset.datasets if not self._hidden(name)) or self.preset.datasets

    def attributions(self) -> list[str]:
        """The lines that the licences of the datasets require, and which of them are not shown."""
        hidden = [name for name in self.preset.datasets if name not in self.pictured]
        lines = (self.manifest(name).get("attribution") for name in self.datasets if name not in hidden)
        missing = (
            f"Not shown, because no licence allows copies: {', '.join(map(dataset_title, hidden))}." if hidden else None
        )
        return [line for line in dict.fromkeys([*lines, missing]) if line]

    def real(self, dataset: str) -> np.ndarray | None:
        """All images of a dataset, uint8 (n, H, W, 3)."""
        path = self.prepared / dataset / "images.npy"
        return np.load(path) if path.is_file() and not self._hidden(dataset) else None

    def samples(self, dataset: str, row: Entry) -> Arrays | None:
        """`images`, uint8 (n, H, W, 3) in the order drawn; of methods also `interpolation`, (rows, steps, H, W, 3)."""
        return self._arrays(dataset, row, "full", "samples")

    def intake(self, dataset: str, row: Entry) -> dict[str, Any] | None:
        """What was read of samples made elsewhere (data/external.py); None if they are not on this machine."""
        path = self.folder / "samples" / dataset / row.id / "seed0.npz"
        return sample_meta(path).get("intake") if path.is_file() else None

    def copies(self, dataset: str, row: Entry) -> Arrays | None:
        """`ratio`, `nearest` and `mirrored` (n,) of the samples, see metrics/copy_rate.py."""
        return self._arrays(dataset, row, "full", "metrics", "/diversity")

    def answers(self, task: str, method: str) -> Arrays | None:
        """`conditions` (n, c, h, w), `answers` and `drawn` uint8 (n, a or k, H, W, 3) of the first held-out inputs."""
        controls = method not in self.preset.methods
        seed = 0 if controls else self.preset.seeds[0]
        return read_arrays(self.folder / "metrics" / task / method / f"seed{seed}" / "answers.npz")

    def near_duplicates(self, dataset: str) -> list[str]:
        """Pairs of training images that are almost the same, as names of files: "1.png and 7.png"."""
        path, images = self.folder / DUPLICATES.format(dataset=dataset), self.manifest(dataset).get("images")
        if not path.is_file() or not images:
            return []
        return [" and ".join(images[index]["file"] for index in pair) for pair in read_json(path)["near_duplicates"]]

    def backtracking(self, dataset: str, row: Entry) -> Arrays | None:
        """`target` and `reconstruction` uint8 (k, H, W, 3), `score` (k,), `index` (k,) of the held-out images."""
        return self._arrays(dataset, row, "train90", "metrics", "/backtracking")

    def history(self, dataset: str, row: Entry, seed: int) -> pd.DataFrame | None:
        """What a full-set training logged: a column `step`, `seconds`, and one for each scalar."""
        path = self.run_folder(dataset, row.id, seed, "full") / "history.csv"
        left_out = self.preset.why_left_out(dataset, row.id, "full", seed)
        return pd.read_csv(path) if path.is_file() and not left_out else None

    def _arrays(self, dataset: str, row: Entry, split: str, kind: str, name: str = "") -> Arrays | None:
        seed = self._seed(row)
        if self._hidden(dataset) or self.preset.why_left_out(dataset, row.id, split, seed):
            return None  # if it is left out, a file here belongs to an earlier configuration
        return read_arrays(self.folder / kind / dataset / row.id / f"seed{seed}{name}.npz")

    def _hidden(self, dataset: str) -> bool:
        return self.shareable and not self.manifest(dataset).get("shareable")

    def _seed(self, row: Entry) -> int:
        """The seed that figures show.  Samples made elsewhere have no seed and are stored as seed 0."""
        return 0 if row.kind == "external" else self.preset.seeds[0]


def nearest_images(real: np.ndarray, copies: Arrays, samples: Sequence[int] | np.ndarray) -> np.ndarray:
    """The training image nearest to each of these samples in pixels, mirrored where its mirror image is nearer."""
    nearest = real[copies["nearest"][samples]]
    return np.where(copies["mirrored"][samples, None, None, None], nearest[:, :, ::-1], nearest)


def check_targets(runs: Iterable[Arrays], dataset: str) -> None:
    """Raises `UserError` if methods were backtracked on different held-out images."""
    if len({tuple(arrays["index"]) for arrays in runs}) > 1:
        raise UserError(f"backtracking of {dataset} used different held-out images per method; evaluate again")


def open_results(path: Path | str) -> Results:
    """The results in a folder, or beside a metrics.csv.  Saved results contain their manifests."""
    folder = Path(path).parent if Path(path).suffix else Path(path)
    results = Results(folder, folder / "prepared")
    saved = results.prepared.is_dir()
    return results if saved else replace(results, prepared=Path("data/prepared", str(results.preset.resolution)))


def read_metrics(path: Path, preset: str) -> pd.DataFrame:
    """The table of metrics/collect.py.  Raises `UserError` if it is damaged or has numbers of another preset."""
    try:
        frame = pd.read_csv(path, dtype=TEXTS)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run: snakemake --cores all {shlex.quote(str(path))}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path} is not a CSV table ({error}); delete it and run again") from None
    if "reason" not in frame:  # every number could be computed
        frame["reason"] = None
    if others := sorted(set(frame["preset"]) - {preset}):
        raise UserError(f"{path} holds numbers of preset {', '.join(others)}, not of {preset}; delete it and run again")
    return frame


def sample_meta(path: Path) -> dict[str, Any]:
    """The meta of a sample or feature file."""
    with np.load(path, allow_pickle=False) as file:
        return dict(json.loads(str(file["meta"])))


def read_arrays(path: Path) -> Arrays | None:
    """The arrays of an .npz, or None if there is none.  Raises `UserError` naming a damaged file.

    Nothing is kept: the samples of one run of the paper's size are a gigabyte.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files if name != "meta"}
    except (BadZipFile, ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run again") from None

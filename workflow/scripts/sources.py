"""Where the pictures are: reading what earlier stages wrote, or saying why it is not there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from common.console import UserError
from common.files import read_json
from workflow.scripts.settings import NOT_RUN, Entry, Settings


@dataclass(frozen=True)
class Sources:
    """The files of one preset.

    results: results/<preset>.  prepared: data/prepared/<resolution>.  features: results/<preset>/features/<network>,
    or None.  Every reader returns None where the file is absent; `why` says what to print in its place.
    """

    settings: Settings
    results: Path
    prepared: Path
    features: Path | None = None

    def real(self, dataset: str) -> np.ndarray | None:
        """All images of a dataset, uint8 (n, H, W, 3)."""
        path = self.prepared / dataset / "images.npy"
        return np.load(path) if path.is_file() else None

    def manifest(self, dataset: str) -> dict[str, Any]:
        """The manifest that `prepare` wrote; empty where the dataset is not here."""
        path = self.prepared / dataset / "manifest.json"
        return read_json(path) if path.is_file() else {}

    def samples(self, dataset: str, method: Entry) -> np.ndarray | None:
        """Generated images, uint8 (n, H, W, 3), in the order they were drawn."""
        return (
            None if self._left_out(dataset, method, "full") else _array(self._samples_path(dataset, method), "images")
        )

    def interpolation(self, dataset: str, method: Entry) -> np.ndarray | None:
        """Latent interpolations, uint8 (rows, steps, H, W, 3)."""
        return _array(self._samples_path(dataset, method), "interpolation")

    def backtracking(self, dataset: str, method: Entry) -> dict[str, np.ndarray] | None:
        """`target` and `reconstruction` uint8 (k, H, W, 3), `score` (k,), `index` (k,) of the held-out images."""
        if self._left_out(dataset, method, "train90"):
            return None
        folder = self.results / "metrics" / dataset / method.id / self._seed(method)
        arrays = {
            key: _array(folder / "backtracking.npz", key) for key in ("target", "reconstruction", "score", "index")
        }
        return None if arrays["target"] is None else arrays

    def feature_pair(self, dataset: str, method: Entry) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Features of the generated (n, d) and of the real images (m, d); needs `features`."""
        fake = _array(self.features / dataset / method.id / f"{self._seed(method)}.npz", "features")
        real = _array(self.features / dataset / "real.npz", "features")
        return fake, real

    def history(self, dataset: str, method: Entry, seed: int) -> pd.DataFrame | None:
        """What a full-set training logged: a column `step`, `seconds`, and one for each scalar."""
        path = self.results / "runs" / dataset / method.id / f"seed{seed}" / "full" / "history.csv"
        return pd.read_csv(path) if path.is_file() and not self._left_out(dataset, method, "full") else None

    def runs(self) -> list[dict[str, Any]]:
        """The run.json of every training of the configured datasets, methods, seeds and splits, in that order."""
        paths = [
            self.results / "runs" / dataset.id / method.id / f"seed{seed}" / split / "run.json"
            for dataset in self.settings.datasets
            for method in self.settings.generators
            for seed in self.settings.seeds
            for split in ("full", "train90")
            if not self._left_out(dataset.id, method, split)
        ]
        return [read_json(path) for path in paths if path.is_file()]

    def _left_out(self, dataset: str, method: Entry, split: str) -> bool:
        """Files that an earlier configuration left behind are not this one's."""
        return self.settings.why_missing(dataset, method, split).startswith("n/a")

    def why(self, dataset: str, method: Entry, split: str = "full") -> str:
        """Why a run's pictures are missing: it was left out, or it was done but its pictures are not here."""
        reason = self.settings.why_missing(dataset, method, split)
        run = self.results / "runs" / dataset / method.id / self._seed(method) / split / "run.json"
        return self.why_no_images(dataset) if reason == NOT_RUN and run.is_file() else reason

    def why_no_images(self, dataset: str) -> str:
        """Photographs that nobody may pass on are missing from published results, and so is what shows them."""
        if self.manifest(dataset).get("shareable", True):
            return "n/a (the images are not on this machine)"
        return "n/a (no licence allows copies of these photographs, or of images made from them)"

    def attributions(self) -> list[str]:
        """The lines that the licences of the shown datasets ask for."""
        manifests = (self.manifest(dataset.id) for dataset in self.settings.datasets)
        return list(dict.fromkeys(manifest["attribution"] for manifest in manifests if manifest.get("attribution")))

    def _seed(self, method: Entry) -> str:
        """Samples made elsewhere have no seed of ours and are filed under 0."""
        return f"seed{0 if method.kind == 'external' else self.settings.figure_seed}"

    def _samples_path(self, dataset: str, method: Entry) -> Path:
        return self.results / "samples" / dataset / method.id / f"{self._seed(method)}.npz"


@cache
def _array(path: Path, key: str) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        with np.load(path) as arrays:
            return arrays.get(key)
    except (BadZipFile, ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and run again") from None

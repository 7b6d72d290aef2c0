"""From table cell to training data: does every file still hold what the next one was made from?

    python -m workflow.scripts.verify --results results/demo --prepared data/prepared/32

Tables are rendered again from metrics.csv, and metrics.csv is collected again from the metric files.  From there on,
each file records the sha256 of what it was made from: metric file, features, samples, run, prepared images, fetched
images.  Nothing is written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from common.console import UserError, run
from common.files import read_json, read_sealed
from common.hashing import sha256_bytes, sha256_file
from data.datasets import dataset_info
from data.load import data_hash, load
from data.verify import LOCK
from metrics.collect import to_csv
from training.identity import config_hash, run_hash, sources_digest
from training.registry import methods
from workflow.scripts import numbers, settings, tables

FILE_OF = {"fid": "fid", "precision": "precision_recall", "lpips_backtracking": "backtracking"}  # by metric


class Chain:
    """The links of one preset's results.  counts: what was looked at, by kind; broken: one sentence a broken link.

    results: results/<preset>.  prepared: data/prepared/<resolution>.  raw: data/raw.
    """

    def __init__(self, results: Path, prepared: Path, raw: Path) -> None:
        self.results, self.prepared, self.raw = results, prepared, raw
        self.counts: Counter[str] = Counter()
        self.broken: list[str] = []
        self._seen: set[tuple[str, Path]] = set()

    def link(self, kind: str, path: Path, check: Callable[[Path], None]) -> None:
        """Check one file, once, and note what is wrong with it."""
        if (kind, path) in self._seen:
            return
        self._seen.add((kind, path))
        self.counts[kind] += 1
        try:
            check(path)
        except (UserError, OSError, ValueError, KeyError, TypeError) as error:
            known = isinstance(error, UserError)
            self.broken.append(str(error) if known else f"{path} cannot be read ({error!r})")

    def walk(self) -> None:
        """Follow every table and every number of metrics.csv down to the images."""
        known = settings.load(self.results / "rendering.json")
        frame = numbers.read_metrics(self.results / "metrics.csv", known)
        for number in tables.CONTENTS if known.table3["datasets"] else (1, 2):
            table = tables.build(number, frame, known)
            self.counts["table cells"] += sum(bool(cell.values) for cell in table.cells.values())
            self.link(
                "tables",
                self.results / "tables" / f"table{number}",
                lambda path, table=table: self._table(path, table, known),
            )
        found = frame[frame["metric"].isin(FILE_OF)].drop_duplicates(["dataset", "method", "seed", "metric"])
        files = [
            self.results / "metrics" / row.dataset / row.method / f"seed{row.seed}" / f"{FILE_OF[row.metric]}.json"
            for row in found.itertuples()
        ]
        self.link("metrics.csv", self.results / "metrics.csv", lambda path: self._collected(path, files))
        for file in files:
            self.link("metric files", file, self._metric)

    def _table(self, path: Path, table: tables.Table, known: settings.Settings) -> None:
        with TemporaryDirectory() as scratch:
            again = [Path(scratch, f"table.{suffix}") for suffix in ("csv", "md", "tex")]
            tables.write(table, known, *again)
            for file in again:
                if path.with_suffix(file.suffix).read_bytes() != file.read_bytes():
                    raise UserError(f"{path.with_suffix(file.suffix)} is not what metrics.csv renders to")

    def _collected(self, path: Path, files: list[Path]) -> None:
        if path.read_text(encoding="utf-8") != to_csv(files):
            raise UserError(f"{path} is not what the metric files collect to")

    def _metric(self, path: Path) -> None:
        content = read_sealed(path)
        if "images_sha256" in content:
            _same(path.with_suffix(".npz"), content["images_sha256"], path)
        for name, sha256 in content["inputs"].items():
            source = Path(name)
            _same(source, sha256, path)
            if source.suffix == ".npz":
                self.link("feature files", source, self._features)
            elif source.name == "model.safetensors":
                self._from_run(path, content["run_hash"], source.parent)

    def _features(self, path: Path) -> None:
        meta = _meta(path)
        weights = self.raw / "weights" / f"{meta['network']}.safetensors"
        _same(weights, meta["weights"], path)
        dataset, *of_samples = path.relative_to(self.results / "features" / meta["network"]).parts
        if of_samples == ["real.npz"]:
            _same(self.prepared / dataset / "images.npy", meta["source"], path)
            self.link("datasets", self.prepared / dataset, self._dataset)
        else:
            samples = self.results.joinpath("samples", dataset, *of_samples)
            _same(samples, meta["source"], path)
            self.link("sample sets", samples, self._samples)

    def _samples(self, path: Path) -> None:
        meta = _meta(path)
        if "model_sha256" not in meta:  # made elsewhere: the images themselves are the beginning
            with np.load(path, allow_pickle=False) as file:
                actual = sha256_bytes(file["images"].tobytes())[: len(meta["run_hash"])]
            if actual != meta["run_hash"]:
                raise UserError(f"{path} holds other images than those that were imported")
            return
        folder = self.results / "runs" / meta["dataset"] / meta["method"] / f"seed{meta['seed']}" / meta["split"]
        _same(folder / "model.safetensors", meta["model_sha256"], path)
        self._from_run(path, meta["run_hash"], folder)

    def _from_run(self, path: Path, run_hash: str, folder: Path) -> None:
        """`path` was made from the run in `folder`, if it is still the one of that hash."""
        if (actual := read_sealed(folder / "run.json")["run_hash"]) != run_hash:
            raise UserError(f"{folder} holds the run {actual}, but {path} was made from {run_hash}")
        self.link("runs", folder / "run.json", self._run)

    def _run(self, path: Path) -> None:
        record = read_sealed(path)
        for name, sha256 in record["files"].items():
            _same(path.with_name(name), sha256, path)
        if (config_hash(record), run_hash(record)) != (record["config_hash"], record["run_hash"]):
            raise UserError(f"{path}: its settings do not give its run_hash")
        if record["method"] not in methods() or sources_digest(record["method"]) != record["sources_hash"]:
            raise UserError(f"{path}: {record['method']} was trained with other sources than those in methods/")
        images, _ = load(record["dataset"], record["resolution"], record["split"], self.prepared.parent)
        if (actual := data_hash(images)) != record["data_hash"]:
            raise UserError(f"{path} was trained on images with sha256 {record['data_hash']}, not {actual}")
        self.link("datasets", self.prepared / record["dataset"], self._dataset)

    def _dataset(self, folder: Path) -> None:
        _, manifest = load(folder.name, int(self.prepared.name), root=self.prepared.parent)
        for entry in manifest["images"]:
            _same(self.raw / folder.name / entry["file"], entry["sha256"], folder / "manifest.json")
        self.counts["images"] += len(manifest["images"])
        pixels = sha256_bytes("\n".join(entry["pixels_sha256"] for entry in manifest["images"]).encode())
        pinned = dataset_info(folder.name).pixels_sha256
        expected = pinned or read_json(self.raw / LOCK)[folder.name]["pixels_sha256"]
        if pixels != expected:
            where = "data/datasets.yaml" if pinned else self.raw / LOCK
            raise UserError(f"{folder} has pixels with sha256 {pixels}, but {where} has {expected}")


def _same(path: Path, sha256: str, recorded_in: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path} is missing, and {recorded_in} was made from it")
    if (actual := sha256_file(path)) != sha256:
        raise UserError(f"{path} has sha256 {actual}, but {recorded_in} was made with {sha256}")


def _meta(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return json.loads(str(file["meta"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="results/<preset>")
    parser.add_argument("--prepared", type=Path, required=True, help="data/prepared/<resolution>")
    parser.add_argument("--raw", type=Path, default=Path("data/raw"), help="fetched files (default: data/raw)")
    arguments = parser.parse_args()
    chain = Chain(arguments.results, arguments.prepared, arguments.raw)
    chain.walk()
    for sentence in chain.broken:
        print(f"broken link: {sentence}")
    seen = ", ".join(f"{number:,} {kind}" for kind, number in chain.counts.items())
    if chain.broken:
        sys.exit(
            f"error: {len(chain.broken)} broken links in {arguments.results} (looked at {seen}); run snakemake again"
        )
    print(f"{arguments.results}: intact ({seen})")


if __name__ == "__main__":
    run(main)

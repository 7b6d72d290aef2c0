"""An accelerator that is not there: tensors that claim to lie on another device, computed on the CPU.

Inside `with pretended()`, every operation is checked as a GPU would check it: tensors of two devices cannot be
combined, and data move only by explicit copies.  The values are those of the CPU.  `Traffic` counts what a GPU would
wait for: copies from the host to the device, and values that the host reads.  It also counts the operations that
would have other bits in every run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_map, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretended"
aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default}
# Operations whose result or shape the host has to know, so it waits for the device.
READS = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.masked_select.default,
    aten.nonzero.default,
    aten._unique2.default,
    aten.unique_dim.default,
}
# Operations for which torch has no deterministic version on CUDA (torch.use_deterministic_algorithms lists them).
# Bilinear enlargement is not among them: torch then composes it of other operations.
UNEQUAL = {
    aten._adaptive_avg_pool2d_backward.default,
    aten.bincount.default,
    aten.cumsum.default,
    aten.grid_sampler_2d_backward.default,
    aten.histc.default,
    aten.median.dim,
    aten.reflection_pad2d_backward.default,
    aten.upsample_bicubic2d_backward.default,
}
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}


class DeviceTensor(Tensor):
    """A tensor of the pretended device.  raw: the CPU tensor that holds its values."""

    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> DeviceTensor:
        return Tensor._make_wrapper_subclass(  # type: ignore[attr-defined, no-any-return]
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=torch.device(NAME, 0),
        )

    def __init__(self, raw: Tensor) -> None:
        self.raw = raw

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __format__(self, spec: str) -> str:
        return format(self.cpu(), spec)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return execute(func, args, kwargs or {}, Counter())


class Traffic(TorchDispatchMode):
    """Runs every operation.  counts: `transfers` from the host to the device, `reads` by the host, `unequal`."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return execute(func, args, kwargs or {}, self.counts)


class FromHost(TorchFunctionMode):
    """Numbers that become a tensor of the device are copied there; torch does this below the dispatch mode."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        return func(*args, **kwargs)


def execute(func: Any, args: Any, kwargs: dict[str, Any], counts: Counter[str]) -> Any:
    """One operation on the CPU, with the checks of a device.  Raises RuntimeError if devices are mixed."""
    inputs = [leaf for leaf in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    here = any(isinstance(tensor, DeviceTensor) for tensor in inputs)
    asked = kwargs.get("device")
    there = torch.device(asked).type == NAME if asked is not None else here
    if not here and not there:
        return func(*args, **kwargs)
    if here and func not in COPIES:
        _refuse_mixed(func, inputs)
    _count(func, args, here, there, counts)
    raw_args, raw_kwargs = tree_map_only(DeviceTensor, lambda tensor: tensor.raw, (args, kwargs))
    if asked is not None:
        raw_kwargs = {**raw_kwargs, "device": torch.device("cpu")}
    with torch.no_grad():
        result = func(*raw_args, **raw_kwargs)
    if func is aten._to_copy.default and here != there:  # a copy to another device never shares memory
        result = result.clone()
    if not there or func is aten.copy_.default:
        return args[0] if func is aten.copy_.default else result
    wrapped = tree_map_only(Tensor, DeviceTensor, result)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if here else wrapped


def _refuse_mixed(func: Any, inputs: list[Tensor]) -> None:
    """As on CUDA, single numbers may lie on the CPU, and so may the indices of an indexing operation."""
    on_cpu = [tensor for tensor in inputs if not isinstance(tensor, DeviceTensor) and tensor.dim() > 0]
    if on_cpu and func not in INDEXING:
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, but found {NAME} and cpu")


def _count(func: Any, args: Any, here: bool, there: bool, counts: Counter[str]) -> None:
    counts["unequal"] += func in UNEQUAL
    if func in READS:
        counts["reads"] += 1
    elif func is aten.copy_.default:
        to_device, from_device = (isinstance(tensor, DeviceTensor) for tensor in args[:2])
        counts["transfers"] += to_device and not from_device
        counts["reads"] += from_device and not to_device
    elif func is aten._to_copy.default:
        counts["transfers"] += there and not here
        counts["reads"] += here and not there
    elif func in INDEXING:
        indices = [index for index in args[1] if index is not None]
        counts["reads"] += any(index.dtype in (torch.bool, torch.uint8) for index in indices)
        counts["transfers"] += sum(not isinstance(index, DeviceTensor) for index in indices)


class Generator(torch.Generator):
    """Random generators of the device are those of the CPU."""

    def __new__(cls, device: torch.device | str = "cpu") -> Generator:
        return super().__new__(cls, "cpu" if torch.device(device).type == NAME else device)


@cache
def register() -> None:
    """Call this before the first backward pass of the process, at which torch counts its devices."""
    _setup_privateuseone_for_python_backend(NAME)
    # torch composes this operation of others, which round differently, where a device has no kernel for it.
    _kernels.impl("silu_backward", _silu_backward, "PrivateUse1")


def _silu_backward(*_: Any) -> Any:
    raise NotImplementedError("outside `pretended`")


_kernels = torch.library.Library("aten", "IMPL")


@contextmanager
def pretended() -> Iterator[tuple[torch.device, Counter[str]]]:
    """The device, and what is counted while the block runs."""
    register()
    with Traffic() as traffic, FromHost(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "Generator", Generator)
        yield torch.device(NAME, 0), traffic.counts


def to_host(value: Any) -> Any:
    """The CPU tensors of a nest of dicts and lists, without counting."""
    return tree_map(lambda leaf: leaf.raw.clone() if isinstance(leaf, DeviceTensor) else leaf, value)


def to_device(value: Any, device: torch.device) -> Any:
    """The same nest with its tensors on a device."""
    return tree_map_only(Tensor, lambda tensor: tensor.to(device, copy=True), value)

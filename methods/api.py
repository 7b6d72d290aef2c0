"""The contract between a method and the benchmark.

A method is one class in one file of `methods/`.  To add a baseline, write this file and name the method in the
configuration (CONTRIBUTING.md has an example).  The benchmark trains it (training/loop.py), samples it
(training/sampling.py) and backtracks through it (metrics/lpips_backtracking.py) through this interface only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from common.hashing import derive_seed

Scalars = dict[str, float | Tensor]


@dataclass(frozen=True)
class Latents:
    """All random inputs of a generator, so that `generate` itself is deterministic.

    z: (n, d), the latent codes.  noise: further random inputs by name, each with leading dimension n; empty for a
    generator without any.  Backtracking optimises z and keeps the noise fixed.
    """

    z: Tensor
    noise: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> Latents:
        return Latents(self.z[index], {name: value[index] for name, value in self.noise.items()})

    def to(self, device: torch.device | str) -> Latents:
        return Latents(self.z.to(device), {name: value.to(device) for name, value in self.noise.items()})

    def chunks(self, size: int) -> Iterator[Latents]:
        """Consecutive pieces of at most `size` latents."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    @staticmethod
    def cat(pieces: Sequence[Latents]) -> Latents:
        noise = {name: torch.cat([piece.noise[name] for piece in pieces]) for name in pieces[0].noise}
        return Latents(torch.cat([piece.z for piece in pieces]), noise)


@dataclass(frozen=True)
class Streams:
    """The random streams of one run.

    Every draw is a pure function of (seed, dataset, method, split, purpose, step) and independent of earlier draws:
    an interrupted run resumes to the same bits, and no generator state has to be saved.
    """

    seed: int
    dataset: str
    method: str
    split: str

    def seed_of(self, purpose: str, step: int = 0) -> int:
        return derive_seed(self.seed, self.dataset, self.method, self.split, purpose, step)

    def generator(self, purpose: str, step: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
        return torch.Generator(device).manual_seed(self.seed_of(purpose, step))

    @contextmanager
    def seeded(self, purpose: str) -> Iterator[None]:
        """Seed torch's global generator inside the block (layers initialise themselves from it), restore it after."""
        with torch.random.fork_rng(devices=[]):  # layers are initialised on the CPU
            torch.manual_seed(self.seed_of(purpose))
            yield


class Method:
    """A generative model of a small image set.

    Subclasses set `name` (a literal: the Snakefile reads it without importing torch), nest a frozen dataclass `Config`
    whose fields are the method's keys in the configuration files, and implement the functions below.
    """

    name: ClassVar[str]
    title: ClassVar[str]  # what tables and figures print
    track: ClassVar[Literal["none", "loss", "inside"]]  # outside knowledge that it uses: docs/protocol.md
    trains: ClassVar[bool] = True  # False: nothing to learn (a control); `train_step` is never called
    backtracks: ClassVar[bool] = True  # False: no latent code to optimise; its backtracking cells read "n/a"
    Config: ClassVar[type]

    def __init__(self, config: Any, resolution: int, channels: int, images: Tensor, streams: Streams) -> None:
        """config: an instance of `Config`.  images: the training set, float32 (n, channels, resolution, resolution)
        in [-1, 1], on the device that the method uses.
        """
        self.config, self.resolution, self.channels = config, resolution, channels
        self.images, self.streams = images, streams

    @property
    def device(self) -> torch.device:
        return self.images.device

    def train_step(self, step: int) -> Scalars:
        """Update every network once; return named scalars for the log.  Steps count from 0.

        A scalar is a number, or a tensor () without its graph, which the training loop reads later: `.item()` would
        make the host wait for a GPU in every step.  For the same reason a step moves its random numbers to the device
        together (methods/transfer.py).
        """
        raise NotImplementedError

    def latents(self, n: int, generator: torch.Generator) -> Latents:
        """Draw n latents from the prior with a CPU generator; they are on `self.device`."""
        raise NotImplementedError

    def generate(self, latents: Latents) -> Tensor:
        """Images (n, channels, resolution, resolution), float32, nominally in [-1, 1], differentiable in z.

        The image of one latent does not depend on the others in the batch (within 1e-5).
        """
        raise NotImplementedError

    def freeze(self) -> None:
        """Make `generate` ready for evaluation; called before a sample grid and before the weights are exported.

        A method that samples from averaged weights recomputes their batch statistics here.  Training goes on
        afterwards as if it had not been called.
        """

    def networks(self) -> dict[str, nn.Module]:
        """The trained networks by role ("generator", "discriminator", ...), for `python -m training describe`."""
        raise NotImplementedError

    def sampler(self) -> nn.Module:
        """The network that `generate` evaluates: its state_dict is what `model.safetensors` holds."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """All that a bit-exact resume needs: nested dicts and lists of tensors, numbers, strings, bools and None."""
        raise NotImplementedError

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise NotImplementedError

    def minibatch(self, step: int, size: int, rest: Literal["keep", "drop", "fill"] = "keep") -> Tensor:
        """Indices (<= size,) of step's mini-batch, on the device: see `draw_minibatch`."""
        return self.draw_minibatch(step, size, rest).to(self.device)

    def draw_minibatch(self, step: int, size: int, rest: Literal["keep", "drop", "fill"] = "keep") -> Tensor:
        """The indices on the CPU: each epoch is a new permutation, cut into consecutive pieces.

        rest: an incomplete last piece of an epoch is kept, dropped, or filled up from the next epoch.  With n < size,
        a piece is the complete set (unless it is filled).
        """
        n = len(self.images)
        if rest == "fill":
            epoch, start = divmod(step * size, n)
            orders = [self._permutation(each) for each in range(epoch, epoch + -(-(start + size) // n))]
            return torch.cat(orders)[start : start + size]
        per_epoch = max(1, n // size) if rest == "drop" else -(-n // size)
        epoch, position = divmod(step, per_epoch)
        return self._permutation(epoch)[position * size : (position + 1) * size]

    def _permutation(self, epoch: int) -> Tensor:
        return torch.randperm(len(self.images), generator=self.streams.generator("minibatch", epoch))


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] NCHW float to 0..255 NHWC uint8, clipped and truncated as the official code writes its samples.

    The thousandth of a level makes this the inverse of `to_float`, whose rounding would otherwise lose whole levels.
    """
    return ((images.detach() + 1) * 127.5 + 1e-3).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu()


def to_float(images: Tensor) -> Tensor:
    """0..255 NHWC uint8 to [-1, 1] NCHW float32."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1

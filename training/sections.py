"""The parts of a preset besides its cells: each is read, validated and filled in with its defaults.  No torch here.

config/README.md explains every key.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.console import UserError
from training.protocols import (
    SSCD_SMALLEST,
    Backtracking,
    BacktrackingProtocol,
    PrecisionRecall,
    PrecisionRecallName,
    check_side,
)

Split = Literal["full", "train90", "train"]
SPLITS: tuple[Split, ...] = ("full", "train90")  # of datasets
ALL_SPLITS: tuple[Split, ...] = (*SPLITS, "train")  # of datasets and tasks
# Settings of methods that must be above zero, as must all named `*_every`.
POSITIVE = (
    *("batch", "microbatch", "pool_batch", "pool_factor", "pool_size", "chunk", "m", "proj_dim", "sketch_dim"),
    *("learning_rate", "latent_dim", "nz", "bn_latents", "path_batch_shrink", "ada_kimg", "sampler_steps"),
)


class Section(BaseModel):
    """Part of a preset.  An unknown key or a value of another type is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Metrics(Section):
    precision_recall: tuple[PrecisionRecallName, ...] = Field((PrecisionRecall("inception", 5, 1000),), min_length=1)
    frechet: tuple[Literal["dinov2vits14", "dinov2vitb14", "dinov2vitl14"], ...] = ()
    backtracking: BacktrackingProtocol = Backtracking()
    sscd: bool = False
    full_set: str | None = None  # a data set of the preset, of which the others are parts

    @property
    def networks(self) -> list[str]:
        """FID's Inception, and the networks of precision and recall and of further Fréchet distances."""
        return sorted({"inception", *self.frechet, *(protocol.network for protocol in self.precision_recall)})

    def check_resolution(self, side: int, backtracks: bool) -> None:
        """Raises `UserError` for images of `side` pixels that a metric cannot measure.  Only backtracking pools."""
        if self.sscd and side < SSCD_SMALLEST:
            raise UserError(f"metrics.sscd: SSCD needs a resolution of at least {SSCD_SMALLEST}, not {side}")
        lpips = self.backtracking
        check_side(side, lpips.net, lpips.upsample, lpips.pool if backtracks else 1)


class Training(Section):
    threads: int = Field(1, ge=1)
    require_gpu: bool = False
    runs_per_gpu: int = Field(1, ge=1)
    deterministic: bool = False
    log_every: int = Field(100, ge=1)
    grid_every: int = Field(1000, ge=1)
    save_every: int = Field(1000, ge=1)
    checkpoints: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    memory_mb: int = Field(4000, ge=500)


class Sampling(Section):
    n: int = Field(5000, ge=10)
    interpolation_rows: int = Field(2, ge=2)
    interpolation_steps: int = Field(8, ge=2)


class Tables(Section):
    ablation_datasets: tuple[str, ...] = ()


class Statistics(Section):
    """What the statistics test, stated before the runs; docs/protocol.md says why."""

    metric: Literal["fid", "lpips_backtracking", "precision", "recall"] = "fid"
    reference: str | None = None  # the method that the others are compared with; None: the first of the preset
    test: Literal["wilcoxon", "nemenyi"] = "wilcoxon"  # of all pairs of methods over the datasets


class Skip(Section):
    """Cells that are left out; an absent key means all."""

    reason: str = Field(min_length=1)
    dataset: str | None = None
    method: str | None = None
    split: Split | None = None
    seeds: tuple[Annotated[int, Field(ge=0)], ...] | None = None

    def covers(self, dataset: str, method: str, split: str, seed: int) -> bool:
        cell = self.dataset in (None, dataset) and self.method in (None, method) and self.split in (None, split)
        return cell and (self.seeds is None or seed in self.seeds)


class MethodEntry(BaseModel):
    """A method's entry in a preset.  Keys that are not listed here are fields of the method's Config."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    steps: int = Field(0, ge=0)
    by_dataset: dict[str, dict[str, Any]] = {}
    by_task: dict[str, dict[str, Any]] = {}

    def resolved(self, dataset: str) -> dict[str, Any]:
        """`steps` and the fields of the Config for one dataset or task."""
        own = {**self.by_dataset, **self.by_task}.get(dataset, {})
        return {"steps": self.steps, **(self.model_extra or {}), **own}

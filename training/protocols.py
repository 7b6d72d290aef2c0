"""Protocols of the metrics: the name of a protocol fixes everything that a value depends on besides the images.

They are settings of a preset (`metrics:`), so they are defined here and not in `metrics`.  No torch here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from common.console import UserError
from networks.names import FEATURE_NETWORKS

VERSION = "1"  # of docs/protocol.md
RUN_KEYS = ("dataset", "method", "seed", "split", "steps", "run_hash")  # of run.json, copied into files made from it
FID = "inception-clean"  # Inception features of images resized as clean-fid's mode "clean" does
FID_LEAST = 2  # images on each side: a covariance needs two
COPY_SIDE = 32  # pixels a side of the images that the copy rate compares
PIXELS = f"pixels{COPY_SIDE}"
DRAWS = 20
EQUAL_COUNTS = f"nreal-d{DRAWS}"  # as many samples as real images, mean of 20 draws
VENDI = f"inception-cosine-{EQUAL_COUNTS}"
DENSE = 1.2  # a higher density is a sign of collapse
# Answers to each input of a task.  Of six equally likely answers, 24 draws find 5.92.
ANSWERS = {"super_resolution": 20, "layout": 24}
ANSWER_CONTROLS = {
    "super_resolution": {"truth": "The truth itself", "bicubic": "Bicubic"},
    "layout": {"real_answers": "All real answers"},
}
SSCD = "sscd-288-t0.75"  # images of 288 px, a copy at a cosine similarity of 0.75
LPIPS_SMALLEST = {"alex": 31, "vgg": 16}  # pixels a side, as in networks/lpips.py, which needs torch
SSCD_SMALLEST = 128  # pixels a side; below, noise makes copies less similar than neighbours are


def check_side(side: int, net: str, upsample: int, pool: int = 1) -> None:
    """Raises `UserError` if images of this side are too small for LPIPS after they were pooled and enlarged."""
    if side // pool * upsample < LPIPS_SMALLEST[net]:
        pooled, lower = (f"pooled by {pool} and ", ", or lower pool") if pool > 1 else ("", "")
        raise UserError(
            f"LPIPS ({net}) needs {LPIPS_SMALLEST[net]} pixels, but images of {side} {pooled}enlarged {upsample} times "
            f"have fewer: raise metrics.backtracking.upsample{lower}"
        )


@dataclass(frozen=True)
class PrecisionRecall:
    """The protocol of precision, recall, density and coverage, written `NETWORK-kK-nN`.

    `vgg16fc2-k3-n1000` is the definition of Kynkäänniemi et al. with the paper's 1,000 samples;
    `inception-k5-n1000` avoids that network, whose weights are in no package registry.
    """

    network: str
    k: int
    n_fake: int

    @classmethod
    def parse(cls, name: str) -> PrecisionRecall:
        """Raises `UserError` for a name of another form or an unknown network."""
        match = re.fullmatch(r"([a-z0-9]+)-k([1-9]\d*)-n([1-9]\d*)", name)
        if match is None or match[1] not in FEATURE_NETWORKS:
            raise UserError(
                f"{name!r} is not a precision and recall protocol: write NETWORK-kK-nN, such as inception-k5-n1000, "
                f"with NETWORK one of {', '.join(FEATURE_NETWORKS)}"
            )
        protocol = cls(match[1], int(match[2]), int(match[3]))
        if protocol.n_fake < protocol.k + 2:
            raise UserError(f"protocol {name!r}: n must be at least k + 2, so that a k-th neighbour exists")
        return protocol

    def why_not(self, n: int, what: str) -> str | None:
        """Why n images are too few for a k-th neighbour, or None.  what: "real images" or "samples"."""
        least = self.k + 2
        return f"{what}: {n}, but precision and recall with k = {self.k} need k + 2 = {least}" if n < least else None

    def __str__(self) -> str:
        return f"{self.network}-k{self.k}-n{self.n_fake}"

    @property
    def equal_counts(self) -> str:
        """The same network and k with as many samples as real images, the mean of 20 draws of samples.

        Recall changes with the number of samples, and coverage saturates: it is above 0.999 for two samples of one
        distribution with ten samples for each real image.
        """
        return f"{self.network}-k{self.k}-{EQUAL_COUNTS}"


def _protocol(value: Any) -> PrecisionRecall:
    try:
        return value if isinstance(value, PrecisionRecall) else PrecisionRecall.parse(str(value))
    except UserError as error:
        raise ValueError(str(error)) from None


# As a field of a preset: text in the file, an object in memory.
PrecisionRecallName = Annotated[PrecisionRecall, BeforeValidator(_protocol), PlainSerializer(str)]


class Backtracking(BaseModel):
    """The protocol of LPIPS backtracking.

    The defaults are this benchmark's own.  `FASTGAN` has the settings of the script that FastGAN released.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    net: Literal["alex", "vgg"] = "vgg"
    upsample: int = Field(1, ge=1)  # bilinear enlargement before LPIPS
    pool: int = Field(1, ge=1)  # average pooling before LPIPS
    flip: bool = False  # mirror each target with chance 1/2, at each step and when it is scored
    steps: int = Field(1000, ge=1)
    restarts: int = Field(3, ge=1)
    learning_rate: float = Field(0.1, gt=0)  # as FastGAN: Adam with betas (0.5, 0.999), constant
    mse_weight: float = Field(0.2, ge=0)  # of an image's mean squared error
    optimise: Literal["z", "z+noise"] = "z"

    @property
    def perceptual(self) -> str:
        """`lpips-alex-x2`: the LPIPS of all measurements of a preset, as the protocol of those without backtracking."""
        return f"lpips-{self.net}-x{self.upsample}"

    def __str__(self) -> str:
        """`lpips-alex-x2-s50-r3`: network, enlargement, steps, restarts, then every value that is not the default."""
        parts = ["lpips", self.net, f"x{self.upsample}", f"s{self.steps}", f"r{self.restarts}"]
        default = Backtracking()
        if self.learning_rate != default.learning_rate:
            parts.append(f"lr{self.learning_rate:g}")
        if self.mse_weight != default.mse_weight:
            parts.append(f"mse{self.mse_weight:g}")
        parts += [f"p{self.pool}"] if self.pool > 1 else []
        parts += ["flip"] if self.flip else []
        parts += ["noise"] if self.optimise == "z+noise" else []
        return "-".join(parts)


# FastGAN's script weights the mean over a batch of 4 by 0.2, which is 0.05 for each image, and makes about 100 updates
# of an image from one start.  It differs in three points: its noise inputs are drawn anew at each step, its BatchNorm
# uses the statistics of the batch, and it scores the last step, not the best one.
FASTGAN = Backtracking(net="vgg", pool=2, flip=True, steps=100, restarts=1, mse_weight=0.05)


def _backtracking(value: Any) -> Any:
    if isinstance(value, str) and value != "fastgan":
        raise ValueError(f"{value!r} is not a protocol; write `fastgan`, or its settings")
    return FASTGAN if value == "fastgan" else value


# As a field of a preset: settings, or the name of a protocol.
BacktrackingProtocol = Annotated[Backtracking, BeforeValidator(_backtracking)]

"""The names under which numbers are filed: a protocol's name fixes what its value depends on besides the images.

No torch here: the Snakefile and the tables read these too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Literal

from data.console import UserError

FEATURE_NETWORKS = {"inception": 2048, "vgg16fc2": 4096}  # name, as in metrics/weights.yaml -> dimensions
NETWORK_TITLES = {
    "inception": "Inception",
    "vgg16fc2": "VGG16 (second fully connected layer)",
    "alex": "AlexNet",
    "vgg": "VGG16",
}

# FID and KID: Inception features of images resized as clean-fid's mode "clean" does; for KID the number of subsets
# follows (inception-clean-s100).  Both depend on the numbers of images, which stand beside every value.
FID = "inception-clean"


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision, recall, density and coverage; named `network-kK-nN`.

    `vgg16fc2-k3-n1000` is the definition of Kynkäänniemi et al. with the paper's 1,000 samples;
    `inception-k5-n1000` does without that network, whose weights have no package mirror.
    """

    network: str
    k: int
    n_fake: int

    @classmethod
    def parse(cls, name: str) -> PrecisionRecall:
        """Raises `UserError` if the name does not say all three."""
        match = re.fullmatch(r"([a-z0-9]+)-k([1-9]\d*)-n([1-9]\d*)", name)
        if match is None or match[1] not in FEATURE_NETWORKS:
            raise UserError(
                f"{name!r} names no precision and recall protocol: write NETWORK-kK-nN, such as inception-k5-n1000, "
                f"with NETWORK one of {', '.join(FEATURE_NETWORKS)}"
            )
        protocol = cls(match[1], int(match[2]), int(match[3]))
        if protocol.n_fake < protocol.k + 2:
            raise UserError(f"protocol {name!r}: n must be at least k + 2 for a k-th neighbour to exist")
        return protocol

    def __str__(self) -> str:
        return f"{self.network}-k{self.k}-n{self.n_fake}"


@dataclass(frozen=True)
class Backtracking:
    """LPIPS backtracking; the fields are the configuration's keys under `metrics.backtracking`."""

    net: Literal["alex", "vgg"] = "vgg"
    upsample: int = 1  # bilinear enlargement before LPIPS, whose networks see little of an image under 64 pixels
    steps: int = 1000
    restarts: int = 3
    learning_rate: float = 0.1  # FastGAN's script; Adam with betas (0.5, 0.999), constant
    mse_weight: float = 0.2  # FastGAN's script
    optimise: Literal["z", "z+noise"] = "z"

    @classmethod
    def parse(cls, settings: dict[str, Any]) -> Backtracking:
        """Raises `UserError` for a key that is none of the fields and for an unknown choice."""
        known = [field.name for field in fields(cls)]
        for key in settings:
            if key not in known:
                raise UserError(f"unknown key backtracking.{key}; known are {', '.join(known)}")
        protocol = cls(**settings)
        for key, choices in (("net", ("alex", "vgg")), ("optimise", ("z", "z+noise"))):
            if getattr(protocol, key) not in choices:
                raise UserError(f"backtracking.{key} must be {' or '.join(choices)}, not {getattr(protocol, key)!r}")
        return protocol

    def __str__(self) -> str:
        """`lpips-alex-x2-s50-r3`: network, enlargement, steps, restarts, then whatever is unlike the defaults."""
        parts = ["lpips", self.net, f"x{self.upsample}", f"s{self.steps}", f"r{self.restarts}"]
        if self.learning_rate != Backtracking.learning_rate:
            parts.append(f"lr{self.learning_rate:g}")
        if self.mse_weight != Backtracking.mse_weight:
            parts.append(f"mse{self.mse_weight:g}")
        if self.optimise == "z+noise":
            parts.append("noise")
        return "-".join(parts)

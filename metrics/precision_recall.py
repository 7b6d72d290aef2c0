"""Improved precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020).

A real image's neighbourhood is the ball around its features that reaches its k-th nearest real neighbour.  Precision is
the share of fakes inside any such ball, recall the share of real images inside any ball around a fake.  A collapsed
generator therefore has high precision and low recall.  Argument order is (real, fake).
"""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from data.console import UserError
from metrics.features import NETWORKS, checked_pair

METRICS = ("precision", "recall", "density", "coverage")


@dataclass(frozen=True)
class Protocol:
    """What a precision or recall depends on besides the images; its name is `network-kK-nN`.

    `vgg16fc2-k3-n1000` is the definition of Kynkäänniemi et al. with the paper's 1,000 samples;
    `inception-k5-n1000` is what packages without that network's weights use instead.
    """

    network: str
    k: int
    n_fake: int

    @classmethod
    def parse(cls, name: str) -> Protocol:
        """Raises `UserError` if the name does not say all three."""
        match = re.fullmatch(r"([a-z0-9]+)-k([1-9]\d*)-n([1-9]\d*)", name)
        if match is None or match[1] not in NETWORKS:
            raise UserError(
                f"{name!r} names no precision and recall protocol: write NETWORK-kK-nN, such as inception-k5-n1000, "
                f"with NETWORK one of {', '.join(NETWORKS)}"
            )
        protocol = cls(match[1], int(match[2]), int(match[3]))
        if protocol.n_fake < protocol.k + 2:
            raise UserError(f"protocol {name!r}: n must be at least k + 2 for a k-th neighbour to exist")
        return protocol

    def __str__(self) -> str:
        return f"{self.network}-k{self.k}-n{self.n_fake}"


def precision_recall(real: NDArray[Any], fake: NDArray[Any], k: int) -> dict[str, float]:
    """Precision, recall, density and coverage of features (n, d) and (m, d), computed by the prdc package.

    Its n x m float32 distances take 100 MB each at 5,000 samples, so nothing is gained by a blocked rewrite.
    Raises `UserError` for NaN, for dimensions that differ and for sets smaller than k + 2.
    """
    from prdc import compute_prdc

    checked_pair(real, fake, least=k + 2)
    with redirect_stdout(io.StringIO()):  # it prints the counts; standard output is kept for results
        values = compute_prdc(real_features=real, fake_features=fake, nearest_k=k)
    return {name: float(values[name]) for name in METRICS}


def rows(real: NDArray[Any], fake: NDArray[Any], protocol: Protocol) -> list[dict[str, Any]]:
    """The four numbers as rows of a metrics file, of all real images and the protocol's first `n_fake` fakes."""
    fake = fake[: protocol.n_fake]
    counts = {"n_real": len(real), "n_fake": len(fake)}
    return [
        {"metric": name, "value": value, "protocol": str(protocol), **counts}
        for name, value in precision_recall(real, fake, protocol.k).items()
    ]

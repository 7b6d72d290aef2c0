"""A protocol's name says everything that its numbers depend on besides the images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from metrics.protocols import Backtracking, PrecisionRecall

from common.console import UserError


def test_a_protocol_says_network_k_and_count() -> None:
    assert PrecisionRecall.parse("vgg16fc2-k3-n1000") == PrecisionRecall("vgg16fc2", 3, 1000)
    assert str(PrecisionRecall.parse("inception-k5-n200")) == "inception-k5-n200"


@pytest.mark.parametrize(
    "name",
    ["inception", "inception-k5", "resnet-k5-n100", "inception-k0-n10", "inception-n100-k5", "inception-k5-n6", ""],
)
def test_refuses_other_protocol_names(name: str) -> None:
    with pytest.raises(UserError, match="protocol"):
        PrecisionRecall.parse(name)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "lpips-vgg-x1-s1000-r3"),
        ({"net": "alex", "upsample": 2, "steps": 50, "restarts": 3}, "lpips-alex-x2-s50-r3"),
        ({"learning_rate": 0.05, "mse_weight": 0}, "lpips-vgg-x1-s1000-r3-lr0.05-mse0"),
        ({"optimise": "z+noise"}, "lpips-vgg-x1-s1000-r3-noise"),
    ],
)
def test_whatever_changes_the_score_is_in_the_protocol_name(settings: dict[str, object], name: str) -> None:
    assert str(Backtracking.parse(settings)) == name


def test_refuses_unknown_keys_and_choices() -> None:
    with pytest.raises(UserError, match=r"backtracking\.restart;.*restarts"):
        Backtracking.parse({"restart": 3})
    with pytest.raises(UserError, match=r"backtracking\.net must be alex or vgg"):
        Backtracking.parse({"net": "squeeze"})
    with pytest.raises(UserError, match=r"backtracking\.optimise must be z or z\+noise"):
        Backtracking.parse({"optimise": "w"})


def test_names_need_no_torch() -> None:
    """The Snakefile reads them on a driver that may have none."""
    code = "import sys; sys.modules['torch'] = sys.modules['numpy'] = None; import metrics.protocols"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])

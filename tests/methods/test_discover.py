"""Methods are found, with their keys and sources, without importing torch."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from common.console import UserError
from training.registry import ROOT, method_info, methods

EXPECTED = {"adaptive_imle", "vanilla_imle", "fastgan", "mixdl", "control_real", "control_noise"}


def test_all_methods_of_the_paper_and_both_controls_are_found() -> None:
    assert set(methods()) >= EXPECTED
    assert not methods()["control_real"].trains
    assert not methods()["control_noise"].backtracks
    assert methods()["fastgan"].trains


def test_discovery_imports_no_torch() -> None:
    code = "import sys, training.registry as d, training.config; d.methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_parsed_keys_equal_the_real_dataclass_fields(name: str) -> None:
    info = method_info(name)
    real = {field.name: field.type for field in dataclasses.fields(info.load().Config)}
    assert info.fields == real


def test_sources_follow_imports_but_not_the_data_package() -> None:
    sources = method_info("adaptive_imle").sources
    assert {"methods/adaptive_imle.py", "methods/api.py", "networks/vdvae_decoder.py"} <= set(sources)
    assert not any(source.startswith("data/") for source in sources)
    assert "methods/fastgan.py" not in sources
    assert "training/loop.py" not in sources


def test_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="'adaptve_imle'; methods/ holds adaptive_imle"):
        method_info("adaptve_imle")

"""torchvision imports beside this torch, and a torchvision whose own library loads is left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from networks import torchvision_compat
from tests.conftest import ROOT


def test_torchvision_and_its_users_import_and_run() -> None:
    """In a fresh process, where nothing has been declared yet."""
    script = (
        "import networks.torchvision_compat, torch, torchvision, lpips, cleanfid.fid;"
        "print(tuple(torchvision.models.alexnet()(torch.zeros(1, 3, 64, 64)).shape))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "(1, 1000)\n", done.stderr


def test_nothing_is_declared_where_the_library_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr(torch.ops, "load_library", loaded.append)
    assert torchvision_compat.declare_missing_operators() is None
    assert [Path(path).name[:2] for path in loaded] == ["_C"]


def test_nothing_is_declared_without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_compat.importlib.util, "find_spec", lambda name: None)
    assert torchvision_compat.declare_missing_operators() is None

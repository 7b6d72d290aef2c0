"""torchvision imports beside this torch, and a torchvision whose own library loads is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from networks import torchvision_compat


def test_nothing_is_declared_where_the_library_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr(torch.ops, "load_library", loaded.append)
    assert torchvision_compat.declare_missing_operators() is None
    assert [Path(path).name[:2] for path in loaded] == ["_C"]

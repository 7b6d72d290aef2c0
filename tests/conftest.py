"""Fixtures that several packages' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def lpips_weights() -> None:
    """LPIPS-AlexNet's real weights, fetched as a user's run would and kept for the next one."""
    from metrics.weights import fetch

    fetch("lpips_alex")


@pytest.fixture(scope="session")
def openmoji_faces() -> Path:
    """The prepared demo set at 32 px, made as a user's run would make it."""
    from data.fetch import fetch
    from data.prepare import prepare

    folder = ROOT / "data" / "prepared" / "32" / "openmoji_faces"
    if not (folder / "manifest.json").exists():
        fetch("openmoji_faces")
        prepare("openmoji_faces", 32)
    return folder

"""What differs between operating systems."""

from __future__ import annotations

import os

import pytest

from common.machine import usable_cpus


def test_the_cpus_are_those_of_the_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 4, 5}, raising=False)
    assert usable_cpus() == 3

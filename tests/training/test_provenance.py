"""What run.json says of code and machine, where git or the system gives less than usual."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from training import provenance
from training.cost import finish
from training.provenance import git_state, hardware, mixed_devices, peak_memory_mb, segment

CPU = torch.device("cpu")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, in the place of this one."""
    author = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    (tmp_path / "Snakefile").touch()
    for command in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return tmp_path


def test_a_checkout_gives_its_commit_and_whether_it_was_changed(checkout: Path) -> None:
    state = git_state()
    assert len(state["git_commit"]) == 40
    assert (state["git_dirty"], state["git_error"]) == (False, None)
    (checkout / "new.py").touch()
    assert git_state()["git_dirty"] is True


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("another owner", "detected dubious ownership in repository at '.'"),
        ("no git", "git cannot be run: No such file or directory"),
        ("no repository", "not a git repository"),
        ("files in a repository of something else", "pathspec 'Snakefile' did not match any file"),
    ],
)
def test_an_unknown_commit_has_its_reason(
    fault: str, why: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "another owner":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    elif fault == "no git":
        monkeypatch.setenv("PATH", "")
    elif fault == "no repository":
        (checkout / ".git").rename(checkout / "kept")
    else:
        (checkout / "inside").mkdir()
        (checkout / "inside/Snakefile").touch()
        monkeypatch.setattr(provenance, "ROOT", checkout / "inside")
    state = git_state()
    assert why in state["git_error"]
    assert (state["git_commit"], state["git_dirty"]) == (None, None)


def test_another_torch_in_the_middle_of_a_training_is_named() -> None:
    parts = [{**segment(CPU, step), "torch": version} for step, version in ((0, "2.13.0"), (5, "2.14.0"))]
    assert mixed_devices(parts[:1] * 2) is None
    assert "with torch 2.13.0 and 2.14.0" in (mixed_devices(parts) or "")


def test_macos_has_neither_an_affinity_nor_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sysctl = tmp_path / "sysctl"
    sysctl.write_text("#!/bin/sh\necho Apple M2\n")
    sysctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=3 * 2**20))  # bytes there
    found = hardware(CPU)
    assert (found["cpu"], found["cores"], peak_memory_mb(CPU)) == ("Apple M2", 8, 3)
    assert "in 60 minutes, with 4 trainings at a time" in finish([2.0] * 4, 0, threads=2)

"""A training whose disk runs full says so in one sentence, keeps what it had, and goes on once there is room."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from common.files import read_sealed
from common.hashing import sha256_file
from tests.conftest import Tally
from tests.reliability.trainings import KILL, Done, Fault, Training

pytestmark = pytest.mark.usefixtures("lpips_weights")  # FastGAN's loss
STEPS = 5
# Where a training was killed that is then to go on with a full disk: its first step, between steps, and its export.
STAGES = {"new": "lock", "half": "000000004", "trained": "model", "finished": "out"}
TOUCHES = 260  # of the files of state and output by a run of STEPS steps, and some more


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> dict[tuple[str, str], Training]:
    """Trainings killed at each of STAGES."""
    found = {}
    for name in names:
        for stage, where in STAGES.items():
            found[name, stage] = Training.prepare(tmp_path_factory.mktemp("stage") / "run", name, STEPS)
            found[name, stage].run(Fault(KILL.number, where=where))
    return found


def assert_refused(training: Training, done: Done, before: int) -> None:
    """One sentence, nothing half-written under a final name, and nothing lost of what was saved before."""
    assert done.returncode == 1, done.log
    assert "Traceback" not in done.log
    assert done.log.splitlines()[-1].startswith("error: "), done.log
    assert training.newest() >= before
    for file in training.folder.glob("state/*/[0-9]*.json"):
        assert read_sealed(file)["sha256"] == sha256_file(file.with_suffix(".pt"))
    for folder in training.folder.glob("state/*"):
        assert not list(folder.glob(".*")), "a temporary file keeps the space that is missing"
        for place in (place for place in (folder, training.out) if (place / "run.json").exists()):
            recorded = read_sealed(place / "run.json")["files"]
            assert {name: sha256_file(place / name) for name in recorded} == recorded


def starve(training: Training, fault: Fault) -> str:
    """Run it with the fault and then without.  Returns the sentence that refused, empty if there was enough room."""
    before = training.newest()
    done = training.run(fault)
    if done.returncode:
        assert_refused(training, done, before)
    training.assert_ends_undisturbed()
    shutil.rmtree(training.folder)
    return done.log.splitlines()[-1] if done.returncode else ""


def test_a_file_that_is_too_large(
    tmp_path: Path, stages: dict[tuple[str, str], Training], names: list[str], tally: Tally
) -> None:
    """RLIMIT_FSIZE, one byte short for each size of file of the run in turn: state, grid, model, run.json."""
    refused = ""
    for name in names:
        sizes = {file.stat().st_size for file in stages[name, "finished"].state.glob("*.*")}
        distinct = {size // 1000: size for size in sizes if size > 2000}.values()  # the grids are nearly of one size
        for stage in STAGES:
            for size in distinct:
                with tally.fault("file size limit during a training"):
                    copy = stages[name, stage].copy(tmp_path / "run")
                    refused += starve(copy, Fault(largest_file=size - 1)).split(" cannot be written")[0]
    assert all(part in refused for part in (".pt", ".json", "grid", "model.safetensors", "out/")), refused


def test_a_disk_that_takes_no_more_files(tmp_path: Path, stress: bool, names: list[str], tally: Tally) -> None:
    """ENOSPC from the n-th touch of a file on, whenever one is created; for every fourth n in the long form."""
    stride = 4 if stress else 36
    for name in names:
        refused = []
        for at in range(1, TOUCHES + stride, stride):
            with tally.fault("no space for another file"):
                training = Training.prepare(tmp_path / "run", name, STEPS)
                refused.append(starve(training, Fault(disk_full=True, at=at)))
        assert any(refused) and not refused[-1], "TOUCHES does not reach the end of a run"

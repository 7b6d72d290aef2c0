"""A training whose disk runs full says so in one sentence, keeps what it had, and goes on once there is room."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.files import read_sealed
from common.hashing import sha256_file
from tests.conftest import Tally
from tests.reliability.trainings import KILL, RUNS, Done, Fault, Nursery, Training, side_by_side

pytestmark = pytest.mark.usefixtures("lpips_weights")  # FastGAN's loss
STEPS = 5
# Where a training was killed that is then to go on with a full disk: its first step, between steps, and its export.
STAGES = {"new": "lock", "half": "000000004", "trained": "model", "finished": "out"}
TOUCHES = 260  # of the files of state and output by a run of STEPS steps, and some more


@pytest.fixture(scope="module")
def names(stress: bool) -> list[str]:
    return list(RUNS) if stress else ["adaptive_imle"]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> dict[tuple[str, str], Training]:
    """Trainings killed at each of STAGES."""
    folder = tmp_path_factory.mktemp("stages")

    def kill(job: tuple[str, str]) -> Training:
        name, stage = job
        training = Training.prepare(folder / f"{name} {stage}", name, STEPS)
        training.run(Fault(KILL.number, where=STAGES[stage]))
        return training

    jobs = [(name, stage) for name in names for stage in STAGES]
    return dict(zip(jobs, side_by_side(kill, jobs), strict=True))


def assert_refused(training: Training, done: Done, before: int) -> None:
    """One sentence, nothing half-written under a final name, and nothing lost of what was saved before."""
    assert done.returncode == 1, done.log
    assert "Traceback" not in done.log
    assert [line.startswith("error: ") for line in done.log.splitlines()][-1], done.log
    assert training.newest() >= before
    for file in training.folder.glob("state/*/[0-9]*.json"):
        assert read_sealed(file)["tensors"] == sha256_file(file.with_suffix(".safetensors"))
    for folder in training.folder.glob("state/*"):
        assert not list(folder.glob(".*")), "a temporary file keeps the space that is missing"
        for file in (path for path in (folder, training.out) if (path / "run.json").exists()):
            recorded = read_sealed(file / "run.json")["files"]
            assert {name: sha256_file(file / name) for name in recorded} == recorded


def assert_goes_on(training: Training, done: Done) -> None:
    assert done.returncode == 0, done.log
    training.assert_as_if_nothing_had_happened()


def test_a_file_that_is_too_large(
    tmp_path: Path, stages: dict[tuple[str, str], Training], names: list[str], tally: Tally
) -> None:
    """RLIMIT_FSIZE, one byte short for each size of file of the run in turn: tensors, JSON, grid, model, run.json."""
    refused: set[str] = set()

    def starve(job: tuple[str, str, int]) -> None:
        name, stage, size = job
        training = stages[name, stage].copy(tmp_path / f"{name} {stage} {size}")
        before = training.newest()
        with tally.fault("file size limit during a training"):
            done = training.run(Fault(largest_file=size - 1))
            if done.returncode:
                assert_refused(training, done, before)
                refused.add(done.log.splitlines()[-1].split(" cannot be written")[0].removeprefix("error: "))
                assert_goes_on(training, training.run())
            else:  # what was left to write is smaller
                assert_goes_on(training, done)
        shutil.rmtree(training.folder)

    jobs = []
    for name in names:
        sizes = {file.stat().st_size for file in stages[name, "finished"].state.glob("*.*")}
        distinct = {size // 100: size for size in sizes if size > 2000}.values()  # the grids are nearly of one size
        jobs += [(name, stage, size) for stage in STAGES for size in distinct]
    side_by_side(starve, jobs)
    starved = " ".join(refused)
    assert all(part in starved for part in (".safetensors", ".json", "grid", "model.safetensors", "out/")), starved


def test_a_disk_that_takes_no_more_files(tmp_path: Path, stress: bool, names: list[str], tally: Tally) -> None:
    """ENOSPC from the n-th touch of a file on, whenever one is created; for every fourth n in the long form."""

    def starve(job: tuple[str, int]) -> bool:
        name, at = job
        training = Training.prepare(tmp_path / f"{name} {at}", name, STEPS)
        with tally.fault("no space for another file"):
            done = training.run(Fault(disk_full=True, at=at))
            if refused := done.returncode != 0:
                assert_refused(training, done, 0)
                done = training.run()
            assert_goes_on(training, done)
        shutil.rmtree(training.folder)
        return refused

    stride = 4 if stress else 36
    for name in names:
        came = side_by_side(starve, [(name, at) for at in range(1, TOUCHES + stride, stride)])
        assert any(came) and not came[-1], "TOUCHES does not reach the end of a run"


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Nursery]]:
    """A tmpfs of 8 MB, as seen from here, and a process that lives on it."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"', str(folder)]
    probe = subprocess.run([*mount, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no tmpfs can be mounted in a namespace of its own here: {probe.stderr.strip()}")
    nursery = Nursery(mount)
    seen = Path(f"/proc/{nursery.process.pid}/root{folder}")
    nursery.wait_until_ready()
    yield seen, nursery
    nursery.close()


def test_a_full_file_system(
    small_disk: tuple[Path, Nursery],
    stages: dict[tuple[str, str], Training],
    names: list[str],
    stress: bool,
    tally: Tally,
) -> None:
    """A ballast file leaves a few blocks of a real file system to the training; removing it makes room."""
    disk, nursery = small_disk
    refused = 0
    for name in names:
        for stage in STAGES:
            for blocks in range(1, 200, 24) if stress else (1, 12, 40):
                training = stages[name, stage].copy(disk / "run")
                before = training.newest()
                with tally.fault("full disk during a training"):
                    ballast = fill(disk, leaving=blocks * 4096)
                    done = training.run(nursery=nursery)
                    ballast.unlink()
                    if done.returncode:
                        refused += 1
                        assert_refused(training, done, before)
                        done = training.run(nursery=nursery)
                    assert_goes_on(training, done)
                shutil.rmtree(training.folder)
    assert refused > len(names) * len(STAGES)


def fill(disk: Path, leaving: int) -> Path:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - leaving)))
    return ballast

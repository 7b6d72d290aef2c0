"""Snakemake runs that are killed, stopped and started twice end with the numbers of a run that nothing disturbed."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable

import psutil
import pytest

from tests.reliability.project import RUN, STAGES, Project, jobs

MODEL = f"results/tiny/{RUN}/model.safetensors"
GRACE = 10  # seconds between SIGTERM and SIGKILL
Driver = subprocess.Popen[bytes]


def kill_a_job(driver: Driver) -> None:
    random.choice(jobs(driver) or [psutil.Process(driver.pid)]).kill()
    driver.wait(timeout=120)


def kill_the_driver(driver: Driver) -> None:
    """The jobs go on: what a training saves is not lost, and what a second start makes beside it is the same."""
    orphans = jobs(driver)
    driver.kill()
    driver.wait()
    psutil.wait_procs([orphan for orphan in orphans if "train" in _words(orphan)], timeout=120)


def kill_both(driver: Driver) -> None:
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()


def terminate(driver: Driver) -> None:
    """What batch systems do to a job whose time is over."""
    processes = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
    os.killpg(driver.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    _, late = psutil.wait_procs(processes, timeout=max(0.1, deadline - time.monotonic()))
    for process in late:
        process.kill()
    driver.wait()


def interrupt(driver: Driver) -> None:
    os.killpg(driver.pid, signal.SIGINT)
    driver.wait(timeout=120)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


KILLS: dict[str, Callable[[Driver], None]] = {
    "kill -9 of a job": kill_a_job,
    "kill -9 of the driver": kill_the_driver,
    "kill -9 of driver and jobs": kill_both,
    "SIGTERM, SIGKILL ten seconds later": terminate,
    "Ctrl-C": interrupt,
}


def test_the_orphan_of_a_killed_driver_keeps_its_state_and_a_second_start_names_it(
    copy: Project, baseline: Project, tally
) -> None:
    copy.forget("train")
    with tally.fault("kill -9 of the driver"):
        driver = copy.start(MODEL)
        copy.wait_for_state(driver)
        orphan = psutil.Process(copy.owner)
        orphan.suspend()  # so that it is still there whenever the second start comes to its training
        driver.kill()
        driver.wait()
        copy.run("--unlock")
        assert f"process {orphan.pid} is training in state/{copy.state.name}; wait for it, or stop it" in copy.refused(
            MODEL
        )
        orphan.resume()
        psutil.wait_procs([orphan], timeout=60)
        copy.recover(MODEL)
        assert copy.differences(baseline, f"{RUN}/*") == []


@pytest.mark.parametrize(
    "kind",
    ["kill -9 of driver and jobs", pytest.param("SIGTERM, SIGKILL ten seconds later", marks=pytest.mark.long)],
)
def test_a_training_that_is_stopped_goes_on_where_it_was(kind: str, copy: Project, baseline: Project, tally) -> None:
    """Given notice, it goes on with the very step at which it left; killed, with the last one that it had saved."""
    copy.forget("train")
    with tally.fault(kind):
        driver = copy.start(MODEL)
        copy.wait_for_state(driver)
        training = psutil.Process(copy.owner)
        KILLS[kind](driver)
        assert not psutil.wait_procs([training], timeout=5)[1]
        assert not (copy.state / "run.json").exists(), "the training was over before it was hit"
        [*_, newest] = sorted(copy.state.glob("0*.json"))
        step = int(newest.stem)
        if kind.startswith("SIGTERM"):
            assert f"stopped by SIGTERM at step {step}; run again to resume" in copy.training_log()
        else:
            assert step % 20 == 0
        copy.recover(MODEL)
        assert f"resuming adaptive_imle/openmoji_faces/full at step {step} of 60" in copy.training_log()
        assert copy.differences(baseline, f"{RUN}/*") == []


def test_two_runs_at_once_do_not_disturb_each_other(copy: Project, baseline: Project, tally) -> None:
    """Snakemake's lock refuses the second one; without that lock, the lock of the state does, naming the process."""
    copy.forget("train")
    with tally.fault("two Snakemake runs at once"):
        first = copy.start(MODEL)
        copy.wait_for_state(first)
        training = psutil.Process(copy.owner)
        training.suspend()
        second = Project(copy.folder)
        second.said = copy.folder / "said_by_the_second.txt"
        assert "Directory cannot be locked" in second.refused(MODEL)
        assert f"process {training.pid} is training in" in second.refused(MODEL, "--nolock")
        training.resume()
        assert first.wait(timeout=60) == 0, copy.said.read_text()[-4000:]
        copy.run(MODEL)
        assert copy.differences(baseline, f"{RUN}/*") == []


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", KILLS)
def test_any_kill_at_any_stage_changes_no_number(
    kind: str, stage: str, copy: Project, baseline: Project, tally
) -> None:
    seed = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"{kind} during {stage}: seed {seed}")
    random.seed(seed)
    copy.forget(stage)
    with tally.fault(kind):
        driver = copy.start()
        copy.wait_for(driver, rf"Job \d+: {STAGES[stage][1]}")
        time.sleep(random.uniform(0, 0.8 if stage in ("collect", "render") else 4))
        KILLS[kind](driver)
        copy.recover()
        assert copy.differences(baseline) == []
        assert re.search("Nothing to be done", copy.run())

"""Snakemake runs that are killed, stopped and started twice end with the numbers of a run that nothing disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import psutil
import pytest

from common.machine import host
from tests.conftest import Tally
from tests.reliability.project import MODEL, RUN, STAGES, Project, jobs
from tests.reliability.trainings import chance

GRACE = 10  # seconds between SIGTERM and SIGKILL
Driver = subprocess.Popen[bytes]


def kill_a_job(driver: Driver) -> None:
    chance("job").choice(jobs(driver) or [psutil.Process(driver.pid)]).kill()
    driver.wait(timeout=120)


def kill_the_driver(driver: Driver) -> None:
    """The jobs go on: what a training saves is not lost, and what a second start makes beside it is the same."""
    orphans = [job for job in jobs(driver) if "train" in job.cmdline()]
    driver.kill()
    driver.wait()
    psutil.wait_procs(orphans, timeout=120)


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


def hang_up(driver: Driver) -> None:
    """A closed terminal; some signal only the process that was started in it."""
    os.kill(driver.pid, signal.SIGHUP)
    driver.wait(timeout=120)


KILLS: dict[str, Callable[[Driver], None]] = {
    "kill -9 of a job": kill_a_job,
    "kill -9 of the driver": kill_the_driver,
    "kill -9 of driver and jobs": kill_both,
    "SIGTERM, SIGKILL ten seconds later": terminate,
    "Ctrl-C": interrupt,
    "a closed terminal": hang_up,
}


def test_two_runs_at_once_and_a_training_whose_driver_was_killed(
    copy: Project, baseline: Project, tally: Tally
) -> None:
    """Snakemake's lock refuses a second run.  When its holder was killed, the lock of the state names the process."""
    copy.forget("train")
    with tally.fault("two Snakemake runs at once"):
        first = copy.start(MODEL)
        copy.wait_for_state(first)
        training = psutil.Process(copy.owner)
        training.suspend()  # so that it is still there whenever a second run comes to it
        second = Project(copy.folder)
        second.said = copy.folder / "said_by_the_second.txt"
        assert "Directory cannot be locked" in second.refused(MODEL)
    with tally.fault("kill -9 of the driver, then of the training"):
        first.kill()
        first.wait()
        copy.run("--unlock")
        sentence = f"process {training.pid} on {host()} is training in state/{copy.state.name}; wait for it, or stop it"
        assert sentence in copy.refused(MODEL)
        training.kill()
        step = copy.saved_step()
        copy.recover(MODEL)
        assert f"at step {step} of" in copy.training_log()
        assert copy.differences(baseline, f"{RUN}/*") == []


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", KILLS)
def test_any_kill_at_any_stage_changes_no_number(
    kind: str, stage: str, copy: Project, baseline: Project, tally: Tally
) -> None:
    moment = chance(kind, stage)
    copy.forget(stage)
    with tally.fault(kind):
        driver = copy.start()
        copy.wait_for(driver, rf"Job \d+: {STAGES[stage][1]}")
        time.sleep(moment.uniform(0, 0.8 if stage in ("collect", "render") else 4))
        KILLS[kind](driver)
        copy.recover()
        assert copy.differences(baseline) == []
        assert "Nothing to be done" in copy.run()

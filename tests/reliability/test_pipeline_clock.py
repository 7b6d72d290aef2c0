"""Dates that lie: outputs with altered times and a clock that was set back neither stop a run nor change a number."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from workflow.clock import redate

from tests.reliability.project import SAMPLES, STAGES, Project

DAY = 86_400.0  # seconds
Times = Callable[[float], float]


def date(project: Project, times: Times) -> None:
    """Give every file that a run made, or that came with the project, another modification time."""
    for folder in ("config", "data", "methods", "metrics", "results", "state", "workflow"):
        for path in (project.folder / folder).rglob("*"):
            with suppress(FileNotFoundError):  # a temporary file of a run that is going on
                seconds = times(path.lstat().st_mtime)
                os.utime(path, (seconds, seconds), follow_symlinks=False)


def tomorrow(seconds: float) -> float:
    return seconds + DAY


def test_a_clock_set_back_by_a_day_stops_nothing(copy: Project, baseline: Project, target, tally) -> None:
    """To everything that a run looks at, existing files then come from tomorrow.

    Snakemake fails every job that reads such a file; the tables here would take until then.
    """
    copy.forget("sample")
    with tally.fault("clock set back by a day"):
        date(copy, tomorrow)
        assert "were dated in the future and are now dated today" in copy.run(*target)
        assert copy.differences(baseline) == []


def test_a_process_whose_clock_is_a_day_behind_that_of_the_disk(copy: Project, baseline: Project, tally) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed")
    copy.forget("sample")
    with tally.fault("libfaketime, a day back"):
        late = Project(copy.folder, ("env", "NO_FAKE_STAT=1", "DONT_FAKE_MONOTONIC=1", "faketime", "-f", "-1d"))
        late.run(f"results/tiny/{SAMPLES}")
        assert copy.differences(baseline, SAMPLES) == []


def test_redating_keeps_the_order_of_files_and_leaves_the_past_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what was out of date before the clock was set back still is, and nothing else becomes so."""
    monkeypatch.chdir(tmp_path)
    now = time.time()
    dates = {"past": now - DAY, "later": now + 2 * DAY, "soon": now + DAY, "link": None}
    (tmp_path / "results").mkdir()
    for name, seconds in dates.items():
        path = tmp_path / "results" / name
        if seconds is None:
            outside = tmp_path / "outside"
            outside.touch()
            os.utime(outside, (now + DAY, now + DAY))
            path.symlink_to(outside)
        else:
            path.touch()
            os.utime(path, (seconds, seconds))
    assert redate() == 2
    found = {name: (tmp_path / "results" / name).stat().st_mtime for name in dates}
    assert found["past"] == dates["past"] < found["soon"] < found["later"] <= time.time()
    assert found["link"] > time.time(), "a file outside the project was changed"


@pytest.mark.long
@pytest.mark.parametrize(
    "times",
    [lambda _: 0.0, tomorrow, lambda seconds: seconds + random.uniform(-DAY, 0), lambda _: time.time() - DAY],
    ids=["epoch", "tomorrow", "shuffled", "all the same"],
)
@pytest.mark.parametrize("stage", [None, "sample", "collect"])
def test_altered_dates_change_no_number(
    times: Times, stage: str | None, copy: Project, baseline: Project, target, tally
) -> None:
    """As restoring a backup or copying a project does.  Work may be repeated."""
    if stage:
        copy.forget(stage)
    with tally.fault("altered modification times"):
        date(copy, times)
        copy.run(*target)
        assert copy.differences(baseline) == []
        assert "Nothing to be done" in copy.run(*target)


@pytest.mark.long
def test_new_settings_a_kill_and_a_clock_set_back_together_leave_no_stale_number(
    copy: Project, fresh: Callable[[], Project], target, tally
) -> None:
    """The samples of the old settings lie in the future when the new model is ready, so that they look up to date."""
    expected = fresh()
    for project in (copy, expected):
        config = project.folder / "config/tiny.yaml"
        config.write_text(config.read_text().replace("learning_rate: 0.002", "learning_rate: 0.003"))
    expected.run(*target)
    with tally.fault("clock set back by a day"):
        date(copy, tomorrow)
        driver = copy.start(*target)
        copy.wait_for(driver, "Job .*: sampling adaptive_imle")
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        date(copy, tomorrow)  # once more
        copy.recover(*target)
        assert copy.differences(expected) == []


@pytest.mark.long
@pytest.mark.parametrize("stage", ["train", "sample", "evaluate"])
def test_a_clock_set_back_while_a_run_is_going_on(stage: str, copy: Project, baseline: Project, target, tally) -> None:
    """Snakemake fails the jobs that were running; the same command again completes."""
    copy.forget(stage)
    with tally.fault("clock set back by a day"):
        driver = copy.start(*target)
        copy.wait_for(driver, rf"Job \d+: {STAGES[stage][1]}")
        date(copy, tomorrow)
        driver.wait(timeout=300)
        copy.run(*target)
        assert copy.differences(baseline) == []

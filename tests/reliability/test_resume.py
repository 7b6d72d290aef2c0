"""A training that is killed, stopped or interrupted ends with every bit as if nothing had happened."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Tally
from tests.reliability.trainings import RUNS, Fault, Training, chance, side_by_side

pytestmark = pytest.mark.usefixtures("lpips_weights")  # FastGAN's loss
METHODS = [name for name in RUNS if "," not in name]  # each once
LONG = {"fastgan": 30}  # steps, about as many seconds as the others' 80
TOUCHES = 175  # of the files of state and output by a run of four steps, and some more


def test_kill_9_at_random_moments(tmp_path: Path, stress: bool, tally: Tally) -> None:
    """Each life ends at random within half a second of its first save; saving takes the better part of that."""

    def work(job: tuple[str, int]) -> None:
        name, threads = job
        moment = chance("kill", *job)
        for number in range(7 if stress and threads == 1 else 1):
            folder = tmp_path / f"{name} {threads} {number}"
            survive(Training.prepare(folder, name, LONG.get(name, 80), threads=threads), 3, moment, tally)

    names = list(RUNS) if stress else METHODS
    side_by_side(work, [(name, threads) for threads in ((1, 2) if stress else (1,)) for name in names])


def survive(training: Training, kills: int, moment: random.Random, tally: Tally) -> None:
    """Kill a training so many times, then let it end."""
    with ExitStack() as faults:
        landed = 0
        while landed < kills:
            if is_killed(training, moment):
                faults.enter_context(tally.fault("kill -9 of a training"))
                landed += 1
            else:  # too late: once more from the start
                assert_ends_well(training)
                training = training.again(training.folder.with_name(f"{training.folder.name}+"))
        saved = training.newest()
        assert_resumed_at(saved, assert_ends_well(training))


def assert_ends_well(training: Training) -> str:
    """Let it run to its end.  Returns what it said."""
    done = training.run()
    assert done.returncode == 0, done.log
    training.assert_as_if_nothing_had_happened()
    return done.log


def is_killed(training: Training, moment: random.Random) -> bool:
    """Start or resume it, let it get a step further, kill it at random.  Was there still something to do?"""
    saved = training.newest()
    process = training.start(save_every=moment.randint(1, 3))
    wait_for(lambda: training.newest() > saved, process)
    time.sleep(moment.uniform(0, 0.5))
    process.kill()
    assert process.wait() in (0, -signal.SIGKILL), training.log
    if saved:
        assert_resumed_at(saved, training.log)
    return training.newest() < training.steps


def assert_resumed_at(step: int, log: str) -> None:
    """Nothing that was saved is done again."""
    assert f" at step {step} of " in log, log


def wait_for(happened: Callable[[], object], process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"nothing happened within {seconds} seconds"
        assert process.poll() is None, "the training ended too soon"
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_saves_at_once(tmp_path: Path, stress: bool, tally: Tally, number: signal.Signals) -> None:
    """Ctrl-C, or what a scheduler sends some seconds before it kills."""
    short = {signal.SIGINT: ["adaptive_imle"], signal.SIGTERM: ["fastgan"]}

    def work(name: str) -> None:
        training = Training.prepare(tmp_path / name, name, LONG.get(name, 80))
        with tally.fault(f"{number.name} to a training"):
            process = training.start(save_every=1000)
            wait_for(lambda: list(training.folder.glob("state/*/grid_000000003.png")), process)
            process.send_signal(number)
            assert process.wait(60) == 128 + number, training.log
            saved = training.newest()
            assert f"stopped by {number.name} at step {saved}; run again to resume" in training.log
            assert_resumed_at(saved, assert_ends_well(training))

    side_by_side(work, list(RUNS) if stress else short[number])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_every_touch_of_a_file(tmp_path: Path, stress: bool, tally: Tally, number: signal.Signals) -> None:
    """Between the two files of a generation, before a renaming, within the export, while copying: at each for certain.

    A run of four steps touches the files of its state and output some 150 times: the long form tries SIGKILL at
    each and the others at every tenth, the short one every eighth and fortieth.
    """
    names = list(RUNS) if stress else ["adaptive_imle"]
    stride = {True: 1, False: 8}[stress] if number == signal.SIGKILL else {True: 10, False: 40}[stress]

    def interrupt(job: tuple[str, int]) -> bool:
        """Is there such a moment?"""
        name, at = job
        training = Training.prepare(tmp_path / f"{name} {at}", name, 4)
        with tally.fault(f"{number.name} at a chosen touch of a file"):
            hurt = training.run(Fault(number, at))
            assert hurt.returncode in (0, -number, 128 + number), hurt.log
            assert "Traceback" not in hurt.log
            assert_ends_well(training)
        shutil.rmtree(training.folder)
        return hurt.returncode != 0

    first = chance("touch", number).randint(1, stride)
    for name in names:
        came = side_by_side(interrupt, [(name, at) for at in range(first, TOUCHES + stride, stride)])
        assert any(came) and not came[-1], "TOUCHES does not reach the end of a run"

"""A training that is killed, stopped or interrupted ends with every bit as if nothing had happened."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.conftest import Tally
from tests.reliability.trainings import RUNS, Fault, Training, chance

pytestmark = pytest.mark.usefixtures("lpips_weights")  # FastGAN's loss
TOUCHES = 175  # of the files of state and output by a run of four steps, and some more


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.long)])
def test_kill_9_at_random_moments(name: str, threads: int, tmp_path: Path, stress: bool, tally: Tally) -> None:
    moment = chance("kill", name, threads)
    training = Training.prepare(tmp_path / "run", name, 20, threads=threads)
    limit, left = 1.0, 20 if stress else 1
    while left:
        with tally.fault("kill -9 of a training"):
            fault = Fault(signal.SIGKILL, after=moment.uniform(0.01, limit))
            done = training.run(fault, save_every=moment.randint(1, 3))
            assert done.returncode in (0, -signal.SIGKILL), done.log
            if done.returncode:
                left -= 1
            else:  # too late: once more from the start
                limit /= 2
                training.assert_undisturbed()
                shutil.rmtree(training.folder)
                training = Training.prepare(training.folder, name, 20, threads=threads)
    saved = training.newest()
    said = training.assert_ends_undisturbed()
    assert not saved or saved == training.steps or f"at step {saved} of" in said, "what was saved was done again"


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "adaptive_imle"), (signal.SIGTERM, "fastgan")])
def test_a_request_to_stop_saves_at_once(
    tmp_path: Path, stress: bool, tally: Tally, number: signal.Signals, name: str
) -> None:
    """Ctrl-C, or what a scheduler sends some seconds before it kills."""
    for chosen in RUNS if stress else [name]:
        training = Training.prepare(tmp_path / chosen, chosen, 8)
        with tally.fault(f"{number.name} to a training"):
            done = training.run(Fault(number, where="grid_000000003"), save_every=1000)
            assert done.returncode == 128 + number, done.log
            assert f"stopped by {number.name} at step 3; run again to resume" in done.log
            assert " at step 3 of 8" in training.assert_ends_undisturbed()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])  # SIGINT has the handler of SIGTERM
def test_a_signal_at_every_touch_of_a_file(
    tmp_path: Path, names: list[str], stress: bool, tally: Tally, number: signal.Signals
) -> None:
    """Between the two files of a generation, before a renaming, within the export, while copying.

    A run of four steps touches the files of its state and output some 150 times: the long form tries SIGKILL at each
    and the others at every tenth, the short one every tenth and fiftieth.
    """
    stride = {True: 1, False: 10}[stress] if number == signal.SIGKILL else {True: 10, False: 50}[stress]
    first = chance("touch", number).randint(1, stride)
    for name in names:
        hurt = []
        for at in range(first, TOUCHES + stride, stride):
            training = Training.prepare(tmp_path / f"{name} {at}", name, 4)
            with tally.fault(f"{number.name} at a chosen touch of a file"):
                done = training.run(Fault(number, at=at))
                assert done.returncode in (0, -number, 128 + number), done.log
                assert "Traceback" not in done.log
                training.assert_ends_undisturbed()
            hurt.append(done.returncode != 0)
            shutil.rmtree(training.folder)
        assert any(hurt) and not hurt[-1], "TOUCHES does not reach the end of a run"

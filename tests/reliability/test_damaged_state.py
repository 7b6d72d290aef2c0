"""Whatever happened to the files of a saved run: the damage is named, nothing damaged is used, no bit is lost."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.files import read_json, write_json
from tests.conftest import Tally
from tests.reliability.trainings import KILL, RUNS, Fault, Training, chance, side_by_side

pytestmark = pytest.mark.usefixtures("lpips_weights")  # FastGAN's loss
STEPS = 5
NEWEST, PREVIOUS = "000000003", "000000002"  # generations of a training killed in its fourth step
FIELDS = ("run", "step", "tree", "record", "tensors", "digest")  # of the JSON of a generation


def flip(file: Path, draw: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def truncate(file: Path, draw: random.Random) -> None:
    file.write_bytes(file.read_bytes()[: draw.randrange(1, file.stat().st_size)])


def zero(file: Path, draw: random.Random) -> None:
    """Like a block that never reached the disk."""
    content = bytearray(file.read_bytes())
    start = draw.randrange(len(content))
    content[start : start + 512] = bytes(len(content[start : start + 512]))
    file.write_bytes(content)


def empty(file: Path, draw: random.Random) -> None:
    file.write_bytes(b"")


def remove(file: Path, draw: random.Random) -> None:
    file.unlink()


DAMAGES = (flip, truncate, zero, empty, remove)
SHAPES = ("[]", "3", "null", '"text"', "{}", '{"digest": 1}', "[" * 100_000, "9" * 5_000)


EDITS: list[Callable[[dict[str, Any]], Any]] = [
    *(lambda saved, field=field: saved.pop(field) for field in FIELDS),
    lambda saved: saved.update(step="3"),
    lambda saved: saved.update(step=2),
    lambda saved: saved.update(record=[]),
    lambda saved: saved.update(tree=[]),
]


def by_hand(file: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    saved = read_json(file)
    edit(saved)
    write_json(file, saved)


@pytest.fixture(scope="module")
def names(stress: bool) -> list[str]:
    return list(RUNS) if stress else ["adaptive_imle"]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> dict[str, Training]:
    """Trainings killed in their fourth step, by name and, for those of another seed, by `other NAME`."""

    folder = tmp_path_factory.mktemp("stopped")  # here: pytest makes no folders for two threads at once

    def kill(job: tuple[str, int]) -> Training:
        training = Training.prepare(folder / f"{job[0]} {job[1]}", job[0], STEPS, seed=job[1])
        done = training.run(Fault(KILL.number, where="000000004"))
        assert training.newest() == int(NEWEST), done.log
        return training

    found = side_by_side(kill, [(name, seed) for name in names for seed in (0, 1)])
    return {f"other {one.name}" if one.seed else one.name: one for one in found}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, stopped: dict[str, Training]) -> dict[str, Training]:
    folder = tmp_path_factory.mktemp("finished")

    def finish(name: str) -> Training:
        training = stopped[name].copy(folder / name)
        assert training.run().returncode == 0
        training.assert_as_if_nothing_had_happened()
        return training

    names = [name for name in stopped if not name.startswith("other ")]
    return dict(zip(names, side_by_side(finish, names), strict=True))


@pytest.fixture
def repair(tmp_path: Path, tally: Tally) -> Callable[..., None]:
    """`repair(kind, jobs)`: jobs are (training, damage, words): damage a copy's state folder, run, expect the words in
    the log and every bit of the undisturbed run.
    """

    def work(numbered: tuple[int, str, tuple[Training, Callable[[Path], None], list[str]]]) -> None:
        number, kind, (original, damage, words) = numbered
        training = original.copy(tmp_path / str(number))
        with tally.fault(kind):
            damage(training.state)
            done = training.run()
            assert done.returncode == 0, done.log
            warnings = [line for line in done.log.splitlines() if "warning: " in line or "resuming " in line]
            assert all(word in "\n".join(warnings) for word in words), f"{words} not in:\n{done.log}"
            training.assert_as_if_nothing_had_happened()
        shutil.rmtree(training.folder)

    return lambda kind, jobs: side_by_side(work, [(number, kind, job) for number, job in enumerate(jobs)])


def test_a_damaged_generation_is_named_and_the_one_before_it_used(
    stopped: dict[str, Training], names: list[str], repair: Callable[..., None], stress: bool
) -> None:
    draw = chance("generation")

    def damaging(damage: Callable[..., None], file: str) -> Callable[[Path], None]:
        seed = draw.random()
        return lambda state: effective(damage, state / file, random.Random(seed))

    jobs = []
    for name in names:
        for file in (f"{NEWEST}.json", f"{NEWEST}.safetensors"):
            for damage in DAMAGES * (8 if stress else 1):
                # A generation without its JSON, which is written last, is one that never happened: no damage.
                named = [] if damage is remove and file.endswith(".json") else [NEWEST]
                jobs.append((stopped[name], damaging(damage, file), [*named, "resuming", " at step 2 of "]))
    repair("damaged state", jobs)


def effective(damage: Callable[..., None], file: Path, draw: random.Random) -> None:
    """Damage the file until it differs: there are zeros in it before."""
    content = file.read_bytes()
    while file.exists() and file.read_bytes() == content:
        damage(file, draw)


def test_json_of_the_wrong_shape_is_a_damage(stopped: dict[str, Training], repair: Callable[..., None]) -> None:
    file = f"{NEWEST}.json"
    words = [NEWEST, " at step 2 of "]
    shapes = [lambda state, text=text: (state / file).write_text(text) for text in SHAPES]
    edits = [lambda state, edit=edit: by_hand(state / file, edit) for edit in EDITS]
    repair("state of the wrong shape", [(stopped["adaptive_imle"], damage, words) for damage in shapes + edits])


def test_generations_that_were_mixed_up_are_not_used(
    stopped: dict[str, Training], names: list[str], repair: Callable[..., None]
) -> None:
    jobs = []
    for name in names:
        other = stopped[f"other {name}"].state
        jobs += [
            (stopped[name], lambda state: exchange(state, "safetensors"), [NEWEST, PREVIOUS, "starting again"]),
            (stopped[name], lambda state: exchange(state, "json"), [NEWEST, PREVIOUS, "starting again"]),
            (stopped[name], lambda state, other=other: take(other, state, NEWEST), [NEWEST, " at step 2 of "]),
            (
                stopped[name],
                lambda state, other=other: [take(other, state, step) for step in (NEWEST, PREVIOUS)],
                [NEWEST, PREVIOUS, "starting again"],
            ),
        ]
    repair("mixed-up states", jobs)


def exchange(state: Path, suffix: str) -> None:
    one, other = state / f"{NEWEST}.{suffix}", state / f"{PREVIOUS}.{suffix}"
    one.rename(state / "aside")
    other.rename(one)
    (state / "aside").rename(other)


def take(other: Path, state: Path, step: str) -> None:
    for suffix in ("json", "safetensors"):
        shutil.copy(other / f"{step}.{suffix}", state / f"{step}.{suffix}")


def test_with_all_generations_damaged_the_run_starts_again_and_says_so(
    stopped: dict[str, Training], names: list[str], repair: Callable[..., None]
) -> None:
    draw = chance("all")

    def ruin(state: Path) -> None:
        for step in (NEWEST, PREVIOUS):
            effective(draw.choice(DAMAGES[:4]), state / f"{step}.{draw.choice(['json', 'safetensors'])}", draw)

    repair("all states damaged", [(stopped[name], ruin, [NEWEST, PREVIOUS, "starting again"]) for name in names])


def test_a_run_that_started_again_is_saved_again(tmp_path: Path, stopped: dict[str, Training], tally: Tally) -> None:
    """Its first steps are older than the damaged generations, but not to be tidied away in their place."""
    training = stopped["adaptive_imle"].copy(tmp_path / "run")
    with tally.fault("all states damaged, then kill -9 of a training"):
        for step in (NEWEST, PREVIOUS):
            empty(training.state / f"{step}.json", random.Random())
        training.run(Fault(KILL.number, where=".000000002."))
        done = training.run()
        assert " at step 1 of " in done.log, done.log
        training.assert_as_if_nothing_had_happened()


def test_what_an_interrupted_write_left_is_ignored_and_swept_away(
    tmp_path: Path, stopped: dict[str, Training], names: list[str], tally: Tally
) -> None:
    for name in names:
        training = stopped[name].copy(tmp_path / name)
        with tally.fault("leftovers of an interrupted write"):
            for left in (".000000004.abc.safetensors", ".000000004.def.json", ".grid.ghi.png", ".run.jkl.json"):
                (training.state / left).write_bytes(b"{")
            (training.state / "000000004.safetensors").write_bytes(b"half")
            done = training.run()
            assert " at step 3 of " in done.log, done.log
            training.assert_as_if_nothing_had_happened()
            assert not list(training.state.glob(".*")), "leftovers as large as a state stay for ever"


def test_damaged_files_of_a_finished_run_are_made_again(
    finished: dict[str, Training], names: list[str], repair: Callable[..., None], stress: bool
) -> None:
    """From its last generation; without run.json a run is not finished, which is no damage."""
    draw = chance("finished")

    def damaging(damage: Callable[..., None], file: str, also: tuple[str, ...]) -> Callable[[Path], None]:
        seed = draw.random()

        def work(state: Path) -> None:
            effective(damage, state / file, random.Random(seed))
            for step in also:
                truncate(state / f"{step}.safetensors", random.Random(seed))

        return work

    jobs = []
    for name in names:
        for file in ("model.safetensors", "history.csv", "grid.png", "run.json"):
            for damage in DAMAGES if stress or file == "model.safetensors" else (flip,):
                said = [] if (damage, file) == (remove, "run.json") else ["finished files in", "are damaged"]
                jobs.append((finished[name], damaging(damage, file, ()), [*said, " at step 5 of 5"]))
        model = "model.safetensors"
        jobs.append((finished[name], damaging(flip, model, ("000000005",)), ["000000005", " at step 4 of 5"]))
        both = ("000000005", "000000004")
        jobs.append((finished[name], damaging(flip, model, both), [*both, "starting again"]))
    repair("damaged finished run", jobs)


def test_a_damaged_identity_is_mended_or_named(
    tmp_path: Path, stopped: dict[str, Training], names: list[str], tally: Tally, stress: bool
) -> None:
    draw = chance("identity")
    texts = [lambda file, _, text=text: file.write_text(text) for text in SHAPES]
    for number, damage in enumerate([*DAMAGES, *texts]):
        training = stopped[draw.choice(names)].copy(tmp_path / str(number))
        with tally.fault("damaged identity of a run"):
            effective(damage, training.state / "identity.json", draw)
            done = training.run()
            if done.returncode:
                assert done.log.splitlines()[-1].startswith("error: ") and "Traceback" not in done.log, done.log
                assert "identity.json" in done.log
                (training.state / "identity.json").unlink()
                done = training.run()
            assert " at step 3 of " in done.log
            training.assert_as_if_nothing_had_happened()

"""Damaged files of a saved run are named and not used, and the run ends with the bits of an undisturbed one."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Tally
from tests.reliability.trainings import KILL, Fault, Training, chance

pytestmark = pytest.mark.usefixtures("lpips_weights")  # FastGAN's loss
STEPS = 5
NEWEST, PREVIOUS = "000000003", "000000002"  # generations of a training killed in its fourth step
RESUMED, RESTARTED = " at step 2 of 5", "starting again"
Damage = Callable[[Path, random.Random], object]


def flip(file: Path, draw: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def truncate(file: Path, draw: random.Random) -> None:
    file.write_bytes(file.read_bytes()[: draw.randrange(1, file.stat().st_size)])


def zero(file: Path, draw: random.Random) -> None:
    """Like a block that never reached the disk."""
    before = file.read_bytes()
    while file.read_bytes() == before:  # there are zeros in it already
        start = draw.randrange(len(before))
        file.write_bytes(before[:start] + bytes(len(before[start : start + 512])) + before[start + 512 :])


def empty(file: Path, draw: random.Random) -> None:
    file.write_bytes(b"")


def remove(file: Path, draw: random.Random) -> None:
    file.unlink()


def containing(text: str) -> Damage:
    return lambda file, _: file.write_text(text)


def edit(file: Path, draw: random.Random) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), "step": 2}))


DAMAGES = (flip, truncate, zero, empty, remove)
SHAPES = tuple(map(containing, ("[]", '{"digest": 1}', "[" * 100_000, "9" * 5_000)))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Training]:
    """Trainings of a name and a seed that were killed in their fourth step, each made once."""
    found: dict[tuple[str, int], Training] = {}

    def make(name: str, seed: int = 0) -> Training:
        if (name, seed) not in found:
            training = Training.prepare(tmp_path_factory.mktemp("killed") / "run", name, STEPS, seed=seed)
            done = training.run(Fault(KILL.number, where="000000004"))
            assert training.newest() == int(NEWEST), done.log
            found[name, seed] = training
        return found[name, seed]

    return make


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, killed: Callable[..., Training], names: list[str]
) -> list[Training]:
    trainings = [killed(name).copy(tmp_path_factory.mktemp("finished") / "run") for name in names]
    for training in trainings:
        training.assert_ends_undisturbed()
    return trainings


@pytest.fixture
def recovers(tmp_path: Path, stress: bool, tally: Tally) -> Callable[..., None]:
    """`recovers(training, damage, *words)`: damage a copy's state folder, run it, expect the words and all bits."""
    draw = chance("damage")

    def check(original: Training, damage: Damage, *words: str) -> None:
        for _ in range(8 if stress else 1):
            training = original.copy(tmp_path / "copy")
            with tally.fault("damaged state"):
                damage(training.state, draw)
                said = training.assert_ends_undisturbed()
                assert all(word in said for word in words), f"{words} not in:\n{said}"
            shutil.rmtree(training.folder)

    return check


@pytest.mark.parametrize("file", [f"{NEWEST}.json", f"{NEWEST}.pt"])
def test_a_damaged_generation_is_named_and_the_one_before_it_used(
    file: str, killed: Callable[..., Training], names: list[str], recovers: Callable[..., None]
) -> None:
    for damage in (*DAMAGES, *SHAPES, edit) if file.endswith("json") else DAMAGES:
        # A generation without its JSON, which is written last, does not exist: no damage.
        named = [] if (file, damage) == (f"{NEWEST}.json", remove) else [NEWEST]
        for name in names:
            recovers(killed(name), lambda state, draw, act=damage: act(state / file, draw), *named, RESUMED)


def exchange(suffix: str) -> Damage:
    def damage(state: Path, draw: random.Random) -> None:
        one, other = state / f"{NEWEST}.{suffix}", state / f"{PREVIOUS}.{suffix}"
        one.rename(state / "aside")
        other.rename(one)
        (state / "aside").rename(other)

    return damage


def take(other: Path, *steps: str) -> Damage:
    return lambda state, _: [
        shutil.copy(other / f"{step}.{suffix}", state) for step in steps for suffix in ("json", "pt")
    ]


def test_generations_that_were_mixed_up_are_not_used(
    killed: Callable[..., Training], names: list[str], recovers: Callable[..., None]
) -> None:
    for name in names:
        other = killed(name, 1).state
        recovers(killed(name), exchange("pt"), NEWEST, PREVIOUS, RESTARTED)
        recovers(killed(name), take(other, NEWEST), NEWEST, RESUMED)
        recovers(killed(name), take(other, NEWEST, PREVIOUS), NEWEST, PREVIOUS, RESTARTED)


def test_a_run_that_started_again_is_saved_again(tmp_path: Path, killed: Callable[..., Training], tally: Tally) -> None:
    """Its first steps are older than the damaged generations, but not to be tidied away in their place."""
    training = killed("adaptive_imle").copy(tmp_path / "run")
    with tally.fault("all states damaged, then kill -9 of a training"):
        for step in (NEWEST, PREVIOUS):
            (training.state / f"{step}.json").write_bytes(b"")
        assert RESTARTED in training.run(Fault(KILL.number, where=".000000002.")).log
        assert " at step 1 of " in training.assert_ends_undisturbed()


def test_what_an_interrupted_write_left_is_swept_away_and_nothing_else(
    tmp_path: Path, killed: Callable[..., Training], tally: Tally
) -> None:
    training = killed("adaptive_imle").copy(tmp_path / "run")
    mine = training.out / ".pre-commit-config.yaml"
    with tally.fault("leftovers of an interrupted write"):
        for left in (".000000004.tmp-abc.pt", ".grid.tmp-ghi.png", ".run.tmp-jkl.json"):
            (training.state / left).write_bytes(b"{")
        (training.state / "000000004.pt").write_bytes(b"half")
        training.out.mkdir()
        mine.write_text("repos: []")
        (training.out / ".model.tmp-mno.safetensors").write_bytes(b"half")
        assert " at step 3 of " in training.assert_ends_undisturbed()
        assert not list(training.state.glob(".*")), "leftovers as large as a state stay for ever"
        assert list(training.out.glob(".*")) == [mine], "only what this program did not write stays"


def test_damaged_files_of_a_finished_run_are_made_again(
    finished: list[Training], recovers: Callable[..., None], stress: bool
) -> None:
    """From its last generation; a run without run.json is not finished, which is no damage."""
    cases = [(damage, "model.safetensors") for damage in DAMAGES]
    cases += [(damage, file) for file in ("history.csv", "run.json") for damage in (DAMAGES if stress else (flip,))]
    for training in finished:
        for damage, file in cases:
            said = [] if (damage, file) == (remove, "run.json") else ["finished files in", "are damaged"]
            recovers(training, lambda state, draw, act=damage, of=file: act(state / of, draw), *said, " at step 5 of 5")


def test_a_damaged_state_behind_a_damaged_finished_run(finished: list[Training], recovers: Callable[..., None]) -> None:
    def damage(state: Path, draw: random.Random) -> None:
        for file in ("model.safetensors", "000000005.pt"):
            truncate(state / file, draw)

    for training in finished:
        recovers(training, damage, "000000005", " at step 4 of 5")


@pytest.mark.parametrize("damage", [flip, empty, SHAPES[0]])
def test_a_damaged_identity_is_written_again_or_named(
    damage: Damage, killed: Callable[..., Training], recovers: Callable[..., None]
) -> None:
    recovers(
        killed("adaptive_imle"),
        lambda state, draw: damage(state / "identity.json", draw),
        "warning: ",
        "identity.json",
        " at step 3 of 5",
    )

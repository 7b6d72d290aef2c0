"""Disks that are full, read-only or damaged stop a Snakemake run in a sentence; afterwards nothing is lost."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reliability.project import RUN, SAMPLES, Project, namespace

MODEL = f"results/tiny/{RUN}/model.safetensors"
GENERATION = 650  # KiB: one saved state of RUN


def remount(project: Project, folder: str, options: str) -> None:
    subprocess.run([*project.prefix, "mount", "-o", f"remount,{options}", folder], cwd=project.folder, check=True)


def test_a_disk_full_at_a_checkpoint_costs_no_more_than_the_steps_since_the_last_one(
    copy: Project, baseline: Project, stress: bool, tally
) -> None:
    for size in random.sample(range(16, 3 * GENERATION), 6) if stress else [int(2.3 * GENERATION)]:
        copy.forget("train")
        with (
            namespace(copy, f"mount -t tmpfs -o size={size}k none state") as inside,
            tally.fault("full disk, training"),
        ):
            said = inside.refused(MODEL)
            assert "error: state/" in said
            assert "cannot be written (" in said
            assert "No space left on device" in said
            saved = [int(path.stem) for path in inside.view.glob("state/*/0*.json")]
            assert len(saved) == min(2, size // GENERATION)
            remount(inside, "state", "size=10m")
            inside.run(MODEL)
            if saved:
                assert f"at step {max(saved)} of 60" in inside.training_log()
            assert inside.differences(baseline, f"{RUN}/*") == []


@pytest.mark.parametrize(
    ("stage", "folder"),
    [
        ("sample", "samples/openmoji_faces/adaptive_imle"),
        pytest.param("features", "features/inception/openmoji_faces/adaptive_imle", marks=pytest.mark.long),
        pytest.param("evaluate", "metrics/openmoji_faces/adaptive_imle", marks=pytest.mark.long),
        pytest.param("render", "tables", marks=pytest.mark.long),
    ],
)
def test_a_disk_full_at_a_later_stage_is_one_sentence(
    stage: str, folder: str, copy: Project, baseline: Project, target, stress: bool, tally
) -> None:
    copy.forget(stage)
    goal = target if stress else (f"results/tiny/{SAMPLES}",)
    place = f"results/tiny/{folder}"
    # The hidden file keeps Snakemake from removing an empty folder, which a mount cannot be.
    mount = f"mkdir -p {place} && mount -t tmpfs -o size=4k none {place} && touch {place}/.keep"
    with namespace(copy, mount) as inside, tally.fault(f"full disk, {stage}"):
        assert f"error: {place}" in inside.refused(*goal)
        remount(inside, place, "size=10m")
        inside.run(*goal)
        assert inside.differences(baseline, "**/*" if stress else SAMPLES) == []


@pytest.mark.long
def test_a_file_size_limit_stops_a_training_in_one_sentence(copy: Project, baseline: Project, tally) -> None:
    copy.forget("train")
    with tally.fault("file size limit"):
        narrow = Project(copy.folder, ("prlimit", "--fsize=400000"))
        assert "error: state/" in narrow.refused(MODEL)
        copy.run(MODEL)
        assert copy.differences(baseline, f"{RUN}/*") == []


def test_a_read_only_results_folder_is_named_and_can_be_made_writable_again(
    copy: Project, baseline: Project, tally
) -> None:
    copy.forget("sample")
    sample = f"results/tiny/{SAMPLES}"
    with (
        namespace(copy, "mount --bind results results && mount -o remount,bind,ro results") as inside,
        tally.fault("read-only results"),
    ):
        assert "error: results/tiny cannot be written to" in inside.refused(sample)
        remount(inside, "results", "bind,rw")
        inside.run(sample)
        assert inside.differences(baseline, SAMPLES) == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)


@pytest.mark.long
@pytest.mark.parametrize("damage", [cut, flip])
@pytest.mark.parametrize(
    ("name", "read_by"),
    [
        (SAMPLES, "features"),
        (f"{RUN}/model.safetensors", "sample"),
        (f"{RUN}/run.json", "sample"),
        ("features/inception/openmoji_faces/adaptive_imle/seed0.npz", "evaluate"),
        ("metrics/openmoji_faces/adaptive_imle/seed0/fid.json", "collect"),
        ("../../data/prepared/32/openmoji_faces/images.npy", "sample"),
    ],
)
def test_a_damaged_file_is_named_and_is_made_again_once_deleted(
    name: str, read_by: str, damage: Callable[[Path], None], copy: Project, baseline: Project, target, tally
) -> None:
    """Our writers leave whole files or none, but a user's disk may not keep them so."""
    if read_by != "collect":
        copy.forget(read_by)
    path = copy.results / name
    with tally.fault("damaged file"):
        damage(path)
        if read_by == "collect":
            copy.forget(read_by)
        said = copy.refused(*target)
        assert any(line.startswith("error: ") and path.name in line for line in said.splitlines()), said[-4000:]
        path.unlink()
        copy.run(*target)
        assert copy.differences(baseline) == []

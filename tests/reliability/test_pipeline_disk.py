"""Disks that are full, read-only or damaged stop a Snakemake run in a sentence; afterwards nothing is lost."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import Tally
from tests.reliability.project import MODEL, RUN, SAMPLES, Project, namespace
from tests.reliability.test_damaged_state import Damage, flip, truncate
from tests.reliability.trainings import chance


def remount(project: Project, folder: str, options: str) -> None:
    subprocess.run([*project.prefix, "mount", "-o", f"remount,{options}", folder], cwd=project.folder, check=True)


@pytest.mark.long
def test_a_disk_full_at_a_checkpoint_costs_no_more_than_the_steps_since_the_last_one(
    copy: Project, baseline: Project, tally: Tally
) -> None:
    generation = sum(path.stat().st_size for path in copy.state.glob("0*")) / 2048  # KiB: two are kept
    draw = chance("full disk")
    for size in [draw.uniform(0.1, 3) for _ in range(6)]:
        copy.forget("train")
        mount = f"mount -t tmpfs -o size={int(size * generation)}k none state"
        with namespace(copy, mount) as inside, tally.fault("full disk, training"):
            said = inside.refused(MODEL)
            assert "error: state/" in said
            assert "cannot be written (" in said
            saved = [int(path.stem) for path in inside.view.glob("state/*/0*.json")]
            assert saved or size < 1.1
            remount(inside, "state", "size=10m")
            inside.run(MODEL)
            if saved:
                assert f"at step {max(saved)} of" in inside.training_log()
            assert inside.differences(baseline, f"{RUN}/*") == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("stage", "folder"),
    [
        ("sample", "samples/openmoji_faces/adaptive_imle"),
        ("features", "features/inception/openmoji_faces/adaptive_imle"),
        ("evaluate", "metrics/openmoji_faces/adaptive_imle"),
        ("render", "tables"),
    ],
)
def test_a_disk_full_at_a_later_stage_is_one_sentence(
    stage: str, folder: str, copy: Project, baseline: Project, tally: Tally
) -> None:
    copy.forget(stage)
    place = f"results/tiny/{folder}"
    # The hidden file keeps Snakemake from removing an empty folder, which a mount cannot be.
    mount = f"mkdir -p {place} && mount -t tmpfs -o size=4k none {place} && touch {place}/.keep"
    with namespace(copy, mount) as inside, tally.fault(f"full disk, {stage}"):
        assert f"error: {place}" in inside.refused()
        remount(inside, place, "size=10m")
        inside.run()
        assert inside.differences(baseline) == []


def test_a_read_only_results_folder_is_named(copy: Project, tally: Tally) -> None:
    copy.forget("sample")
    mount = "mount --bind results results && mount -o remount,bind,ro results"
    with namespace(copy, mount) as inside, tally.fault("read-only results"):
        assert "error: results/tiny cannot be written to" in inside.refused(f"results/tiny/{SAMPLES}")


@pytest.mark.long
@pytest.mark.parametrize("damage", [truncate, flip])
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
    name: str, read_by: str, damage: Damage, copy: Project, baseline: Project, tally: Tally
) -> None:
    """Our writers leave whole files or none, but a user's disk may not keep them so."""
    copy.forget(read_by)
    path = copy.results / name
    with tally.fault("damaged file"):
        damage(path, chance(name))
        said = copy.refused()
        assert any(line.startswith("error: ") and path.name in line for line in said.splitlines()), said[-4000:]
        path.unlink()
        copy.run()
        assert copy.differences(baseline) == []

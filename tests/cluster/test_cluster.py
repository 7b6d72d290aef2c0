"""Jobs that a real SLURM runs, cancels and ends at their time limit give the numbers of an undisturbed run."""

from __future__ import annotations

import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.cluster.conftest import run
from tests.cluster.project import FID, LOG, ClusterProject
from tests.conftest import Tally
from tests.pipeline.conftest import ENVIRONMENT, run_snakemake
from tests.reliability.project import MODEL, RUN, Project

SIMULATED_GPU = '''
"""Every job sees one GPU, number 0, as in a device cgroup, and waits until two have theirs.  It trains on the CPU."""
import os, sys, time
from pathlib import Path

if "train" in sys.orig_argv and "SLURM_JOB_ID" in os.environ:
    import torch
    from training import device

    really, given = device.pick_device, os.environ.pop("CUDA_VISIBLE_DEVICES")
    torch.cuda.device_count = lambda: 1

    def pick_device(name):
        chosen = really(name)
        Path("devices", os.environ["SLURM_JOB_ID"]).write_text(f"{chosen} is GPU {given}")
        deadline = time.monotonic() + 120
        while len(list(Path("devices").iterdir())) < 2:
            time.sleep(0.2)
            if time.monotonic() > deadline:
                sys.exit("no other job has a GPU")
        torch.cuda.device_count = lambda: 0
        return torch.device("cpu")

    device.pick_device = pick_device
'''


def undisturbed(project: ClusterProject, tmp_path: Path) -> Project:
    """The same training, run by hand from start to end."""
    other = Project(tmp_path / "undisturbed")
    places = ["--out", str(other.results / RUN), "--state", str(other.folder / "state")]
    command = ["python", "-m", "training", "train", "--config", "config/tiny.yaml", "--method", "adaptive_imle"]
    command += ["--dataset", "openmoji_faces", *places]
    subprocess.run(command, cwd=project.folder, env=ENVIRONMENT, check=True, capture_output=True)
    return other


def test_a_cell_reaches_its_fid_with_the_same_bits_though_its_training_is_cancelled(
    project: ClusterProject, tmp_path: Path, tally: Tally
) -> None:
    project = ClusterProject(project.folder, steps=120)
    with tally.fault("scancel"):
        driver = project.start(FID)
        project.wait_for_state(driver)
        first = project.holder()
        run("scancel", first["job"])
        assert driver.wait(timeout=400) == 0, project.said.read_text()[-4000:]
        assert (project.folder / FID).exists()
        stopped, resumed = project.segments()
        assert stopped["job"] == first["job"] != resumed["job"]
        assert stopped["last_step"] == resumed["first_step"] < resumed["last_step"] == 120
        log = (project.folder / LOG).read_text()
        assert "stopped by SIGTERM" in log and "resuming" in log  # the retry has kept what the first attempt said
        assert project.differences(undisturbed(project, tmp_path), f"{RUN}/*") == []


def test_two_gpu_jobs_run_side_by_side_each_with_its_own_device(project: ClusterProject) -> None:
    (project.folder / "sitecustomize.py").write_text(SIMULATED_GPU)
    (project.folder / "devices").mkdir()
    (project.folder / "config/gpu.yaml").write_text("seeds: [0, 1]\ntraining: {threads: 1, require_gpu: true}\n")
    project.configs.append("config/gpu.yaml")
    project.run(MODEL, MODEL.replace("seed0", "seed1"), "--retries=0", "--set-resources", "train:gpu_model=toy")
    found = {path.read_text() for path in (project.folder / "devices").iterdir()}
    assert found == {"cuda is GPU 0", "cuda is GPU 1"}


@pytest.mark.long
def test_a_training_goes_on_after_its_time_limit(project: ClusterProject, tmp_path: Path, tally: Tally) -> None:
    """SLURM counts in minutes and may send the signal a minute early."""
    project = ClusterProject(project.folder, steps=4000)
    with tally.fault("time limit"):
        project.run(MODEL, "--set-resources", "train:runtime=2", "train:slurm_extra=--signal=TERM@30", "--retries=9")
        segments = project.segments()
        assert len({segment["job"] for segment in segments}) > 1
        assert all(a["last_step"] == b["first_step"] for a, b in pairwise(segments))
        assert "stopped by SIGTERM" in (project.folder / LOG).read_text()
        assert project.differences(undisturbed(project, tmp_path), f"{RUN}/*") == []


@pytest.mark.long
def test_a_restarted_driver_waits_for_the_training_that_still_runs(project: ClusterProject, tally: Tally) -> None:
    project = ClusterProject(project.folder, steps=2000)
    with tally.fault("kill -9 of the driver"):
        driver = project.start(MODEL)
        project.wait_for_state(driver)
        driver.kill()
        driver.wait()
        holder = project.holder()
        project.recover(MODEL)
        said = f"process {holder['pid']} on {holder['host']} (job {holder['job']}) is training in"
        assert f"{said} state/{project.state.name}; waiting for it" in (project.folder / LOG).read_text()
        assert [segment["job"] for segment in project.segments()] == [holder["job"]]


@pytest.mark.long
def test_downloads_are_not_submitted(project: ClusterProject) -> None:
    raw = project.folder / "data/raw"
    shared = raw.readlink()
    raw.unlink()
    raw.mkdir()
    for path in shared.iterdir():
        (raw / path.name).symlink_to(path)
    weights = raw / "weights"
    weights.unlink()
    weights.mkdir()
    for path in (shared / "weights").iterdir():
        (weights / path.name).symlink_to(path)
    (weights / "lpips_alex.json").unlink()
    said = project.run("fetch")
    assert "fetching the weights of lpips_alex" in said
    assert "has been submitted" not in said


@pytest.mark.long
def test_the_smoke_preset_gives_the_numbers_of_a_local_run(project: ClusterProject, tmp_path: Path) -> None:
    project.configs = ["config/smoke.yaml"]
    project.run()
    there = tmp_path / "local"
    subprocess.run(["cp", "-r", str(project.folder), str(there)], check=True)
    for name in ("results", "state"):
        subprocess.run(["rm", "-r", str(there / name)], check=True)
    done = run_snakemake(there)
    assert done.returncode == 0, done.stderr[-4000:]
    columns = ["dataset", "method", "seed", "metric", "value"]
    on_cluster, local = (pd.read_csv(at / "results/smoke/metrics.csv")[columns] for at in (project.folder, there))
    pd.testing.assert_frame_equal(on_cluster, local, check_exact=True)
    assert (project.folder / "results/smoke/report.html").exists()


@pytest.mark.long
def test_a_thousand_cells_are_planned_and_submitted_in_ten_arrays(project: ClusterProject) -> None:
    """They are not run: the partition is closed, and they are cancelled in the queue."""
    seeds = list(range(1000))
    preset = "preset: many\nresolution: 32\ndatasets: [openmoji_faces]\nmethods: {control_noise: {}}\n"
    (project.folder / "config/many.yaml").write_text(f"{preset}seeds: {seeds}\n")
    project.configs = ["config/many.yaml"]
    targets = [f"results/many/runs/openmoji_faces/control_noise/seed{seed}/full/run.json" for seed in seeds]
    run("scontrol", "update", "PartitionName=main", "State=DOWN")
    began = time.monotonic()
    driver = project.start(*targets, "--slurm-array-jobs=train", "--slurm-array-limit=100", "--jobs=1000")
    try:
        while project.said.read_text().count("Submitted array job") < 10:
            assert driver.poll() is None, project.said.read_text()[-4000:]
            assert time.monotonic() < began + 300
            time.sleep(0.2)
        seconds = time.monotonic() - began
        cpu = sum(psutil.Process(driver.pid).cpu_times()[:4])
        assert len(run("squeue", "--noheader", "--array").splitlines()) == 1000
        print(f"1,000 cells: {seconds:.1f} s, {cpu:.1f} CPU-seconds until the last of 10 arrays was submitted")
    finally:
        driver.kill()
        driver.wait()
        run("scancel", "--user=root")
        run("scontrol", "update", "PartitionName=main", "State=UP")

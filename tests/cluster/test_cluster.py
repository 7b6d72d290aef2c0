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
from tests.cluster.project import LOG, ClusterProject
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


def undisturbed(cluster: ClusterProject, tmp_path: Path) -> Project:
    """The same training, run by hand from start to end."""
    other = Project(tmp_path / "undisturbed")
    places = ["--out", str(other.results / RUN), "--state", str(other.folder / "state")]
    command = ["python", "-m", "training", "train", "--config", "config/tiny.yaml", "--method", "adaptive_imle"]
    command += ["--dataset", "openmoji_faces", *places]
    subprocess.run(command, cwd=cluster.folder, env=ENVIRONMENT, check=True, capture_output=True)
    return other


def test_a_training_that_is_cancelled_ends_with_the_same_bits(
    cluster: ClusterProject, tmp_path: Path, tally: Tally
) -> None:
    cluster = ClusterProject(cluster.folder, steps=120)
    with tally.fault("scancel"):
        driver = cluster.start(MODEL)
        cluster.wait_for_state(driver)
        first = cluster.holder()
        run("scancel", first["job"])
        assert driver.wait(timeout=400) == 0, cluster.said.read_text()[-4000:]
        stopped, resumed = cluster.segments()
        assert stopped["job"] == first["job"] != resumed["job"]
        assert stopped["last_step"] == resumed["first_step"] < resumed["last_step"] == 120
        log = (cluster.folder / LOG).read_text()
        assert "stopped by SIGTERM" in log and "resuming" in log  # the retry has kept what the first attempt said
        assert cluster.differences(undisturbed(cluster, tmp_path), f"{RUN}/*") == []


def test_two_gpu_jobs_run_side_by_side_each_with_its_own_device(cluster: ClusterProject) -> None:
    (cluster.folder / "sitecustomize.py").write_text(SIMULATED_GPU)
    (cluster.folder / "devices").mkdir()
    (cluster.folder / "config/gpu.yaml").write_text("seeds: [0, 1]\ntraining: {threads: 1, require_gpu: true}\n")
    cluster.configs.append("config/gpu.yaml")
    cluster.run(MODEL, MODEL.replace("seed0", "seed1"), "--retries=0", "--set-resources", "train:gpu_model=toy")
    found = {path.read_text() for path in (cluster.folder / "devices").iterdir()}
    assert found == {"cuda is GPU 0", "cuda is GPU 1"}


@pytest.mark.long
def test_a_training_goes_on_after_its_time_limit(cluster: ClusterProject, tmp_path: Path, tally: Tally) -> None:
    """SLURM counts in minutes and may send the signal a minute early.  On a fast core, 4,000 steps took 53 seconds."""
    cluster = ClusterProject(cluster.folder, steps=12000)
    with tally.fault("time limit"):
        cluster.run(MODEL, "--set-resources", "train:runtime=2", "train:slurm_extra=--signal=TERM@30", "--retries=9")
        segments = cluster.segments()
        assert len({segment["job"] for segment in segments}) > 1
        assert all(a["last_step"] == b["first_step"] for a, b in pairwise(segments))
        assert "stopped by SIGTERM" in (cluster.folder / LOG).read_text()
        assert cluster.differences(undisturbed(cluster, tmp_path), f"{RUN}/*") == []


@pytest.mark.long
def test_a_restarted_driver_waits_for_the_training_that_still_runs(cluster: ClusterProject, tally: Tally) -> None:
    cluster = ClusterProject(cluster.folder, steps=2000)
    with tally.fault("kill -9 of the driver"):
        driver = cluster.start(MODEL)
        cluster.wait_for_state(driver)
        driver.kill()
        driver.wait()
        holder = cluster.holder()
        cluster.recover(MODEL)
        said = f"process {holder['pid']} on {holder['host']} (job {holder['job']}) is training in"
        assert f"{said} state/{cluster.state.name}; waiting for it" in (cluster.folder / LOG).read_text()
        assert [segment["job"] for segment in cluster.segments()] == [holder["job"]]


@pytest.mark.long
def test_downloads_are_not_submitted(cluster: ClusterProject) -> None:
    raw = cluster.folder / "data/raw"
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
    said = cluster.run("fetch")
    assert "fetching the weights of lpips_alex" in said
    assert "has been submitted" not in said


@pytest.mark.long
def test_the_smoke_preset_gives_the_numbers_of_a_local_run(cluster: ClusterProject, tmp_path: Path) -> None:
    cluster.configs = ["config/smoke.yaml"]
    cluster.run()
    there = tmp_path / "local"
    subprocess.run(["cp", "-r", str(cluster.folder), str(there)], check=True)
    for name in ("results", "state"):
        subprocess.run(["rm", "-r", str(there / name)], check=True)
    done = run_snakemake(there)
    assert done.returncode == 0, done.stderr[-4000:]
    columns = ["dataset", "method", "seed", "metric", "value"]
    on_cluster, local = (pd.read_csv(at / "results/smoke/metrics.csv")[columns] for at in (cluster.folder, there))
    pd.testing.assert_frame_equal(on_cluster, local, check_exact=True)
    assert (cluster.folder / "results/smoke/report.html").exists()


@pytest.mark.long
def test_a_thousand_cells_are_planned_and_submitted_in_ten_arrays(cluster: ClusterProject) -> None:
    """They are not run: the partition is closed, and they are cancelled in the queue."""
    seeds = list(range(1000))
    preset = "preset: many\nresolution: 32\ndatasets: [openmoji_faces]\nmethods: {control_noise: {}}\n"
    (cluster.folder / "config/many.yaml").write_text(f"{preset}seeds: {seeds}\n")
    cluster.configs = ["config/many.yaml"]
    targets = [f"results/many/runs/openmoji_faces/control_noise/seed{seed}/full/run.json" for seed in seeds]
    run("scontrol", "update", "PartitionName=main", "State=DOWN")
    began = time.monotonic()
    driver = cluster.start(*targets, "--slurm-array-jobs=train", "--slurm-array-limit=100", "--jobs=1000")
    try:
        while cluster.said.read_text().count("Submitted array job") < 10:
            assert driver.poll() is None, cluster.said.read_text()[-4000:]
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

"""A real SLURM of one node with two simulated GPUs, and a project whose jobs it runs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.cluster.project import ClusterProject
from tests.pipeline.conftest import ROOT, copy_project

LINK = Path("/etc/slurm/slurm.conf")  # SLURM drops SLURM_CONF on the way to a job, which then looks only there
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmctldPort=36820
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
StateSaveLocation={folder}/state
SlurmdPidFile={folder}/slurmd.pid
SlurmdLogFile={folder}/slurmd.log
SlurmdSpoolDir={folder}/spool
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MinJobAge=1800
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port=36821 CPUs=16 RealMemory=32000 Gres=gpu:toy:2
PartitionName=main Nodes=n1 Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running SLURM, which is ended after the last test.  Skips where there cannot be one."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slurm")
    try:
        start(folder)
        yield folder
    finally:
        stop(folder)


@pytest.fixture
def cluster(slurm: Path, tmp_path: Path, downloads: None, openmoji_faces: Path) -> ClusterProject:
    """A project with prepared images, in which nothing else has run yet."""
    folder = copy_project(tmp_path / "project")
    # With new dates: they must not be older than the downloads, which another test may have written again.
    shutil.copytree(openmoji_faces, folder / openmoji_faces.relative_to(ROOT), copy_function=shutil.copyfile)
    return ClusterProject(folder)


def why_not() -> str:
    """Why this machine cannot run a SLURM of our own, or ""."""
    if missing := [name for name in ("sbatch", "slurmctld", "slurmd", "munged") if not shutil.which(name)]:
        return f"{', '.join(missing)} not found: apt-get install --no-install-recommends slurm-wlm munge"
    if os.getuid():
        return "only root can start a SLURM"
    if LINK.exists() and not left_by_a_killed_test():
        return f"{LINK} exists: this machine belongs to a cluster, or another test uses it"
    return ""


def left_by_a_killed_test() -> bool:
    folder = LINK.resolve().parent
    pid = folder / "slurmctld.pid"
    running = pid.exists() and psutil.pid_exists(int(pid.read_text()))
    return (folder / "munge" / "key").exists() and not running


def start(folder: Path) -> None:
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir()
    for path in (*list(folder.parents)[:-2], folder, folder / "munge"):
        path.chmod(0o755)  # munged refuses a socket in a folder that is closed to others
    key = folder / "munge" / "key"
    key.touch(0o600)
    key.write_bytes(os.urandom(1024))
    for index in (0, 1):
        os.mknod(folder / f"gpu{index}", 0o600 | 0o020000, os.makedev(195, index))
    (folder / "gres.conf").write_text(f"NodeName=n1 Name=gpu Type=toy File={folder}/gpu[0-1]\n")
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder))
    LINK.parent.mkdir(exist_ok=True)
    LINK.unlink(missing_ok=True)
    LINK.symlink_to(folder / "slurm.conf")
    munge = folder / "munge"
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    run("munged", "--force", *(f"--{option}={munge / name}" for option, name in files.items()))
    run("slurmctld", "-c", "-f", str(folder / "slurm.conf"))
    run("slurmd", "-N", "n1", "-f", str(folder / "slurm.conf"))  # gres.conf is beside it
    deadline = time.monotonic() + 30
    while "idle" not in run("sinfo", "--noheader", "--format=%T"):
        assert time.monotonic() < deadline, (folder / "slurmctld.log").read_text()[-2000:]
        time.sleep(0.2)


def stop(folder: Path) -> None:
    """End what this SLURM runs and then its daemons, each by its process number; remove the link."""
    with suppress(OSError, subprocess.SubprocessError):
        run("scancel", "--user=root")
    daemons = [Path(folder, name) for name in ("slurmd.pid", "slurmctld.pid", "munge/pid")]
    for path in (path for path in daemons if path.exists()):
        with suppress(psutil.NoSuchProcess):
            daemon = psutil.Process(int(path.read_text()))
            daemon.terminate()
            psutil.wait_procs([daemon], timeout=20)
    # A step outlives its daemon, and sometimes its time limit.  No other SLURM is on this machine: LINK was free.
    steps = [process for process in psutil.process_iter() if process.name() == "slurmstepd"]
    for process in [child for step in steps for child in step.children(recursive=True)] + steps:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    if LINK.is_symlink() and LINK.readlink().parent == folder:
        LINK.unlink()


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

"""`--use-conda` end to end: solving, installing and activation are real, the `conda` program is not.

No package registry serves a conda that works alone, so a stand-in over py-rattler takes its place, and a local channel
that of conda-forge.  This proves the rules' `conda:` lines and their paths, the solving of an environment file against
a channel, its installation, and that jobs run inside.  It proves nothing about conda-forge: the stand-in installs no
`pip:` packages, so environment.yml is swapped for one whose Python sees the packages that pip installed here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.pipeline.conda_stand_in import channel
from tests.pipeline.conftest import ROOT, copy_project

Completed = subprocess.CompletedProcess[str]
Snakemake = Callable[..., Completed]
PIN = "python={}.{}".format(*sys.version_info)  # in environment.yml's way of writing
RUN = "results/smoke/runs/openmoji_faces/vanilla_imle/seed0/full/run.json"
ANOTHER = "results/smoke/rendering.json"


class StandIn(NamedTuple):
    channel: str  # its address
    prefix: tuple[str, ...]  # puts the stand-in on the PATH of the command behind it, with the network denied


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory, no_network: tuple[str, ...]) -> StandIn:
    folder = tmp_path_factory.mktemp("conda")
    channel.build(folder / "channel")
    (folder / "bin").mkdir()
    shutil.copy(Path(__file__).parent / "conda_stand_in" / "conda.py", folder / "bin" / "conda").chmod(0o755)
    (folder / "bin" / "activate").write_text('export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n')
    path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = (f"PATH={path}", f"RATTLER_CACHE_DIR={folder / 'cache'}")
    return StandIn((folder / "channel").as_uri(), (*no_network, "env", *environment))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, fetched: None, stand_in: StandIn, snakemake: Snakemake) -> Path:
    """A project in which one dataset was prepared and one method trained, both inside the environment."""
    project = copy_project(tmp_path_factory.mktemp("use_conda") / "project")
    (project / "environment.yml").write_text(environment(stand_in, PIN))
    done = snakemake(project, RUN, "--use-conda", prefix=stand_in.prefix)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return project


def environment(stand_in: StandIn, *packages: str) -> str:
    """An environment file without `pip:`, for the local channel."""
    channels = [stand_in.channel, "nodefaults"]
    return yaml.safe_dump({"name": "stand-in", "channels": channels, "dependencies": [*packages, channel.DOOR]})


def installed(project: Path) -> Path:
    """The one environment that Snakemake made."""
    (folder,) = (path for path in (project / ".snakemake/conda").iterdir() if path.is_dir())
    return folder


def test_the_solver_obeys_the_pin_and_adds_what_is_needed(trained: Path) -> None:
    """The channel lists a newer Python, too."""
    records = [json.loads(path.read_text()) for path in (installed(trained) / "conda-meta").glob("*.json")]
    assert {(record["name"], record["version"]) for record in records} == {
        ("python", channel.VERSION),
        (channel.DOOR, "1.0"),
    }


def test_every_job_ran_with_the_python_of_the_activated_environment(trained: Path) -> None:
    prefix = str(installed(trained))
    starts = [json.loads(line) for line in Path(prefix, "started.jsonl").read_text().splitlines()]
    assert [start["arguments"][:3] for start in starts] == [["-m", "data", "prepare"], ["-m", "training", "train"]]
    assert {start["executable"] for start in starts} == {f"{prefix}/bin/python"}
    assert {start["CONDA_PREFIX"] for start in starts} == {prefix}


def test_dropping_and_adding_the_flag_retrains_nothing(trained: Path, stand_in: StandIn, snakemake: Snakemake) -> None:
    """Trained with the flag, another file made without it, then all asked for with it: the profile's triggers."""
    without = snakemake(trained, RUN, ANOTHER, "--quiet", "rules", prefix=stand_in.prefix)
    assert without.returncode == 0, without.stderr[-4000:]
    jobs = re.findall(r"^(\w+) +(\d+)$", without.stdout + without.stderr, re.MULTILINE)
    assert jobs == [("rendering_settings", "1"), ("total", "1")]
    again = snakemake(trained, RUN, ANOTHER, "--dry-run", "--use-conda", prefix=stand_in.prefix)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_package_that_the_channel_lacks_is_named_and_leaves_no_environment(
    tmp_path: Path, fetched: None, stand_in: StandIn, snakemake: Snakemake
) -> None:
    project = copy_project(tmp_path / "project")
    (project / "environment.yml").write_text(environment(stand_in, PIN, "no-such-package"))
    done = snakemake(project, RUN, "--use-conda", prefix=stand_in.prefix)
    assert done.returncode != 0
    assert re.search(r"Could not create conda environment from .*/environment\.yml", done.stderr)
    assert "No candidates were found for no-such-package" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in (project / ".snakemake/conda").iterdir() if path.is_dir()]


def test_every_rule_with_a_command_names_environment_yml() -> None:
    rules = re.split(r"^rule ", "".join(path.read_text() for path in ROOT.glob("workflow/rules/*.smk")), flags=re.M)
    commands = [rule for rule in rules[1:] if re.search(r"^    (shell|script|run):", rule, re.MULTILINE)]
    assert len(commands) > 10
    assert not [rule.split(":")[0] for rule in commands if 'conda:\n        "../../environment.yml"\n' not in rule]

"""A project whose jobs SLURM runs, by the profile that users get."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.reliability.project import PRESET, RUN, Project

LOG = "results/tiny/logs/train/openmoji_faces_adaptive_imle_seed0_full.log"
# The plugin first asks how a job is after 40 seconds, and after each answer without news it waits 10 seconds longer.
SOON = ("--slurm-init-seconds-before-status-checks", "1")
IMPATIENT = """
import asyncio, sys
from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
RemoteExecutor.sleep = lambda executor: asyncio.sleep(0.5)
del sys.argv[0]
main()
"""


class ClusterProject(Project):
    """Its trainings take `steps` steps."""

    patience = 1800

    def __init__(self, folder: Path, steps: int = 60) -> None:
        super().__init__(folder, prefix=(sys.executable, "-c", IMPATIENT))
        (folder / "config/tiny.yaml").write_text(PRESET.replace("steps: 60", f"steps: {steps}"))
        self.configs = ["config/tiny.yaml"]

    def options(self, cores: int) -> list[str]:
        return ["--workflow-profile", "profiles/slurm", *SOON, "--configfile", *self.configs]

    def holder(self) -> dict[str, Any]:
        """Who holds, or held, the state of RUN's training."""
        return json.loads((self.state / "lock").read_text())

    def segments(self) -> list[dict[str, Any]]:
        """Of RUN's finished training."""
        return json.loads((self.results / RUN / "run.json").read_text())["segments"]

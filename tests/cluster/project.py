"""A project whose jobs SLURM runs, by the profile that users get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.reliability.project import PRESET, RUN, Project

FID = "results/tiny/metrics/openmoji_faces/adaptive_imle/seed0/fid.json"
LOG = "results/tiny/logs/train/openmoji_faces_adaptive_imle_seed0_full.log"
# The plugin waits 40 seconds before it first asks how a job is.
IMPATIENT = ("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1")


class ClusterProject(Project):
    """Its trainings take `steps` steps."""

    patience = 1800

    def __init__(self, folder: Path, steps: int = 60) -> None:
        super().__init__(folder)
        (folder / "config/tiny.yaml").write_text(PRESET.replace("steps: 60", f"steps: {steps}"))
        self.configs = ["config/tiny.yaml"]

    def options(self, cores: int) -> list[str]:
        return ["--workflow-profile", "profiles/slurm", *IMPATIENT, "--configfile", *self.configs]

    def holder(self) -> dict[str, Any]:
        """Who holds, or held, the state of RUN's training."""
        return json.loads((self.state / "lock").read_text())

    def segments(self) -> list[dict[str, Any]]:
        """Of RUN's finished training."""
        return json.loads((self.results / RUN / "run.json").read_text())["segments"]

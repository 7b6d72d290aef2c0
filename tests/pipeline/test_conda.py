"""`--use-conda`: every job runs in the environment of environment.yml, and the flag repeats nothing.

The `conda` program is a stand-in whose environments hold a Python that notes each start and runs this one.  That the
pins can be installed from conda-forge is not tested.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from tests.pipeline.conftest import METRICS, ROOT, jobs, run_snakemake, status

CONDA = r"""#!/bin/sh
here=$(dirname "$(dirname "$0")")
case "$*" in
  "info --json") echo "{\"conda_prefix\": \"$here\", \"platform\": \"linux-64\"}" ;;
  "--version") echo "conda 24.7.1" ;;
  "config --get channel_priority --json") echo '{"get": {"channel_priority": "strict"}}' ;;
  "env create "*)
    while [ $# -gt 0 ]; do
      case "$1" in --file) file=$2 ;; --prefix) prefix=$2 ;; esac
      shift
    done
    mkdir -p "$prefix/bin"
    cp "$file" "$here/asked.yml"
    printf '#!/bin/sh\necho "$CONDA_PREFIX: $@" >> %s/started\nexec %s "$@"\n' "$here" "$PYTHON" > "$prefix/bin/python"
    chmod +x "$prefix/bin/python" ;;
  "clean "*) ;;
  *) echo "unknown command: $*" >&2; exit 1 ;;
esac
"""


def test_jobs_run_in_the_environment_and_the_flag_repeats_nothing(smoke_copy: Path, tmp_path: Path) -> None:
    """The project was run without the flag; one metric and the table, by a command and by a script, are made again."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/conda").write_text(CONDA)
    (tmp_path / "bin/conda").chmod(0o755)
    (tmp_path / "bin/activate").write_text('export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n')
    path = f"PATH={tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    (smoke_copy / "results/smoke/metrics/openmoji_faces/control_real/seed0/fid.json").unlink()
    (smoke_copy / METRICS).unlink()
    done = run_snakemake(
        smoke_copy, METRICS, "--use-conda", "--quiet", "rules", prefix=("env", path, f"PYTHON={sys.executable}")
    )
    assert jobs(done) == {"evaluate": 1, "collect": 1}
    started = (tmp_path / "started").read_text()
    [environment] = {line.partition(": ")[0] for line in started.splitlines()}
    assert Path(environment).parent == smoke_copy / ".snakemake/conda"
    assert "-m metrics evaluate" in started
    assert "collect.py" in started
    assert (tmp_path / "asked.yml").read_text() == (ROOT / "environment.yml").read_text()
    assert status(smoke_copy) == {}, "dropping the flag repeats something"


def test_every_rule_with_a_command_names_environment_yml() -> None:
    rules = re.split(r"^rule ", "".join(path.read_text() for path in ROOT.glob("workflow/rules/*.smk")), flags=re.M)
    commands = [rule for rule in rules[1:] if re.search(r"^    (shell|script|run):", rule, re.MULTILINE)]
    assert len(commands) > 10
    assert not [rule.split(":")[0] for rule in commands if 'conda:\n        "../../environment.yml"\n' not in rule]

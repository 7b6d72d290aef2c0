# Where it runs: checks of folder and conda, the environment of every job, and what a closed terminal does.
import os
import shlex
import shutil
import signal
import sys
from contextlib import suppress

import psutil  # a requirement of Snakemake

sys.path.insert(0, workflow.basedir)

from common.machine import name_user


def check_folder():
    """End with one sentence where rules or Snakemake itself cannot work; Snakemake would print tracebacks."""
    folder = os.path.realpath(workflow.basedir)
    if not os.path.samefile(folder, os.curdir):  # the paths of all rules begin there
        own = shlex.quote(folder)
        sys.exit(f"error: the benchmark runs only in its own folder: cd {own}, or add the option: -d {own}")
    if set(folder) & set("{}:"):
        sys.exit(f"error: {folder}: Snakemake cannot work in a folder with a brace or a colon in its path; rename it")
    notes = ".snakemake" if os.path.exists(".snakemake") else os.curdir  # written to even by a dry run
    if not os.access(notes, os.W_OK):
        sys.exit(f"error: {folder} cannot be written to; copy it to a folder of yours, or mount it writable")


def uses_conda():
    return "CONDA" in {method.name for method in workflow.deployment_settings.deployment_method}


def check_conda():
    """End with one sentence if conda is missing; Snakemake's own message has many lines."""
    if uses_conda() and not shutil.which("conda"):
        sys.exit(
            "error: --use-conda needs conda 24.7 or newer on the PATH (Miniforge has one); without conda, omit "
            "the flag and install the same versions: pip install -r requirements.txt"
        )


def job_prefix(exports):
    """Shell text that runs before every command of a job.  It replaces Snakemake's own, so it sets strict mode again.

    `python` is the Python that runs Snakemake, whatever the PATH holds; with --use-conda, that of the environment.
    exports: `NAME=value` of environment variables, quoted for a shell.
    """
    python = "" if uses_conda() else f'python() {{ {sys.executable} "$@"; }}; '
    # Snakemake would replace single braces.
    return f"set -euo pipefail; {python}export {exports}; ".replace("{", "{{").replace("}", "}}")


def hang_up(number, frame):
    """A closed terminal ends Snakemake as Ctrl-C does, so that no lock is left; trainings save their state."""
    signal.signal(number, signal.SIG_IGN)  # shells repeat it
    for process in psutil.Process().children(recursive=True):  # only some terminals signal the jobs, too
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    raise KeyboardInterrupt


check_folder()
check_conda()
name_user()
FOLDER = shlex.quote(workflow.basedir)
sys.executable = shlex.quote(sys.executable)  # Snakemake puts it into the commands of `script:` jobs as it is
if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # not under nohup
    signal.signal(signal.SIGHUP, hang_up)

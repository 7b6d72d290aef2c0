# The preset, the paths of its files, and what happens before and after a run.
import fcntl
import importlib.util
import json
import os
import re
import shlex
import sys
from contextlib import suppress
from pathlib import Path

from common.console import explained
from common.files import read_json, read_yaml, write_json, write_text
from common.hashing import digest
from data.datasets import dataset_info
from training.config import parse_preset
from training.sections import ALL_SPLITS, SPLITS
from training.counts import too_few
from training.identity import code_hashes, config_hash, sources_hash
from training.protocols import ANSWER_CONTROLS
from training.registry import method_info
from workflow.rendering.contents import answer_tables, figures_of, printed, tables_of


def config_files():
    """The configuration files of this run; keys of later ones override those of earlier ones."""
    return [os.path.relpath(path) for path in workflow.configfiles]


def checked_preset():
    """The validated preset.  An error in it ends the run with one sentence that names the key."""
    with explained():
        for path in workflow.configfiles:
            read_yaml(path)  # unlike Snakemake's own reader, it refuses duplicate keys
        preset = parse_preset(config, " and ".join(config_files()))
    return preset.model_copy(update={"command": this_command()})


def this_command():
    """The command that makes these results, quoted for a shell; its settings are read as YAML."""
    words = ["snakemake", "--cores", "all", "--configfile", *config_files()]
    given = dict(OVERRIDES)
    if IMAGES is not None:
        given["images"] = read_json(MINE_RECORD)["folder"]
    if given:
        texts = {key: json.dumps(value) if isinstance(value, (dict, list)) else value for key, value in given.items()}
        words += ["--config", *(f"{key}={text}" for key, text in texts.items())]
    return shlex.join(words)


def check_writable():
    """End with one sentence if results cannot be written; Snakemake would print a long traceback."""
    folder = next(path for path in (Path(P), *Path(P).parents) if path.exists())
    if not os.access(folder, os.W_OK):
        sys.exit(f"error: {folder} cannot be written to; set permissions or mount it writable, then run again")


def settle(asked):
    """Write CONFIG, which jobs read; end instead if a running command of this preset has other settings.

    asked: its content.  The lock is held until this process ends.  Snakemake's own locks are no sign: the first of two
    commands that ends removes those of both.
    """
    global RUNNING
    RUNNING = open(f"{P}/logs/running", "a")
    without_command = {"command": ""}  # two commands may make different targets of one configuration
    other = Path(CONFIG).is_file() and read_json(CONFIG) | without_command != json.loads(asked) | without_command
    try:
        fcntl.flock(RUNNING, fcntl.LOCK_EX | fcntl.LOCK_NB if other else fcntl.LOCK_SH)
    except BlockingIOError:
        sys.exit(
            f"error: a running command has other settings of the preset {PRESET.preset}; wait for it, or give these "
            "settings another name: --config preset=NAME"
        )
    except OSError:  # a file system without locks
        pass
    write_text(CONFIG, asked)
    with suppress(OSError):
        fcntl.flock(RUNNING, fcntl.LOCK_SH)


def makes_results():
    """Has this command a job with results?  The preset of one that has none must not replace that of a running one."""
    made = (path for job in workflow.dag.needrun_jobs() for path in job.output)
    return any(str(path).startswith(f"{P}/") for path in made)


def check_gpus():
    """End a run on this machine before any download if its trainings need a GPU and there is none.

    Elsewhere (a cluster, a conda environment), each training checks this itself.
    """
    trainings = [job for job in workflow.dag.needrun_jobs() if job.rule.name == "train"]
    needed = PRESET.training.require_gpu and any(method_info(job.wildcards.method).trains for job in trainings)
    if needed and workflow.local_exec and importlib.util.find_spec("torch"):
        from training.device import check_gpu

        with explained():
            check_gpu()


PRESET = checked_preset()

P = f"results/{PRESET.preset}"
PREPARED = f"data/prepared/{PRESET.resolution}"
CONFIG = f"{P}/config.json"  # the preset with every default; what jobs read
ASKED = f"{P}/logs/config.json"  # the same of a command that may make no results: `plan`, `prune`, `verify`, `fetch`
THREADS = PRESET.training.threads
LPIPS_WEIGHTS = f"data/raw/weights/lpips_{PRESET.metrics.backtracking.net}.json"  # of the metrics, not of a training
OWN_PICTURES = MINE in PRESET.datasets and MINE not in dataset_names()
ESTIMATE = f"{P}/estimate.txt"  # of the training time; only for the user's own pictures
UNUSED = f"{P}/unused.json"  # what data/external holds that gives no row; for the report
INTAKE = f"{P}/intake.json"  # what was found in their folder; for the report
SMALL_MB = 2000  # of jobs that train nothing and run no large network
DAY = 24 * 60  # in minutes, as `runtime` counts
# The MALLOC variables stop glibc from returning large blocks to the system between steps, which causes page faults.
shell.prefix(
    job_prefix(
        "MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_MMAP_THRESHOLD_=1000000000"
        f" RUNS_PER_GPU={PRESET.training.runs_per_gpu} PYTHONPATH={FOLDER}"
    )
)


# A request of each job.  On a cluster, --resources gpu=N then limits the jobs of one group, not the whole cluster.
resource_scopes:
    gpu="local",


onstart:
    check_writable()
    check_gpus()
    check_externals()
    for note in too_few(PRESET, datasets_in_use()) + unused_externals():
        print(f"note: {note}", file=sys.stderr)
    asked = PRESET.model_dump_json(indent=2)
    write_text(ASKED, asked)
    if makes_results():
        settle(asked)
        write_json(UNUSED, unused_externals())
        if OWN_PICTURES:
            write_json(INTAKE, intake())


onsuccess:
    if OWN_PICTURES and Path(P, "report.html").exists():
        print(f"\nYour page: {Path(P, 'report.html').absolute()}", file=sys.stderr)


def intake():
    """What was found in the folder of the user's own pictures, for the report."""
    from data.mine_report import report

    return report(read_json(MINE_RECORD), PRESET.resolution)


def datasets_in_use():
    """The datasets that have a cell; those that `skip` leaves out completely are neither fetched nor measured."""
    used = {dataset for dataset, _, _ in PRESET.cells() + PRESET.cells("train90") + externals()}
    return [dataset for dataset in PRESET.datasets if dataset in used]


def images_of(name):
    """The dataset that a task is made from; a dataset's own name."""
    return PRESET.tasks[name].dataset if name in PRESET.tasks else name


def datasets_to_fetch():
    """Those in use, those of tasks, and the faces of Figure 5, which the page of tasks shows."""
    of_tasks = [*map(images_of, PRESET.tasks), "openmoji_faces"] if PRESET.tasks else []
    return sorted({*datasets_in_use(), *of_tasks})


def per_cell(pattern, chosen):
    return [pattern.format(P=P, dataset=d, method=m, seed=s) for d, m, s in chosen]


def diversity_settings():
    """The settings of copy rate and diversity, and of precision and recall."""
    metrics = PRESET.metrics
    return [
        [str(protocol) for protocol in metrics.precision_recall],
        metrics.frechet,
        metrics.backtracking.perceptual,
        metrics.sscd,
    ]


def run_of(wildcards):
    """The resolved configuration of one training."""
    return PRESET.run(wildcards.dataset, wildcards.method, int(wildcards.seed), wildcards.split)


def loss_networks(run):
    """The LPIPS network that a training needs, as a list of none or one."""
    return [f"lpips_{run.config['perceptual']}"] if "perceptual" in run.config else []


def weights():
    """All fixed networks that the preset needs."""
    runs = [PRESET.run(*cell, split) for split in ALL_SPLITS for cell in PRESET.cells(split)]
    losses = {network for run in runs for network in loss_networks(run)}
    features = PRESET.metrics.networks if PRESET.datasets else []
    return sorted({*features, *losses, f"lpips_{PRESET.metrics.backtracking.net}"})


def code(*paths):
    """A digest of these sources and what they import; as a rule's parameter, it reruns the rule after an edit."""
    return digest(code_hashes(*paths))


def dataset_entry(wildcards):
    """A digest of a dataset's entry in datasets.yaml."""
    return digest(dataset_info(wildcards.dataset).model_dump(mode="json"))


def run_identity(wildcards):
    """What a training depends on besides its images."""
    return [config_hash(run_of(wildcards)), sources_hash(wildcards.method)]


def either(names):
    """A wildcard constraint that matches exactly these names (and nothing if there are none)."""
    return "|".join(map(re.escape, names)) or "(?!)"


def gpus(wildcards):
    """For jobs that run a network."""
    return 1 if PRESET.training.require_gpu else 0


def gpus_of_method(wildcards):
    """None for a control: its samples come from no network."""
    return gpus(wildcards) if method_info(wildcards.method).trains else 0


def memory_of_method(wildcards):
    return PRESET.training.memory_mb if method_info(wildcards.method).trains else SMALL_MB


def metric_files():
    """One JSON per metric and run: everything that metrics.csv collects."""
    folder = "{P}/metrics/{dataset}/{method}/seed{seed}"
    sampled = PRESET.cells() + externals()
    floors = [(dataset, "floor", 0) for dataset in datasets_in_use()]
    return (
        per_cell(f"{folder}/fid.json", sampled + floors)
        + per_cell(f"{folder}/precision_recall.json", sampled)
        + per_cell(f"{folder}/diversity.json", sampled + floors)
        + per_cell(f"{folder}/backtracking.json", PRESET.cells("train90"))
        + per_cell(f"{folder}/answers.json", answered())
    )


def answered():
    """(task, method or control, seed) of everything that answers the inputs of a task."""
    controls = [(task, name, 0) for task in PRESET.tasks for name in ANSWER_CONTROLS[PRESET.tasks[task].kind]]
    return PRESET.cells("train") + controls


def run_files(name, splits=SPLITS):
    """One file of every training on data sets; of tasks, with the split "train"."""
    return [
        f"{P}/runs/{dataset}/{method}/seed{seed}/{split}/{name}"
        for split in splits
        for dataset, method, seed in PRESET.cells(split)
    ]


def figure_inputs():
    """The files that the figures show."""
    sampled = PRESET.cells() + externals()
    return (
        [f"{PREPARED}/{dataset}/images.npy" for dataset in datasets_in_use()]
        + per_cell("{P}/samples/{dataset}/{method}/seed{seed}.npz", sampled)
        + per_cell("{P}/metrics/{dataset}/{method}/seed{seed}/diversity.npz", sampled)
        + per_cell("{P}/metrics/{dataset}/{method}/seed{seed}/backtracking.npz", PRESET.cells("train90"))
        + run_files("history.csv")
    )

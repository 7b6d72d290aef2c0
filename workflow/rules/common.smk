# Functions only: which cells the configuration asks for, and where their files lie.
import json
import os
from dataclasses import asdict
from pathlib import Path
import re
import shutil
import sys

sys.path.insert(0, workflow.basedir)

from workflow.clock import redate
from data.console import UserError
from data.files import read_yaml
from data.load import dataset_info
from methods.discover import method_info, sources_of
from methods.settings import SCHEMA, cells, check, explain, run_settings
from metrics.protocols import FID, NETWORK_TITLES, Backtracking, PrecisionRecall
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate


def config_files():
    """The configuration files of this run, later ones laid over earlier ones."""
    return [os.path.relpath(path) for path in workflow.configfiles]


def checked_configuration():
    """Validate the configuration and fill in its defaults; a mistake ends in one sentence naming the key."""
    try:
        for path in workflow.configfiles:
            read_yaml(path)  # which knows more mistakes than Snakemake, such as a key that stands twice
        validate(config, str(SCHEMA))
    except UserError as error:
        sys.exit(f"error: {error}")
    except WorkflowError as error:
        sys.exit(f"error: {' and '.join(config_files())}: {explain(error)}")
    try:
        check(config)
    except UserError as error:
        sys.exit(f"error: {' and '.join(config_files())}: {error}")


def check_conda():
    """Snakemake's own complaint about an absent conda runs over many lines."""
    asked = "CONDA" in {method.name for method in workflow.deployment_settings.deployment_method}
    if asked and not shutil.which("conda"):
        sys.exit(
            "error: --use-conda needs a conda of 24.7 or newer on the PATH (Miniforge has one); without it, leave the "
            "flag out and install the same pins by: pip install -r requirements.txt"
        )


def check_writable():
    """Snakemake ends in a long trace where it may not remove what a job is about to make again."""
    folder = next(path for path in (Path(P), *Path(P).parents) if path.exists())
    if not os.access(folder, os.W_OK):
        sys.exit(f"error: {folder} cannot be written to; set permissions or mount it writable, then run again")


checked_configuration()
check_conda()
redate()  # before Snakemake looks at any date

P = f"results/{config['preset']}"
PREPARED = f"data/prepared/{config['resolution']}"
TRAINING = config["training"]
BACKTRACKING = config["metrics"]["backtracking"]
# glibc hands large blocks back to the system between steps unless told to keep them, which spares page faults.
# The prefix takes the place of Snakemake's own, bash's strict mode.
shell.prefix(
    "set -euo pipefail; export MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_MMAP_THRESHOLD_=1000000000"
    f" RUNS_PER_GPU={TRAINING['runs_per_gpu']}; "
)


def externals():
    """(dataset, name, 0) of every folder data/external/NAME/DATASET: samples of baselines trained elsewhere."""
    folders = sorted(path for path in Path("data/external").glob("*/*") if path.is_dir() and any(path.iterdir()))
    for folder in folders:
        name, dataset = folder.parts[-2:]
        if name in config["methods"] or name == "floor":
            sys.exit(f"error: data/external/{name} has the name of a method in the configuration; rename the folder")
        if not re.fullmatch("[A-Za-z0-9_-]+", name):
            sys.exit(f"error: data/external/{name}: rename the folder to letters, digits, hyphens and underscores")
        try:
            dataset_info(dataset)
        except UserError as error:
            sys.exit(f"error: {folder}: {error}")
        for path in folder.iterdir():  # Snakemake cannot have such inputs
            if not path.name.isprintable() or set(path.name) & set("{}") or not path.exists():
                sys.exit(
                    f"error: {folder}: {path.name!a} cannot be used; rename it, or remove a link that leads nowhere"
                )
    return [(path.name, path.parent.name, 0) for path in folders if path.name in config["datasets"]]


def datasets_in_use():
    """The datasets of any cell: one that `skip` leaves out whole is neither fetched nor measured."""
    used = {dataset for dataset, _, _ in cells(config) + externals()}
    return [dataset for dataset in config["datasets"] if dataset in used]


def per_cell(pattern, chosen):
    return [pattern.format(P=P, dataset=d, method=m, seed=s) for d, m, s in chosen]


def networks():
    """Feature networks that the precision and recall protocols name, besides FID's Inception."""
    return sorted(
        {
            "inception",
            *(protocol.split("-")[0] for protocol in config["metrics"]["precision_recall"]),
        }
    )


def lpips_networks():
    """The LPIPS networks that the configured methods train with, and that backtracking scores with."""
    trained = {
        entry.get("perceptual", "vgg")
        for name, entry in config["methods"].items()
        if "perceptual" in method_info(name).fields
    }
    return sorted({f"lpips_{net}" for net in {*trained, BACKTRACKING["net"]}})


def weights():
    return networks() + lpips_networks()


def code(*paths):
    """Source files and what they import: as inputs of a rule, they make an edit redo exactly what it can change."""
    return sorted({source for path in paths for source in sources_of(path)})


def dataset_entry(wildcards):
    """A dataset's entry in datasets.yaml, as a parameter of the rules that it concerns."""
    return json.dumps(asdict(dataset_info(wildcards.dataset)))


def metric_settings(*keys):
    """What a metric's command must know of the configuration, as JSON."""
    known = {"n_fake": config["sampling"]["n"], **config["metrics"]}
    return json.dumps({"preset": config["preset"], **{key: known[key] for key in keys}})


def method_sources(wildcards):
    """A method's own files are inputs, so that editing one method retrains that method only."""
    return list(method_info(wildcards.method).sources)


def train_settings(wildcards):
    run = run_settings(
        config,
        wildcards.dataset,
        wildcards.method,
        int(wildcards.seed),
        wildcards.split,
    )
    told = ("require_gpu", "log_every", "grid_every", "save_every")
    return json.dumps({"run": run, "training": {key: TRAINING[key] for key in told}})


def either(names):
    """A wildcard constraint that matches exactly these names (and nothing where there are none)."""
    return "|".join(map(re.escape, names)) or "(?!)"


def gpus(wildcards):
    return 1 if TRAINING["require_gpu"] else 0


def metric_files():
    """One JSON a metric and run: everything that metrics.csv collects."""
    folder = "{P}/metrics/{dataset}/{method}/seed{seed}"
    sampled = cells(config) + externals()
    floors = [(dataset, "floor", 0) for dataset in datasets_in_use()]
    return (
        per_cell(f"{folder}/fid.json", sampled + floors)
        + per_cell(f"{folder}/precision_recall.json", sampled)
        + per_cell(f"{folder}/backtracking.json", cells(config, "train90"))
    )


def protocols():
    """The metric protocols of the tables, by metric: names as in metrics.csv, and their parts for the captions."""
    precision_recall = PrecisionRecall.parse(config["metrics"]["precision_recall"][0])
    backtracking = Backtracking.parse(BACKTRACKING)
    return {
        "fid": {"name": FID, "network": "Inception"},
        "precision_recall": {
            "name": str(precision_recall),
            "network": NETWORK_TITLES[precision_recall.network],
            "k": precision_recall.k,
        },
        "lpips_backtracking": {
            "name": str(backtracking),
            "network": NETWORK_TITLES[backtracking.net],
            "steps": backtracking.steps,
            "restarts": backtracking.restarts,
        },
    }


def rendering_settings():
    """What tables, figures and report must know of the configuration, as JSON (see workflow/scripts/settings.py)."""
    infos = [method_info(method) for method in config["methods"]]
    rows = [
        {
            "id": info.name,
            "title": info.title,
            "kind": "method" if info.trains else "control",
            "backtracks": info.backtracks,
        }
        for info in infos
    ]
    rows += [
        {"id": name, "title": name, "kind": "external", "backtracks": False}
        for name in sorted({name for _, name, _ in externals()})
    ]
    return json.dumps(
        {
            "preset": config["preset"],
            "resolution": config["resolution"],
            "command": f"snakemake --cores all --configfile {' '.join(config_files())}",
            "datasets": [{"id": name, "title": dataset_info(name).title} for name in config["datasets"]],
            "methods": rows,
            "seeds": config["seeds"],
            "figure_seed": config["seeds"][0],
            "protocols": protocols(),
            "table3": {
                "datasets": config["tables"]["ablation_datasets"],
                "methods": [m for m in ("vanilla_imle", "adaptive_imle") if m in config["methods"]],
            },
            "skips": config["skip"],
        }
    )


FIGURES = ("figure2", "figure3", "interpolation", "memorisation", "curves")


def table_numbers():
    """Table 3 only where the configuration names its datasets."""
    return [1, 2, 3] if config["tables"]["ablation_datasets"] else [1, 2]


def figure_inputs(wildcards):
    """The files that a figure shows."""
    real = [f"{PREPARED}/{dataset}/images.npy" for dataset in datasets_in_use()]
    sampled = cells(config) + externals()
    samples = per_cell("{P}/samples/{dataset}/{method}/seed{seed}.npz", sampled)
    features = per_cell("{P}/features/inception/{dataset}/{method}/seed{seed}.npz", sampled)
    features += [f"{P}/features/inception/{dataset}/real.npz" for dataset in datasets_in_use()]
    return {
        "figure2": real + samples,
        "figure3": per_cell(
            "{P}/metrics/{dataset}/{method}/seed{seed}/backtracking.npz",
            cells(config, "train90"),
        ),
        "interpolation": samples,
        "memorisation": real + samples + features,
        "curves": run_files("history.csv"),
    }[wildcards.figure]


def run_files(name):
    """One file of every training."""
    return [
        f"{P}/runs/{dataset}/{method}/seed{seed}/{split}/{name}"
        for split in ("full", "train90")
        for dataset, method, seed in cells(config, split)
    ]

# Which configuration: that of --configfile, that of your own pictures (--config images=FOLDER), or the paper.
import os
import subprocess
import sys
from pathlib import Path

import yaml
from snakemake.utils import update_config

from common.console import explained, say
from common.files import read_json
from common.hashing import digest
from data.datasets import MINE, MINE_RECORD, dataset_names
from training.identity import code_hashes

# What decides which pictures of a folder are taken; code_hashes does not follow imports of `data`.
LOOKING = ("data/mine.py", "data/images.py", "data/colour.py", "data/verify.py")


def typed_images():
    """The value of `--config images=...` as it was typed: Snakemake reads 007 as a number and `a: b` as a mapping."""
    words = [word.removeprefix("--config=").removeprefix("-C") for word in sys.argv[1:]]
    typed = [word.removeprefix("images=") for word in words if word.startswith("images=")]
    return typed[-1] if typed else str(config["images"] or "")


def typed(value):
    """A list or mapping of --config, in which Snakemake leaves numbers and truth values as texts."""
    if isinstance(value, dict):
        return {key: typed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [typed(part) for part in value]
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:  # a text such as "@"
        return value


def gpu_visible():
    """Without torch, which the driver may not have."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and b"GPU" in done.stdout


def lists_mine():
    """The configuration is validated later, so this may be anything."""
    return isinstance(config.get("datasets"), list) and MINE in config["datasets"]


def _check_unused(record):
    """Snakemake takes its lock only later, and a dry run takes none."""
    running = any(Path(".snakemake/locks").glob("*")) and "--unlock" not in sys.argv
    if running and MINE_RECORD.is_file() and read_json(MINE_RECORD)["digest"] != record["digest"]:
        sys.exit(
            "error: another run is using other pictures; wait for it.  If there is none, add --unlock to this command, "
            "and run it again without"
        )


def look_at_images():
    """Make the folder's pictures the dataset `mine`, and print what was found and changed."""
    if not lists_mine():
        sys.exit(
            f"error: images= makes the dataset `{MINE}`, which this configuration does not list; add it under "
            "`datasets:`, or leave --configfile out to use config/mine.yaml"
        )
    try:
        from data.mine import look, save
        from data.mine_report import report
    except ImportError as error:
        sys.exit(f"error: images= needs numpy and Pillow beside Snakemake ({error}): pip install -r requirements.txt")
    with explained():
        record = look(IMAGES, digest(code_hashes(*LOOKING)))
        _check_unused(record)
        save({**record, "gpu": record.get("gpu", False) if workflow.overwrite_configfiles else GPU})
    resolution = config.get("resolution")
    told = report(record, resolution if isinstance(resolution, int) else 32)
    say(f"images: {told['folder']}: {told['found']}")
    for line in [*told["changed"], *(f"left out: {line}" for line in told["left_out"])]:
        say(f"images:   {line}")


def check_spelling():
    """`make mine` has IMAGES, `--config` has images; another spelling would start the paper's preset."""
    for key in config:
        if key != "images" and str(key).lower() in ("image", "images"):
            sys.exit(f"error: --config {key}=: the folder of your own pictures is named by images=path/to/folder")


check_spelling()
IMAGES = typed_images() if "images" in config else None
GPU = False

# Conditional, because Snakemake would merge these files with one from the command line.
if not workflow.overwrite_configfiles and IMAGES is None:

    configfile: "config/paper.yaml"


if not workflow.overwrite_configfiles and IMAGES is not None:
    # A job that another machine starts keeps the choice of the machine where the run was started.
    GPU = gpu_visible() if workflow.is_main_process else read_json(MINE_RECORD)["gpu"]

    configfile: "config/mine.yaml"

    if GPU:

        configfile: "config/overlays/mine_gpu.yaml"

    if workflow.is_main_process:
        other = "config/mine.yaml" if GPU else "config/mine.yaml config/overlays/mine_gpu.yaml"
        side = 32 if GPU else 64
        say(
            f"images: {'a GPU is' if GPU else 'no GPU is'} visible, so the pictures have {config['resolution']} pixels a "
            f"side" + (f"; for {side}, add --configfile {other}" if config["resolution"] != side else "")
        )


OVERRIDES = {
    key: typed(value) if isinstance(value, (dict, list)) else value
    for key, value in workflow.config_settings.config.items()
    if key != "images"  # not a key of presets
}
config.pop("images", None)
update_config(config, OVERRIDES)
if IMAGES is not None and workflow.is_main_process:
    look_at_images()
elif lists_mine():
    with explained():
        known = MINE in dataset_names() or MINE_RECORD.is_file()
    if not known:
        sys.exit(f"error: the dataset `{MINE}` is made of your own pictures: add --config images=path/to/folder")

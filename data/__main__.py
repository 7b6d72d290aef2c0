"""Fetch and prepare datasets, and import samples of models trained elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.console import command, positive, run
from data.datasets import dataset_info, dataset_names

LIST_EXAMPLES = """examples:
  python -m data list
"""
FETCH_EXAMPLES = """examples:
  python -m data fetch openmoji_faces openmoji_animals
"""
ADOPT_EXAMPLES = """examples:
  python -m data adopt
"""
PREPARE_EXAMPLES = """examples:
  python -m data prepare --dataset openmoji_faces --resolution 32
"""
EXTERNAL_EXAMPLES = """examples:
  python -m data external --folder data/external/stylegan/obama --resolution 256 \\
      --out results/paper/samples/obama/stylegan/seed0.npz

The folder holds either images (JPEG, PNG, WebP, BMP, TIFF) or one .npz with a uint8 array `images` of shape
(n, height, width, 3).  What was found, taken and left out is printed.
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command(commands, "list", _list, "Print the known datasets, their sizes and licences.", LIST_EXAMPLES)

    summary = "Download datasets, or take them from data/manual/<dataset>/."
    fetch = command(commands, "fetch", _fetch, summary, FETCH_EXAMPLES)
    fetch.add_argument("datasets", nargs="+", metavar="dataset", help="a name that `list` shows")
    fetch.add_argument("--out", default="data/raw", help="where the original images go (default: %(default)s)")
    fetch.add_argument("--manual", default="data/manual", help="folder of sets placed by hand (default: %(default)s)")
    fetch.add_argument("--accept", action="store_true", help="accept images that differ from those of the first fetch")

    summary = (
        "Copy the pictures of data/mine.json, which `snakemake --config images=FOLDER` writes, into data/raw/mine/."
    )
    command(commands, "adopt", _adopt, summary, ADOPT_EXAMPLES)

    summary = "Decode, check, resize and split a fetched dataset."
    prepare = command(commands, "prepare", _prepare, summary, PREPARE_EXAMPLES)
    prepare.add_argument("--dataset", required=True, help="a name that `list` shows")
    prepare.add_argument("--resolution", required=True, type=positive, help="side of the square images, pixels")
    prepare.add_argument("--raw", default="data/raw", help="where the fetched images are (default: %(default)s)")
    prepare.add_argument("--out", default="data/prepared", help="where the array goes (default: %(default)s)")

    external = command(commands, "external", _external, "Import samples of another model.", EXTERNAL_EXAMPLES)
    external.add_argument("--folder", type=Path, required=True, help="data/external/NAME/DATASET")
    external.add_argument(
        "--resolution", type=positive, required=True, help="side of the benchmark's images, in pixels"
    )
    external.add_argument("--take", type=positive, help="read only the first TAKE samples by file name (default: all)")
    external.add_argument("--out", type=Path, required=True, help="the .npz to write")
    arguments = parser.parse_args()
    arguments.act(arguments)


def _list(arguments: argparse.Namespace) -> None:
    for info in map(dataset_info, dataset_names()):
        print(f"{info.name:18}{info.count:5} images  {info.title} ({info.licence})")


def _fetch(arguments: argparse.Namespace) -> None:
    from data.fetch import fetch

    for name in arguments.datasets:
        fetch(name, arguments.out, arguments.manual, arguments.accept)


def _adopt(arguments: argparse.Namespace) -> None:
    from data.mine import adopt

    adopt()


def _prepare(arguments: argparse.Namespace) -> None:
    from data.prepare import prepare

    prepare(arguments.dataset, arguments.resolution, arguments.raw, arguments.out)


def _external(arguments: argparse.Namespace) -> None:
    from data.external import import_samples

    import_samples(arguments.folder, arguments.resolution, arguments.out, arguments.take)


if __name__ == "__main__":
    run(main)

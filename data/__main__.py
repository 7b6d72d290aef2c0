"""Command line: python -m data fetch | prepare | list."""

from __future__ import annotations

import argparse

from data.console import UserError, run
from data.load import dataset_info, dataset_names

EXAMPLES = """examples:
  python -m data list
  python -m data fetch openmoji_faces openmoji_animals
  python -m data prepare --dataset openmoji_faces --resolution 32
"""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m data",
        description="Fetch and prepare the benchmark's datasets.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the known datasets, their sizes and licences")
    fetch = commands.add_parser("fetch", help="download datasets, or take them from data/manual/<dataset>/")
    fetch.add_argument("datasets", nargs="+", metavar="dataset", help="a name that `list` shows")
    fetch.add_argument("--out", default="data/raw", help="where the original images go (default: %(default)s)")
    fetch.add_argument("--manual", default="data/manual", help="folder of sets placed by hand (default: %(default)s)")
    fetch.add_argument(
        "--accept", action="store_true", help="take images that differ from those of the first fetch in their place"
    )
    prepare = commands.add_parser("prepare", help="decode, check, resize and split a fetched dataset")
    prepare.add_argument("--dataset", required=True, help="a name that `list` shows")
    prepare.add_argument("--resolution", required=True, type=int, help="side of the square images, pixels")
    prepare.add_argument("--raw", default="data/raw", help="where the fetched images are (default: %(default)s)")
    prepare.add_argument("--out", default="data/prepared", help="where the array goes (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    if arguments.command == "list":
        for info in map(dataset_info, dataset_names()):
            print(f"{info.name:18}{info.count:5} images  {info.title} ({info.licence})")
    elif arguments.command == "fetch":
        from data.fetch import fetch

        for name in arguments.datasets:
            fetch(name, arguments.out, arguments.manual, arguments.accept)
    else:
        from data.prepare import prepare

        if arguments.resolution < 1:
            raise UserError(f"--resolution must be at least 1, not {arguments.resolution}")
        prepare(arguments.dataset, arguments.resolution, arguments.raw, arguments.out)


if __name__ == "__main__":
    run(main)

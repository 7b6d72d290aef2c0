"""Fetch the weights of the pretrained networks."""

from __future__ import annotations

import argparse

from common.console import command, run

EXAMPLES = """examples:
  python -m networks fetch inception
  python -m networks fetch lpips_vgg
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m networks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    fetch = command(commands, "fetch", _fetch, "Fetch and verify the weights of one network.", EXAMPLES)
    fetch.add_argument("name", help="a network of networks/weights.yaml")
    arguments = parser.parse_args()
    arguments.act(arguments)


def _fetch(arguments: argparse.Namespace) -> None:
    from networks.weights import fetch

    print(fetch(arguments.name))


if __name__ == "__main__":
    run(main)

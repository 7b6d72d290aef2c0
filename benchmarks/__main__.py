"""How fast is each part, against a named alternative on the same input in the same run?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict

import benchmarks.metrics
import benchmarks.scaling
import benchmarks.search
import benchmarks.training
from benchmarks.harness import Benchmark, Measurement, Row
from common.console import UserError, run, say
from training.provenance import cpu_model

EXAMPLES = """examples:
  python -m benchmarks                     all of them, as a table
  python -m benchmarks frechet             one
  python -m benchmarks --json --threads 2  one JSON object a line
"""

ALL: list[Benchmark | Measurement] = [
    *benchmarks.metrics.BENCHMARKS,
    *benchmarks.search.BENCHMARKS,
    *benchmarks.training.BENCHMARKS,
    *benchmarks.scaling.BENCHMARKS,
]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=known())
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--repetitions", type=int, default=5, help="timed runs of each side, in turn (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch (default: 1)")
    arguments = parser.parse_args()
    say(f"{cpu_model()}, {arguments.threads} threads, medians of {arguments.repetitions}")
    for benchmark in chosen(arguments.names):
        for row in benchmark.rows(arguments.repetitions, arguments.threads):
            print(json.dumps(asdict(row)) if arguments.json else line(row), flush=True)


def chosen(names: list[str]) -> Iterator[Benchmark | Measurement]:
    """Those of the given names, of which several may share one; without names, all."""
    for name in names:
        if name not in {benchmark.name for benchmark in ALL}:
            raise UserError(f"no benchmark is named {name!r}; known are {known()}")
    yield from (benchmark for benchmark in ALL if not names or benchmark.name in names)


def known() -> str:
    return ", ".join(dict.fromkeys(benchmark.name for benchmark in ALL))


def line(row: Row) -> str:
    memory = "" if row.ours_mb is None else f"   {row.ours_mb:6.0f} MiB against {row.theirs_mb:6.0f} MiB"
    values = f"{row.ours:9.4g} {row.unit} against {row.theirs:9.4g} {row.unit}"
    return f"{row.name:18} {row.ratio:6.2f} x   {values}{memory}   ({row.against})"


if __name__ == "__main__":
    run(main)

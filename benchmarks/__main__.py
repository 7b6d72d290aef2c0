"""How fast is each part, against a named alternative on the same input in the same run?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

import benchmarks.backtracking
import benchmarks.metrics
from benchmarks.harness import Benchmark, compare
from data.console import UserError, run, say
from methods.provenance import cpu_model

EXAMPLES = """examples:
  python -m benchmarks                     all of them, as a table
  python -m benchmarks frechet             one
  python -m benchmarks --json --threads 2  one JSON object a line
"""

ALL: list[Benchmark] = [*benchmarks.metrics.BENCHMARKS, *benchmarks.backtracking.BENCHMARKS]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(benchmark.name for benchmark in ALL))
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--repetitions", type=int, default=5, help="timed runs of each side, in turn (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch (default: 1)")
    arguments = parser.parse_args()
    say(f"{cpu_model()}, {arguments.threads} threads, medians of {arguments.repetitions}")
    for benchmark in chosen(arguments.names):
        row = compare(benchmark, arguments.repetitions, arguments.threads)
        print(json.dumps(row) if arguments.json else line(row), flush=True)


def chosen(names: list[str]) -> Iterator[Benchmark]:
    known = {benchmark.name: benchmark for benchmark in ALL}
    for name in names or known:
        if name not in known:
            raise UserError(f"no benchmark is named {name!r}; known are {', '.join(known)}")
        yield known[name]


def line(row: dict[str, object]) -> str:
    return (
        "{name:18} {ratio:6.2f} x   {ours:9.4g} {unit} against {theirs:9.4g} {unit}   "
        "{ours_mb:6.0f} MiB against {theirs_mb:6.0f} MiB   ({against})"
    ).format(**row)


if __name__ == "__main__":
    run(main)

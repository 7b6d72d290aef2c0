"""Time each part against a named alternative, on the same input and in the same process."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.cases import CASES, Case
from common.console import UserError, add_threads, positive, run, say
from training.provenance import cpu_model

EXAMPLES = """examples:
  python -m benchmarks                                      all cases
  python -m benchmarks frechet search --repetitions 3       some of them
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {known()}")
    parser.add_argument("--repetitions", type=positive, default=5, help="timed runs of each side, in turn (default: 5)")
    add_threads(parser)
    arguments = parser.parse_args()
    say(f"{cpu_model()}, {arguments.threads} threads, medians of {arguments.repetitions}")
    torch.set_num_threads(arguments.threads)
    for case in chosen(arguments.names):
        ours, theirs = measure(case, arguments.repetitions, arguments.threads)
        values = f"{theirs / ours:6.2f} x   {ours:9.4g} s against {theirs:9.4g} s"
        print(f"{case.name:26} {values}   ({case.against})", flush=True)


def measure(case: Case, repetitions: int, threads: int = 1) -> tuple[float, float]:
    """Median seconds of ours and theirs, after one run of each, whose results are compared.

    Raises `RuntimeError` if the results differ.
    """
    sides = case.sides()
    ours, theirs = (side() for side in sides)
    if not np.allclose(ours, theirs, rtol=case.relative, atol=case.absolute):
        raise RuntimeError(f"{case.name}: the result differs from that of {case.against}, so nothing was timed")
    with threadpool_limits(threads):  # now that the first run has loaded the libraries
        times = [[seconds(side) for side in sides] for _ in range(repetitions)]
    ours, theirs = zip(*times, strict=True)
    return median(ours), median(theirs)


def seconds(side: Callable[[], Any]) -> float:
    began = time.perf_counter()
    side()
    return time.perf_counter() - began


def chosen(names: list[str]) -> list[Case]:
    """The cases with these names (several cases can have the same name); without names, all cases.

    Raises `UserError` for an unknown name.
    """
    for name in names:
        if name not in {case.name for case in CASES}:
            raise UserError(f"no benchmark is named {name!r}; known are {known()}")
    return [case for case in CASES if not names or case.name in names]


def known() -> str:
    return ", ".join(dict.fromkeys(case.name for case in CASES))


if __name__ == "__main__":
    run(main)

#!/usr/bin/env python3
"""A stand-in for the `conda` commands that Snakemake 9 calls, over py-rattler.  It is not conda, and for tests only.

Solving, downloading and linking are real.  Packages from pip are refused, since only conda itself installs those.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import rattler
import yaml
from rattler.exceptions import SolverError

ROOT = Path(__file__).absolute().parents[1]  # holds bin/conda, which is this file, and bin/activate
PLATFORM = str(rattler.Subdir.current())


async def create(environment: Path, prefix: Path) -> None:
    wanted = yaml.safe_load(environment.read_text())
    for entry in wanted["dependencies"]:
        if not isinstance(entry, str):
            sys.exit(f"stand-in conda: {entry} is not a conda package")
    records = await rattler.solve(
        sources=[channel for channel in wanted["channels"] if channel != "nodefaults"],
        specs=wanted["dependencies"],
        platforms=[PLATFORM, "noarch"],
        virtual_packages=rattler.VirtualPackage.detect(),
    )
    await rattler.install(records, target_prefix=prefix, show_progress=False)


def option(name: str) -> Path:
    return Path(sys.argv[sys.argv.index(name) + 1])


match sys.argv[1:]:
    case ["info", "--json"]:
        print(json.dumps({"conda_prefix": str(ROOT), "platform": PLATFORM}))
    case ["--version"]:
        print("conda 24.7.1")
    case ["config", "--get", "channel_priority", "--json"]:
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    case ["env", "create", *_]:
        status = 0
        try:
            asyncio.run(create(option("--file"), option("--prefix")))
        except SolverError as error:
            print(f"stand-in conda: {error}", file=sys.stderr, flush=True)
            status = 1
        # At once: while Python takes itself apart, a thread of py-rattler's may still reach into it, and crash.
        os._exit(status)
    case ["clean", *_]:
        pass
    case unknown:
        sys.exit(f"stand-in conda: {unknown} is not among the commands it knows")

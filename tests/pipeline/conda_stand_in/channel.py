"""A local conda channel of two small packages: the running Python, and a door to the packages beside it."""

from __future__ import annotations

import json
import platform
import shutil
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Any

import rattler

from common.hashing import sha256_file

SUBDIR = str(rattler.Subdir.current())
VERSION = platform.python_version()
PYTHON = "python{}.{}".format(*sys.version_info)
STDLIB = Path(sys.platlibdir, PYTHON)
DOOR = "packages-beside-this-python"
# Of no use here, and half of the bytes.
LEFT_OUT = ["test", "tests", "idlelib", "lib2to3", "ensurepip", "turtledemo", "tkinter", "config-*", "__pycache__"]
# What conda's own builds of Python load from their lib; other builds find these in the system, or are without.
LIBRARIES = ["ffi", "ssl", "crypto", "z", "bz2", "lzma", "expat"]

# Every Python of the environment runs this at its start.  It makes the installed packages visible, which come from pip
# and not from the channel, and notes who was started in the environment's own folder.
SITECUSTOMIZE = """\
import json, os, sys
sys.path.append({packages!r})
with open(os.path.join(sys.prefix, "started.jsonl"), "a") as log:
    started = {{"executable": sys.executable, "CONDA_PREFIX": os.environ.get("CONDA_PREFIX")}}
    log.write(json.dumps(started | {{"arguments": sys.orig_argv[1:]}}) + "\\n")
"""


def build(channel: Path) -> None:
    """Lay out the packages and write them, with the index of each of the channel's two folders.

    The index also lists a newer Python that is not there: a solver that disregards a pin would choose it.
    """
    python, door = channel / "build" / "python", channel / "build" / "door"
    lay_out_python(python)
    (door / STDLIB).mkdir(parents=True)
    script = SITECUSTOMIZE.format(packages=sysconfig.get_path("purelib"))
    (door / STDLIB / "sitecustomize.py").write_text(script)
    newer = {"python-99.0-0.tar.bz2": record("python", "99.0")}
    write_index(channel / SUBDIR, pack(python, channel / SUBDIR, record("python", VERSION)) | newer)
    needs_python = record(DOOR, "1.0", depends=[f"python {VERSION}"], noarch="generic")
    write_index(channel / "noarch", pack(door, channel / "noarch", needs_python))


def lay_out_python(target: Path) -> None:
    """bin and lib of the running interpreter, without tests and installed packages."""
    (target / "lib").mkdir(parents=True)
    stdlib = Path(sysconfig.get_path("stdlib"))
    foreign = ["site-packages", "dist-packages", "sitecustomize.py"]
    shutil.copytree(stdlib, target / STDLIB, ignore=shutil.ignore_patterns(*LEFT_OUT, *foreign))
    for name in LIBRARIES:
        for library in Path(sys.base_prefix, "lib").glob(f"lib{name}.so*"):
            shutil.copy(library, target / "lib", follow_symlinks=False)
    (target / "bin").mkdir()
    shutil.copy(Path(sys.executable).resolve(), target / "bin" / PYTHON)
    for name in ("python", "python3"):
        (target / "bin" / name).symlink_to(PYTHON)


def record(name: str, version: str, depends: list[str] | None = None, **more: str) -> dict[str, Any]:
    """What the index says of a package; `subdir` is where its archive lies."""
    subdir = "noarch" if "noarch" in more else SUBDIR
    build = {"build": "0", "build_number": 0, "depends": depends or [], "subdir": subdir}
    return {"name": name, "version": version, **build, **more}


def pack(folder: Path, subdir: Path, about: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Write a folder as a conda package; returns its entry for the index."""
    files = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    paths = [
        {"_path": str(path.relative_to(folder)), "path_type": "softlink" if path.is_symlink() else "hardlink"}
        for path in files
    ]
    (folder / "info").mkdir()
    (folder / "info" / "index.json").write_text(json.dumps(about))
    (folder / "info" / "paths.json").write_text(json.dumps({"paths": paths, "paths_version": 1}))
    subdir.mkdir(parents=True)
    archive = subdir / f"{about['name']}-{about['version']}-{about['build']}.tar.bz2"
    with tarfile.open(archive, "w:bz2", compresslevel=1) as tar:
        tar.add(folder, arcname=".")
    return {archive.name: about | {"sha256": sha256_file(archive), "size": archive.stat().st_size}}


def write_index(subdir: Path, packages: dict[str, dict[str, Any]]) -> None:
    index = {"info": {"subdir": subdir.name}, "packages": packages, "packages.conda": {}, "repodata_version": 1}
    (subdir / "repodata.json").write_text(json.dumps(index))

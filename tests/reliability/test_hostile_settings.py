"""YAML made to harm: one sentence that names the file, in under two seconds and 64 MiB, and nothing is run.

Limits of data/bounded_yaml.py: MAX_CHARACTERS, MAX_VALUES (each as often as its anchor is named), MAX_DEPTH.
Snakemake parses --configfile itself, before any code of this project: its own parser is not bounded.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common.console import UserError
from common.files import read_yaml
from data import bounded_yaml
from tests.reliability.confined import ROOT, confined
from training.config import load_config

LEAST = 64  # MiB
PRESET = (ROOT / "config" / "smoke.yaml").read_text()


def bomb(level: str, levels: int = 10) -> str:
    """Ten times as many values at each level; `level` says how it holds those of the level before."""
    rest = [f"b{i}: &b{i} {level.format(', '.join([f'*b{i - 1}'] * 10))}" for i in range(1, levels)]
    return "\n".join(["b0: &b0 {k: 1}", *rest])


def chain(levels: int) -> str:
    """Few values, but each anchor one level deeper than the one before."""
    return "\n".join(["b0: &b0 [x]", *(f"b{i}: &b{i} [*b{i - 1}]" for i in range(1, levels))])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(bomb("[{}]"), "values, with its anchors expanded", id="lists"),
        pytest.param(bomb("{{k: [{}]}}"), "values, with its anchors expanded", id="mappings"),
        pytest.param(bomb("{{<<: [{}]}}"), "values, with its anchors expanded", id="merged mappings"),
        pytest.param(bomb("!!pairs [{{k: [{}]}}]"), "values, with its anchors expanded", id="pairs"),
        pytest.param("k: " + "[" * 30_000, "more than 32 levels", id="deep"),
        pytest.param("k: " + "{a: " * 10_000, "more than 32 levels", id="deep mappings"),
        pytest.param("- " * 30_000, "more than 32 levels", id="deep block"),
        pytest.param(chain(120), "more than 32 levels", id="deep by anchors"),
        pytest.param("k: [" + "x, " * 20_000 + "]", f"more than {bounded_yaml.MAX_VALUES} values", id="wide"),
        pytest.param("k: " + "x" * 2**17, f"more than {bounded_yaml.MAX_CHARACTERS} characters", id="long"),
    ],
)
def test_yaml_that_explodes_is_refused_before_it_does(tmp_path: Path, tally, text: str, reason: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with tally.input("config"):
        outcome = confined(f"files.read_yaml(Path({str(path)!r}))", seconds=20)
        assert outcome.said.startswith(f"{path} is not valid YAML: it ")
        assert reason in outcome.said
        assert outcome.mebibytes < LEAST


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("k: &a [*a]", "the alias *a stands inside or before what it names", id="cycle"),
        pytest.param("k: &a {<<: *a}", "the alias *a stands inside or before what it names", id="merged into itself"),
        pytest.param("k: *a", "the alias *a stands inside or before what it names", id="alias of nothing"),
        pytest.param("k: " + "9" * 5000, "Exceeds the limit", id="5,000 digits"),
        pytest.param("k: 0x" + "f" * 5000, "an integer has 20000 bits, more than 63", id="5,000 hexadecimal digits"),
        pytest.param("k: 1" + ":59" * 2000, "bits, more than 63", id="sexagesimal"),
        pytest.param("k: .inf", "inf is not a finite number", id="infinity"),
        pytest.param("k: {l: [.nan]}", "nan is not a finite number", id="NaN"),
        pytest.param("preset: a\npreset: b", "the key 'preset' stands twice in one mapping", id="twice"),
        pytest.param("k: {a: 1, b: 2, a: 3}", "the key 'a' stands twice in one mapping", id="twice inside"),
        pytest.param("1: a", "the key 1 is no text", id="number as key"),
        pytest.param("k: {yes: a}", "the key True is no text", id="boolean as key"),
        pytest.param("k: 2020-01-01", "it holds a date, which is no setting", id="date"),
        pytest.param("k: 2020-13-45", "month must be in 1..12", id="impossible date"),
        pytest.param("k: !!binary aGk=", "it holds a bytes", id="binary"),
        pytest.param("k: !!set {a, b}", "it holds a set", id="set"),
        pytest.param("k: !!bool perhaps", "perhaps", id="tag that does not fit"),
        pytest.param("k: !!int ''", "index out of range", id="integer of nothing"),
        pytest.param("k: !!timestamp x", "no attribute", id="time of nothing"),
        pytest.param('k: "\\ud800"', "surrogates not allowed", id="lone surrogate"),
        pytest.param("k: a\0b", "unacceptable character", id="NUL"),
        pytest.param("a: 1\n---\nb: 2", "expected a single document", id="two documents"),
        pytest.param("", "no keys at its top level", id="nothing"),
        pytest.param("[1, 2]", "no keys at its top level", id="a list"),
        pytest.param("text", "no keys at its top level", id="text"),
    ],
)
def test_yaml_that_holds_no_settings_is_refused(tmp_path: Path, tally, text: str, reason: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with tally.input("config"), pytest.raises(UserError) as error:
        read_yaml(path)
    assert str(error.value).startswith(f"{path} is not valid YAML: ")
    assert reason in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {}']",
        "!!python/object/new:os.system ['touch {}']",
        "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{}']]",
        "!!python/name:os.system",
        "!!python/module:os",
        "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch {}']",
    ],
)
def test_tag_that_names_code_is_refused_unrun(tmp_path: Path, tally, tag: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{PRESET}\nskip: {tag.format(tmp_path / 'ran')}\n")
    with tally.input("config"), pytest.raises(UserError, match="could not determine a constructor for the tag"):
        load_config(path)
    assert not (tmp_path / "ran").exists()


def test_anchors_that_do_not_explode_still_work(tmp_path: Path) -> None:
    """Nine hundred values by way of aliases, and merged keys, one of them overridden."""
    (tmp_path / "a.yaml").write_text(
        "a: &a [x, y, z]\nb: [" + "*a, " * 200 + "]\nc: &c {k: 1, l: 2}\nd: {<<: *c, k: 3}"
    )
    content = read_yaml(tmp_path / "a.yaml")
    assert content["b"] == [["x", "y", "z"]] * 200
    assert content["d"] == {"k": 3, "l": 2}


def folder(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def gigabytes(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**33)  # sparse: NUL characters


def latin(path: Path) -> None:
    path.write_bytes("k: é".encode("latin-1"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (folder, "it is not a file"),
        (os.mkfifo, "it is not a file"),
        (endless, "it is not a file"),
        (loop, "symbolic links"),
        (gigabytes, f"more than {bounded_yaml.MAX_CHARACTERS} characters"),
        (latin, "can't decode byte"),
        (lambda path: None, "does not exist"),
    ],
)
def test_what_is_no_text_file_is_refused_and_not_waited_for(tmp_path: Path, tally, make, reason: str) -> None:
    make(tmp_path / "a.yaml")
    with tally.input("config"):
        outcome = confined(f"files.read_yaml(Path({str(tmp_path / 'a.yaml')!r}))", seconds=20)
        assert outcome.said.startswith(str(tmp_path / "a.yaml"))
        assert reason in outcome.said
        assert outcome.mebibytes < LEAST


@pytest.fixture
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        search = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": search}
        return subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)

    return run


def test_command_ends_in_one_line(tmp_path: Path, tally, command) -> None:
    (tmp_path / "a.yaml").write_text(f"{bomb('[{}]')}\n{PRESET}")
    with tally.input("config"):
        done = command(sys.executable, "-m", "training", "describe", "--preset", str(tmp_path / "a.yaml"))
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {tmp_path / 'a.yaml'} is not valid YAML: it has more than")
        assert len(done.stderr.splitlines()) == 1


def test_snakemake_runs_no_tag_either(tmp_path: Path, tally, command) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{PRESET}\nskip: !!python/object/apply:os.system ['touch {tmp_path / 'ran'}']\n")
    with tally.input("config"):
        done = command("snakemake", "-n", "-q", "--cores", "1", "--configfile", str(path))
        assert done.returncode != 0
        assert "not valid JSON or YAML" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert not (tmp_path / "ran").exists()

"""What the documents say can be done: their commands parse, and the files, presets and keys that they name exist."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel
from snakemake.cli import get_argument_parser

from training.config import Preset
from training.protocols import VERSION

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
DOCUMENTS += [*ROOT.glob("results/reference/*/README.md"), *ROOT.glob("results/community/**/README.md")]
PACKAGES = ("data", "networks", "training", "metrics", "benchmarks")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def code(text: str) -> Iterator[str]:
    """Lines of fenced blocks without their comments, and inline code."""
    for block in re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL):
        yield from (line.partition("#")[0].strip() for line in block.replace("\\\n", " ").splitlines())
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from (" ".join(words.split()) for words in re.findall(r"`([^`]+)`", outside))


def test_the_protocol_has_the_version_that_captions_print() -> None:
    assert f"version {VERSION}\n" in (ROOT / "docs/protocol.md").read_text().splitlines(keepends=True)[0]


@each_document
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    targets = [markdown or html for markdown, html in LINK.findall(document.read_text())]
    relative = [target.partition("#")[0] for target in targets if not re.match(r"https?:|mailto:|#", target)]
    assert [target for target in relative if not (document.parent / target).exists()] == []


@each_document
def test_every_configuration_file_that_is_named_exists(document: Path) -> None:
    """In capitals, `config/NAME.yaml`, it means any."""
    named = re.findall(r"config/[a-z][\w./]*\.yaml", document.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@cache
def rules() -> set[str]:
    text = "\n".join(path.read_text() for path in [ROOT / "Snakefile", *ROOT.glob("workflow/rules/*.smk")])
    return set(re.findall(r"^ *rule (\w+):", text, re.MULTILINE)) | set(re.findall(r"rule \w+ as (\w+)", text))


@each_document
def test_every_snakemake_command_parses_and_its_targets_exist(document: Path) -> None:
    """--configfile takes every word up to the next option: a target there would be read as a file."""
    for command in code(document.read_text()):
        if not re.match(r"snakemake\b", command) or "--version" in command:
            continue
        arguments = get_argument_parser().parse_args(shlex.split(command)[1:])
        unknown = [target for target in arguments.targets if "/" not in target and target not in rules()]
        assert unknown == [], command
        assert all(path.suffix == ".yaml" for path in arguments.configfile or []), command


def help_of(words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What `python -m WORDS --help` prints."""
    monkeypatch.setattr("sys.argv", [words[0], *words[1:], "--help"])
    with pytest.raises(SystemExit) as leaving:
        importlib.import_module(f"{words[0]}.__main__").main()
    said = capsys.readouterr()
    assert leaving.value.code == 0, said.err
    return said.out


def check_command(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The package, its command and all options of `python -m PACKAGE [COMMAND] [OPTIONS]` exist."""
    package, *words = command.removeprefix("python -m ").split()
    subcommand = [words[0]] if words and words[0].isalpha() and package != "benchmarks" else []
    shown = help_of([package, *subcommand], capsys, monkeypatch)
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    assert [option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", shown)] == [], command
    presets = re.findall(r"--config ([a-z]\w*)(?![\w./])", command)
    assert [name for name in presets if not (ROOT / "config" / f"{name}.yaml").exists()] == [], command


@each_document
def test_every_python_command_has_its_options(
    document: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in code(document.read_text()):
        if re.match(rf"python -m ({'|'.join(PACKAGES)})\b", command):
            check_command(command, capsys, monkeypatch)


@pytest.mark.parametrize("package", [name for name in PACKAGES if name != "benchmarks"])
def test_every_example_of_a_commands_help_has_its_options(
    package: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    [commands] = set(re.findall(r"\{([a-z,]+)\}", help_of([package], capsys, monkeypatch)))
    for name in commands.split(","):
        _, _, examples = help_of([package, name], capsys, monkeypatch).partition("examples:\n")
        found = re.findall(rf"python -m {package} {name}\b.*", examples.replace("\\\n", " "))
        assert found, f"python -m {package} {name} --help shows no example"
        for example in found:
            check_command(re.split(r"  +[a-z]", example)[0], capsys, monkeypatch)


def test_every_configuration_key_is_explained_and_every_explained_key_exists() -> None:
    text = (ROOT / "config/README.md").read_text()
    assert [key for key in keys(Preset) if not re.search(rf"`({key}|{key.rpartition('.')[2]})[`.]", text)] == []
    sections = "|".join(name for name in Preset.model_fields if any(key.startswith(f"{name}.") for key in keys(Preset)))
    explained = re.findall(rf"`((?:{sections})\.[\w.]+)`", text)
    assert set(explained) <= set(keys(Preset))


def keys(model: type[BaseModel], above: str = "") -> list[str]:
    """Dotted names of the keys that a user may set: `training.threads`."""
    found: list[str] = []
    for name, field in model.model_fields.items():
        section = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        found += keys(field.annotation, f"{above}{name}.") if section else [above + name]
    return [key for key in found if key != "command"]  # written by the Snakefile


def test_every_pin_in_a_document_is_that_of_requirements() -> None:
    pins = set((ROOT / "requirements.txt").read_text().splitlines())
    for document in DOCUMENTS:
        assert set(re.findall(r"(?<= )[\w-]+==[\w.]+\w", document.read_text())) <= pins, document

"""What the documents say is true of the repository: links, presets, configuration keys, examples."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.files import read_yaml

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "data/README.md", "config/README.md", "docs/erratum.md"),
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "results/reference").glob("*/README.md"))),
)
PRESETS = {path.stem for path in (ROOT / "config").glob("*.yaml")}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


@pytest.fixture(params=DOCUMENTS)
def document(request: pytest.FixtureRequest) -> Path:
    return ROOT / request.param


def test_no_placeholder_was_forgotten(document: Path) -> None:
    assert re.findall(r"DEMO_\w*|TODO|FIXME", document.read_text()) == []


def test_every_relative_link_leads_somewhere(document: Path) -> None:
    targets = [markdown or html for markdown, html in LINK.findall(document.read_text())]
    relative = [target.partition("#")[0] for target in targets if not re.match(r"https?:|mailto:|#", target)]
    assert [target for target in relative if not (document.parent / target).exists()] == []


def test_every_preset_that_is_named_exists(document: Path) -> None:
    """`config/NAME.yaml`, in capitals, stands for any preset."""
    named = set(re.findall(r"config/([\w.-]+)\.yaml", document.read_text())) - {"NAME"}
    assert named <= PRESETS


def test_no_command_puts_a_target_where_snakemake_expects_another_configuration_file(document: Path) -> None:
    """--configfile takes every word up to the next option: a target there would be read as a file."""
    taken = [
        word
        for words in re.findall(r"snakemake[^`\n#]*--configfile((?: [^-\s#`][^\s`]*)+)", document.read_text())
        for word in words.split()
    ]
    assert [word for word in taken if not word.endswith(".yaml")] == []


def test_the_table_of_presets_lists_all_of_them() -> None:
    presets, _, _ = (ROOT / "config/README.md").read_text().partition("## Keys")
    assert {name.strip("`") for name in re.findall(r"^\| (`\w+`)", presets, re.MULTILINE)} == PRESETS


def schema_keys(schema: dict[str, Any], above: str = "") -> Iterator[str]:
    """Dotted names of the keys that hold values: `training.threads`, `methods.<name>.steps`."""
    named = schema.get("properties", {})
    for key, value in named.items():
        yield from list(schema_keys(value, f"{above}{key}.")) or [above + key]
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        yield from schema_keys(extra, f"{above}<name>.")


def documented_keys() -> Iterator[str]:
    """The first column of the table of keys; a bare name after a comma shares the section of the name before it."""
    _, _, table = (ROOT / "config/README.md").read_text().partition("## Keys")
    for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        section = ""
        for key in re.findall(r"`([^`]+)`", cell):
            yield key if "." in key else section + key
            section = key.rpartition(".")[0] + "." if "." in key else section


def test_every_configuration_key_is_explained_and_every_explained_key_exists() -> None:
    keys = set(schema_keys(read_yaml(ROOT / "workflow/schemas/config.schema.yaml")))
    # The schema leaves a method's own fields, also under by_dataset, to its Config class.
    own = {"methods.<name>", "methods.<name>.<field>", "methods.<name>.by_dataset.<dataset>"}
    explained = set(documented_keys())
    assert own <= explained
    assert explained - own == keys - {"methods.<name>.by_dataset"}


def test_the_keys_of_a_skipped_cell_are_those_of_the_schema() -> None:
    schema = read_yaml(ROOT / "workflow/schemas/config.schema.yaml")
    [keys] = re.findall(r"^\| `skip` .*`\{(.*?)\}`", (ROOT / "config/README.md").read_text(), re.MULTILINE)
    assert set(keys.split(", ")) == schema["properties"]["skip"]["items"]["properties"].keys()


def help_of(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def presets_in(text: str) -> set[str]:
    """What stands after --config and --preset, in paths results/PRESET/... and in settings written as JSON."""
    named = re.findall(r"--(?:config|preset) (\w+)|results/(\w+)/|\"preset\": \"(\w+)\"", text)
    return {option or path or setting for option, path, setting in named}


@pytest.mark.parametrize("package", ["methods", "metrics"])
def test_examples_of_every_commands_help_name_presets_that_exist(package: str) -> None:
    [commands] = set(re.findall(r"\{([a-z,]+)\}", help_of(package)))
    for command in commands.split(","):
        _, _, examples = help_of(package, command).partition("examples:\n")
        assert f"python -m {package} {command} " in examples
        assert presets_in(examples) <= PRESETS


def test_the_torch_free_install_has_the_pins_of_requirements() -> None:
    [line] = re.findall(r"^pip install (snakemake==.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(line.split()) < set((ROOT / "requirements.txt").read_text().split("\n"))
    assert "torch" not in line

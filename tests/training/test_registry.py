"""Methods are found, with their configuration, without importing torch."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.console import UserError
from tests.conftest import ROOT
from training import registry
from training.registry import method_info, methods


def test_registry_and_presets_need_neither_torch_nor_numpy() -> None:
    """The Snakefile reads them on a machine that may have neither."""
    code = (
        "import sys; sys.modules['torch'] = sys.modules['numpy'] = None\n"
        "from training.config import read_preset; read_preset('paper').run('panda', 'mixdl', 0, 'full')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("name", sorted(methods()))
def test_configuration_equals_that_of_the_imported_class(name: str) -> None:
    info = method_info(name)
    found, real = (
        [(field.name, field.default) for field in dataclasses.fields(config)]
        for config in (info.config, info.load().Config)
    )
    assert found == real
    assert all(getattr(info, key) == getattr(info.load(), key) for key in ("title", "trains", "backtracks", "track"))


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Adds a file to methods/ of a project that has only the contract."""

    def clear() -> None:
        for function in (registry.methods, registry.declarations, registry.parse):
            function.cache_clear()

    def add(name: str, text: str) -> None:
        (tmp_path / "methods" / name).write_text(text)
        clear()

    (tmp_path / "methods").mkdir()
    shutil.copy(ROOT / "methods/api.py", tmp_path / "methods")
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    clear()
    yield add
    clear()


def method(name: str, fields: str, base: str = "Base") -> str:
    """A file with a base class `base` and the method `name` that descends from it."""
    return f"""
from dataclasses import dataclass
from methods.api import Method

class {base}(Method):
    @dataclass(frozen=True)
    class Config:
        {fields}

class Own({base}):
    name = "{name}"
    title = "One"
    track = "none"
"""


def fields_of(name: str) -> dict[str, object]:
    return {field.name: field.default for field in dataclasses.fields(method_info(name).config)}


def test_base_classes_of_one_name_in_two_files_are_two_classes(write: Callable[[str, str], None]) -> None:
    write("one.py", method("one", "width: int = 1"))
    write("two.py", method("two", "depth: int = 2"))
    write(
        "three.py",
        "from methods.one import Base as Parent\nclass Base(Parent):\n    name = 'three'\n    title = track = 'none'\n",
    )
    assert fields_of("one") == {"width": 1}
    assert fields_of("two") == {"depth": 2}
    assert fields_of("three") == {"width": 1}


ONE = method("one", "width: int = 1")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ["import numpy as np\n" + method("one", "width: np.int64 = 3")],
            "one.py: name 'np' is not defined .a Config",
        ),
        ([ONE, ONE.replace("Base", "Other")], "two classes are named 'one': rename one in methods/two.py"),
        (["x = 1\nclass (:\n"], "methods/one.py, line 2: invalid syntax"),
        (["import torch\nfrom .api import Method\n"], "one.py, line 2: write `from methods.api import ...`"),
        ([ONE.replace('    track = "none"\n', "")], "one.py: one needs a literal `track`, one of none, loss, inside"),
        ([ONE.replace('    title = "One"\n', "")], "one.py: one needs a literal `title` of its own"),
    ],
    ids=["other module", "two of one name", "syntax", "relative import", "no track", "no title"],
)
def test_a_mistake_in_a_method_is_named(write: Callable[[str, str], None], files: list[str], message: str) -> None:
    for name, text in zip(("one.py", "two.py"), files, strict=False):
        write(name, text)
    with pytest.raises(UserError, match=message):
        methods()


def test_a_suffix_makes_another_row_of_the_same_method() -> None:
    info = method_info("fastgan-two_layers")
    assert (info.name, info.title, info.load()) == (
        "fastgan-two_layers",
        "FastGAN (two layers)",
        method_info("fastgan").load(),
    )
    with pytest.raises(UserError, match="no method is named 'fastgam-wide'"):
        method_info("fastgam-wide")

"""Files are complete or absent, and what was changed by hand is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.console import UserError
from common.files import atomic_path, read_json, read_sealed, read_yaml, sweep, write_sealed, write_text


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(ZeroDivisionError), atomic_path(target) as temporary:
        temporary.write_text("half of the n")
        _ = 1 / 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"a\.txt cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "text")


def test_sweep_removes_what_this_program_left_unfinished_alone(tmp_path: Path) -> None:
    for name in (".pre-commit-config.yaml", ".env.local.txt", "a.tmp-x.txt", ".model.tmp-abc123.safetensors"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".pre-commit-config.yaml", ".env.local.txt", "a.tmp-x.txt"}


def test_a_sealed_file_comes_back_and_a_changed_digit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "fid.json"
    write_sealed(path, {"fid": 12.5, "rows": [1, 2]})
    assert read_sealed(path) == {"fid": 12.5, "rows": [1, 2]}
    path.write_text(path.read_text().replace("12.5", "11.5"))
    with pytest.raises(UserError, match=r"fid\.json was damaged or edited"):
        read_sealed(path)


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', "[1]", "9" * 5000, "[" * 100_000])
def test_other_content_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(UserError, match=r"run\.json does not exist"):
        read_json(path)
    path.write_text(content)
    with pytest.raises(UserError, match=r"run\.json (is not valid JSON|was damaged)"):
        read_sealed(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "the key 'a' occurs twice in one mapping, again in line 3"),
        ("m:\n  x: {b: 1, b: 2}\n", "the key 'b' occurs twice in one mapping, again in line 2"),
        ("a: [1", "is not valid YAML"),
        ("- 1\n- 2\n", "it has no keys at its top level"),
        ("", "it has no keys at its top level"),
        ("k: !!python/object/apply:os.system ['touch ran']", "could not determine a constructor for the tag"),
        ("k: " + "[" * 1_000, "recursion"),
        ("k: " + "9" * 5000, "Exceeds the limit"),
        ("k: a\0b", "special characters are not allowed"),
        ("k: é", "can't decode byte"),
    ],
)
def test_yaml_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "preset.yaml"
    with pytest.raises(UserError, match=r"preset\.yaml does not exist"):
        read_yaml(path)
    path.write_text(text, "latin-1")
    with pytest.raises(UserError, match=rf"preset\.yaml is not valid YAML: .*{message}|{message}") as error:
        read_yaml(path)
    assert len(str(error.value).splitlines()) == 1
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=r"preset\.yaml cannot be read"):
        read_yaml(path)

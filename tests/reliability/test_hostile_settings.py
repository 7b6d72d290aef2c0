"""Wrong and hostile settings: one sentence that names file and key, and nothing is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.console import UserError
from training.config import read_preset

PRESET = "preset: a\nresolution: 16\ndatasets: [openmoji_faces]\nmethods: {control_real: {}}\n"
TAG = "!!python/object/apply:os.system"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{PRESET}skip:\n  - {{reason: a, reason: b}}\n", "is not valid YAML: the key 'reason' occurs twice"),
        (f"{PRESET}skip: no\n", "skip: input should be"),
        (f"{PRESET}skip:\n  - {{reason: 2020-01-01}}\n", "neither text nor a number"),
        (f"{PRESET}sampling: {{n: .inf}}\n", "sampling.n: "),
        (f"{PRESET}skip: {TAG} ['touch ran']\n", "could not determine a constructor for the tag"),
        ("k: &a [*a]", "k: unknown key|a: found undefined alias|neither text nor a number"),
        ("k: " + "[" * 30_000, "is not valid YAML"),
        ("k: " + "9" * 5000, "is not valid YAML"),
        ("k: a\0b", "is not valid YAML"),
    ],
)
def test_one_sentence_names_file_and_key(tmp_path: Path, tally, monkeypatch, text: str, reason: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with tally.input("config"), pytest.raises(UserError, match=f"{path}.*({reason})") as error:
        read_preset(path)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["missing", "folder", "latin-1"])
def test_what_is_no_text_file_is_refused(tmp_path: Path, tally, kind: str) -> None:
    path = tmp_path / "a.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "latin-1":
        path.write_bytes("k: é".encode("latin-1"))
    with tally.input("config"), pytest.raises(UserError, match=r"a\.yaml (does not exist|cannot be read|is not valid)"):
        read_preset(path)

"""The sentence that says from which commit numbers come, and whether their sources have changed since."""

from __future__ import annotations

from typing import Any

import pytest

from training.identity import sources_hash
from workflow.rendering import stamp
from workflow.rendering.contents import Entry

ROWS = [Entry("fastgan", "FastGAN"), Entry("mixdl", "MixDL"), Entry("control_noise", "Noise", "control")]


def record(method: str, changed: bool = False, **values: Any) -> dict[str, Any]:
    """A run.json with the present sources' hash, or another one."""
    hash_ = "0" * 64 if changed else sources_hash(method)
    found = {"method": method, "sources_hash": hash_, "git_commit": "5b552ba" + "0" * 33, "git_dirty": False}
    return {**found, "version": "0.4.0", **values}


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([record("fastgan"), record("mixdl")], "Numbers of commit 5b552ba (version 0.4.0), present sources."),
        (
            [record("fastgan"), record("mixdl", version="0.5.0", changed=True)],
            "Numbers of commit 5b552ba (version 0.4.0, 0.5.0); the sources of MixDL have changed since.",
        ),
        (
            [record("fastgan", changed=True), record("mixdl", changed=True), record("control_noise")],
            "Numbers of commit 5b552ba (version 0.4.0); the sources of FastGAN and MixDL have changed since.",
        ),
        (
            [record("mixdl", changed=True)],
            "Numbers of commit 5b552ba (version 0.4.0); the sources of all methods have changed since.",
        ),
        (
            [record("fastgan"), record("mixdl", git_commit="3ff5cbb" + "0" * 33, git_dirty=True)],
            "Numbers of commits 3ff5cbb + changes, 5b552ba (version 0.4.0), present sources.",
        ),
        ([record("fastgan", git_commit=None)], "Numbers of commit unknown (version 0.4.0), present sources."),
        ([record("adaptive_imle")], "Numbers of an unknown commit: there is no run.json beside them."),
    ],
)
def test_the_sentence(records, sentence):
    assert stamp.sentence(records, ROWS) == sentence


def test_a_method_that_no_longer_exists_has_changed():
    assert stamp.sources_changed({"method": "withdrawn", "sources_hash": "0" * 64})


def test_without_it_texts_do_not_depend_on_the_present_sources():
    texts = [f"Two. {stamp.sentence([record('fastgan', changed)], ROWS)} | 3 |" for changed in (0, 1)]
    assert [stamp.without(text) for text in texts] == ["Two.  | 3 |"] * 2

"""Hashes and seeds stay what they are: runs are named by them, and their random numbers follow from them."""

from __future__ import annotations

from common.hashing import derive_seed, digest


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})


def test_seeds_are_those_of_the_published_runs() -> None:
    """Computed once; another derivation would change every training."""
    assert derive_seed(0, "panda", "fastgan", "full", "train", 0) == 504641244494732896
    assert derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")
    assert 0 <= derive_seed("x") < 2**63

"""Utilities without torch that know nothing of the benchmark: console, files, hashes."""

__version__ = "0.4.0"

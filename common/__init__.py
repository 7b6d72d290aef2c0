"""Foundations without torch and without knowledge of the benchmark: console, files, hashes."""

__version__ = "0.2.0"

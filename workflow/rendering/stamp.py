"""The origin of numbers: the commit that trained them, and whether the sources have changed since."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from training.identity import sources_hash
from training.registry import find_method
from workflow.rendering.contents import Entry

Record = dict[str, Any]  # the content of a run.json
PRESENT = "present sources."
MANY = 4


def sources_changed(record: Record) -> bool:
    """Would this checkout train the run with other code?  Also true if the method no longer exists."""
    method = record["method"]
    return find_method(method) is None or sources_hash(method) != record["sources_hash"]


def training_seconds(record: Record) -> float:
    """Seconds of a processor; seconds of the clock for a training on a GPU."""
    return float(record["seconds" if record["hardware"]["gpu"] else "processor_seconds"])


def commit(record: Record) -> str:
    """The short commit of a run, with "+ changes" if its checkout had uncommitted changes."""
    return (record["git_commit"] or "unknown")[:7] + (" + changes" if record["git_dirty"] else "")


def commits(records: Sequence[Record]) -> str:
    """ "commits 3ff5cbb, 5b552ba (version 0.4.0)", or one of more than MANY commits and how many more."""
    names = sorted({commit(record) for record in records})
    versions = sorted({record["version"] for record in records})
    listed = ", ".join(names) if len(names) <= MANY else f"{names[0]} and {len(names) - 1} more"
    return f"commit{'s' * (len(names) > 1)} {listed} (version {', '.join(versions)})"


def sentence(records: Sequence[Record], rows: Collection[Entry]) -> str:
    """The commits of the numbers of these rows, and the methods whose sources have changed since."""
    titles = {row.id: row.title for row in rows}
    records = [record for record in records if record["method"] in titles]
    if not records:
        return "Numbers of an unknown commit: there is no run.json beside them."
    changed = dict.fromkeys(titles[record["method"]] for record in records if sources_changed(record))
    if not changed:
        return f"Numbers of {commits(records)}, {PRESENT}"
    whose = "all methods" if len(changed) == len({record["method"] for record in records}) else _listed(list(changed))
    return f"Numbers of {commits(records)}; the sources of {whose} have changed since."


def without(text: str) -> str:
    """A text without such a sentence; the result does not depend on the present sources."""
    return re.sub(rf"Numbers of commit.*?({re.escape(PRESENT)}|have changed since\.)", "", text)


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

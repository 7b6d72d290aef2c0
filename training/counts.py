"""Compare the number of images of each dataset with what the preset measures, before anything starts.  No torch here.

datasets.yaml itself refuses a count below 2: FID needs two images, and the 90/10 split one on each side.
"""

from __future__ import annotations

from collections.abc import Iterable

from data.datasets import dataset_info
from training.config import Preset
from training.protocols import FID_LEAST


def too_few(preset: Preset, datasets: Iterable[str]) -> list[str]:
    """One sentence for each metric that a dataset has too few images for; its cells will read n/a."""
    notes = []
    for name in datasets:
        count = dataset_info(name).count
        for protocol in preset.metrics.precision_recall:
            if reason := protocol.why_not(count, "real images"):
                notes.append(
                    f"{name}: {reason}; their cells read n/a, FID is still given. Lower k in metrics.precision_recall "
                    f"({protocol}), or add images (count in data/datasets.yaml)"
                )
        if count < 2 * FID_LEAST:
            notes.append(
                f"{name}: real images: {count}, but the floor of FID needs {FID_LEAST} in each half; its cell reads "
                "n/a. Add images (count in data/datasets.yaml)"
            )
    return notes

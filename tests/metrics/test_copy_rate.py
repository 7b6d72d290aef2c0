"""The copy rate finds what a reader would call a copy and spares blends, crops and other images of the same kind."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.stats import binomtest

from common.console import UserError
from data.images import decode, list_images
from metrics import copy_rate
from metrics.copy_rate import RATIO, authenticity, compare, references
from metrics.diversity import pixel_rows
from metrics.intervals import wilson
from tests.conftest import ROOT

Images = np.ndarray
STATE = np.random.RandomState(0)
REAL, FAKE = STATE.randn(100, 16), STATE.randn(500, 16)


@pytest.fixture(scope="module")
def faces(openmoji_faces: None) -> Images:
    """The demo's 100 drawings at 256 px, before they are resized."""
    return np.stack([np.asarray(decode(path)) for path in list_images(ROOT / "data/raw/openmoji_faces")])


def each(images: Images, change: Callable[[Image.Image], Image.Image]) -> Images:
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    return Image.open(file)


def cropped(image: Image.Image) -> Image.Image:
    return image.resize(image.size, Image.Resampling.BICUBIC, box=(13, 13, 243, 243))


def blended(images: Images, others: Images) -> Images:
    return ((images.astype(int) + others) // 2).astype(np.uint8)


def noisy(images: Images) -> Images:
    return np.clip(images + np.random.default_rng(0).normal(0, 10, images.shape), 0, 255).astype(np.uint8)


def copied(real: Images, fake: Images) -> float:
    """The share of fakes that are copies in pixels."""
    _, copies = pixel_rows(real, fake)
    return (copies["ratio"] < RATIO).mean()


@pytest.mark.parametrize(
    ("change", "least", "most"),
    [
        pytest.param(lambda x: x, 1, 1, id="the images themselves"),
        pytest.param(lambda x: each(x, jpeg), 1, 1, id="JPEG 30"),
        pytest.param(copy_rate.mirror, 1, 1, id="mirrored"),
        pytest.param(lambda x: each(x, lambda image: image.filter(ImageFilter.GaussianBlur(2))), 1, 1, id="blurred"),
        pytest.param(noisy, 1, 1, id="noise of 10 levels"),
        pytest.param(lambda x: np.clip(x * 1.1, 0, 255).astype(np.uint8), 0.9, 1, id="10 % brighter"),
        pytest.param(lambda x: each(x, cropped), 0, 0.01, id="90 % crop: only SSCD finds it"),
        pytest.param(lambda x: blended(x, np.roll(x, -1, axis=0)), 0, 0.05, id="blend with the next image"),
    ],
)
def test_what_counts_as_a_copy(change: Callable[[Images], Images], least: float, most: float, faces: Images) -> None:
    """On photographs of pandas, the same rule gives 1, 1, 1, 1, 1, 0.9, 0.01 and 0."""
    assert least <= copied(faces, change(faces)) <= most


def test_other_images_of_the_same_kind_are_no_copies(faces: Images) -> None:
    """One half against the other, and a blend with the nearest neighbour, which is what interpolation gives."""
    order = np.random.default_rng(0).permutation(100)
    assert copied(faces[order[:50]], faces[order[50:]]) <= 0.08
    blends = blended(faces, faces[references(faces).among.argmin(axis=1)])
    assert copied(faces, blends) <= 0.08


def test_mode_distance_in_pixels_is_the_mean_over_images_of_the_nearest_sample() -> None:
    real = np.stack([np.full((32, 32, 3), level, np.uint8) for level in (0, 255, 102)])
    fake = np.stack([np.full((32, 32, 3), level, np.uint8) for level in (51, 51)])
    rows, _ = pixel_rows(real, fake)
    assert rows[0]["metric"] == "mode_distance" and rows[0]["value"] == pytest.approx((0.2 + 0.8 + 0.2) / 3)


def test_the_ratio_by_its_definition() -> None:
    """Three images at 0, 10 and 30 on a line, the mirror image of the last at -2, a sample at 1."""
    real, mirrored, sample = np.array([0.0, 10, 30]), np.array([0.0, 10, -2]), np.array([1.0, -1.5, 24])
    among = np.abs(real[:, None] - real)
    np.fill_diagonal(among, np.inf)
    found = compare(np.abs(sample[:, None] - real), np.abs(sample[:, None] - mirrored), among)
    assert found.ratio == pytest.approx([1 / 3, 0.5 / 1.5, 6 / 14])
    assert found.nearest.tolist() == [0, 2, 2]
    assert found.mirrored.tolist() == [False, True, False]


def test_a_duplicate_in_the_training_set_does_not_hide_its_copies() -> None:
    """Also in chains: a is like b, and b like c; without merging, d1 / d2 of a copy of one would be 1."""
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    images[4] = images[3, :, ::-1]
    images[5] = np.clip(images[4].astype(int) + 3, 0, 255)
    assert copy_rate.near_duplicates(references(images).among) == [(3, 4), (3, 5), (4, 5)]
    assert copied(images, images) == 1


def test_one_image_repeated_has_no_copy_rate() -> None:
    same = references(np.full((4, 32, 32, 3), 7, np.uint8))
    with pytest.raises(UserError, match="near-duplicates of one another"):
        compare(np.ones((2, 4)), np.ones((2, 4)), same.among)


@pytest.mark.parametrize("copies", [0, 3, 100])
def test_wilson_interval_is_that_of_scipy(copies: int) -> None:
    expected = binomtest(copies, 100).proportion_ci(0.95, method="wilson")
    assert wilson(copies, 100) == pytest.approx((expected.low, expected.high), rel=1e-14, abs=0)


@pytest.mark.parametrize(
    ("real", "fake", "expected"),
    [
        (np.array([[0.0], [1], [3], [7], [15]]), np.array([[0.25], [2], [8], [40]]), 25),
        (REAL, FAKE, 66),
        (REAL, np.repeat(REAL, 5, axis=0), 0),
    ],
)
def test_authenticity(real: Images, fake: Images, expected: float) -> None:
    """Values of dgm-eval's definition."""
    assert authenticity(real, fake) == pytest.approx(expected)

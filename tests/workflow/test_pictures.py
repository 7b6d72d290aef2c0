"""The sheets of the sample browser: which samples are shown, and that their neighbours are the right ones."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from common.console import UserError
from metrics.copy_rate import pixels
from workflow.rendering import pictures
from workflow.rendering.browser import Browser


@pytest.fixture
def results(make, monkeypatch):
    """The made-up results with their sheets: 10 first samples, and the 4 most copied ones."""
    monkeypatch.setattr(pictures, "FIRST", 10)
    monkeypatch.setattr(pictures, "MOST_COPIED", 4)
    results = make()
    pictures.draw(results, results.folder / "pictures")
    return results


def tiles(results, path):
    sheet = np.asarray(Image.open(results.folder / "pictures" / path))
    side, columns = 32, sheet.shape[1] // 32
    return sheet.reshape(-1, side, columns, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)


def test_the_first_samples_are_shown_then_the_most_copied_of_all(results):
    ratio = np.load(results.folder / "metrics/dots/mixdl/seed0/diversity.npz")["ratio"]
    images = np.load(results.folder / "samples/dots/mixdl/seed0.npz")["images"]
    shown = [sample["number"] for sample in pictures.read(results, "dots")["methods"]["mixdl"]["samples"]]
    assert shown[:10] == list(range(10))
    assert set(np.argsort(ratio, kind="stable")[:4]) <= set(shown) and len(shown) == len(set(shown)) <= 14
    np.testing.assert_array_equal(tiles(results, "dots/mixdl/samples.webp")[: len(shown)], images[shown])


def test_beside_each_sample_is_its_nearest_training_image_at_the_distance_stated(results):
    sample = tiles(results, "dots/adaptive_imle/samples.webp")
    training = tiles(results, "dots/training.webp")
    for index, found in enumerate(pictures.read(results, "dots")["methods"]["adaptive_imle"]["samples"]):
        near = training[found["nearest"]]
        near = near[:, ::-1] if found["mirrored"] else near
        distance = np.sqrt(np.square(pixels(sample[index : index + 1]) - pixels(near[None])).mean())
        others = np.concatenate([training, training[:, :, ::-1]])
        assert found["distance"] == pytest.approx(distance, abs=1e-4)
        assert (
            distance <= np.sqrt(np.square(pixels(others) - pixels(sample[index : index + 1])).mean(axis=1)).min() + 1e-6
        )


def test_reconstructions_stand_with_their_targets_and_interpolations_in_rows(results):
    arrays = np.load(results.folder / "metrics/dots/fastgan/seed0/backtracking.npz")
    shown = next(one for one in Browser(results).galleries[0].shown if one.row.id == "fastgan")
    assert [score for _, _, score in shown.reconstructions] == pytest.approx(arrays["score"].tolist(), abs=1e-4)
    np.testing.assert_array_equal(tiles(results, "dots/targets.webp")[:6], arrays["target"])
    paths = np.load(results.folder / "samples/dots/fastgan/seed0.npz")["interpolation"]
    place = shown.paths[1][3]
    walked = tiles(results, "dots/fastgan/paths.webp")
    np.testing.assert_array_equal(walked[place.y * place.sheet.columns + place.x], paths[1, 3])


def test_what_is_absent_has_its_reason(results):
    dots, rings = Browser(results).galleries
    why = {one.row.id: one.why for one in rings.shown if not one.samples}
    assert why == {"fastgan": "n/a (left out)", "mixdl": "n/a (left out)"}
    external = next(one for one in dots.shown if one.row.kind == "external")
    assert external.samples and not external.paths and "made elsewhere" in external.why_no_reconstructions
    assert external.why_no_paths == "n/a (samples made elsewhere, without a generator)"


def test_large_images_lie_beside_the_page(results, monkeypatch):
    assert all(source.startswith("data:image/webp;base64,") for _, source in Browser(results).sources())
    monkeypatch.setattr("workflow.rendering.browser.SHARP", 16)
    assert {source for _, source in Browser(results).sources()} >= {"pictures/dots/mixdl/samples.webp"}


def test_a_changed_sheet_is_found(results):
    folder = results.folder / "pictures"
    (folder / ".snakemake_timestamp").touch()
    pictures.check(results, folder)
    Image.new("RGB", (32, 32)).save(folder / "rings/vanilla_imle/samples.webp")
    with pytest.raises(UserError, match=r"rings/vanilla_imle/samples\.webp is not what the samples give"):
        pictures.check(results, folder)

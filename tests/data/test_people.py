"""The people of OpenMoji: 129 label maps by the rule, each with six right answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.console import UserError
from data.fetch import fetch
from data.images import to_square
from data.labels import shares
from data.people import people
from data.prepare import prepare
from data.tasks import Layout, SuperResolution, load_task, shown_answers, shrunk
from tests.conftest import ROOT, download_lock

BALANCED = Layout(kind="layout", dataset="openmoji_people")
FILLS = ["FCEA2B", "FADCBC", "DEBB90", "C19A65", "A57939", "6A462F"]  # of the skin in the six appearances


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    with download_lock():
        fetch("openmoji_people", ROOT / "data" / "raw", folder / "manual")
    prepare("openmoji_people", 32, ROOT / "data" / "raw", folder)
    return folder


def test_a_hundred_label_maps_train_and_twenty_nine_are_held_out(prepared: Path) -> None:
    train, heldout = (load_task(BALANCED, 32, split, prepared) for split in ("train", "heldout"))
    assert (train.conditions.shape, heldout.conditions.shape) == ((100, 5, 32, 32), (29, 5, 32, 32))
    assert (train.answers.shape[1], heldout.answers.shape[1]) == (6, 6)
    assert np.bincount(train.shown).tolist() == [17, 17, 17, 17, 16, 16]
    everything = np.concatenate([train.conditions, heldout.conditions])
    np.testing.assert_allclose(everything.sum(axis=1), 1, atol=0.01)
    np.testing.assert_allclose(everything.mean(axis=(0, 2, 3)), [0.69, 0.04, 0.06, 0.08, 0.12], atol=0.01)
    hard = everything.argmax(axis=1)  # no two are nearly the same
    differing = [(hard[i] != hard[j]).mean() for i in range(129) for j in range(i)]
    assert min(differing) >= 0.002


def test_the_six_appearances_have_the_colours_of_their_drawings(prepared: Path) -> None:
    found = load_task(BALANCED, 32, "heldout", prepared)
    assert found.inside is not None and found.inside.sum(axis=(1, 2)).min() >= 6
    for answer, fill in enumerate(FILLS):
        nearest = np.array(
            [
                np.abs(image[inside].astype(int) - list(bytes.fromhex(fill))).sum(axis=1).min()
                for image, inside in zip(found.answers[:, answer], found.inside, strict=True)
            ]
        )
        assert np.median(nearest) < 12


def test_images_of_one_label_map_are_on_the_same_side_of_the_split(prepared: Path) -> None:
    from data.load import load

    _, manifest = load("openmoji_people", 32, root=prepared)
    sides = {
        side: {manifest["images"][place]["file"].rpartition("_")[0] for place in places}
        for side, places in manifest["split"].items()
    }
    assert not sides["train"] & sides["heldout"]
    assert [len(manifest["split"][side]) for side in ("train", "heldout")] == [600, 174]


def test_the_modifier_follows_the_first_code_point() -> None:
    names = ["1F46E-200D-2640-FE0F", "1F46E-1F3FB-200D-2640-FE0F", "1F468", "1F469", "1F469-1F3FB", "2708"]
    found = list(people(dict.fromkeys(names), ["1F3FB"], leave_out=["1F469"]))
    assert found == [("1F46E-200D-2640-FE0F", ["1F46E-200D-2640-FE0F", "1F46E-1F3FB-200D-2640-FE0F"])]


def test_training_shows_the_first_answer_as_often_as_asked() -> None:
    assert np.bincount(shown_answers(100, 6, 0.8, "any")).tolist() == [80, 4, 4, 4, 4, 4]
    assert np.array_equal(shown_answers(50, 6, None, "any"), shown_answers(50, 6, None, "any"))
    assert not np.array_equal(shown_answers(50, 6, None, "any"), np.arange(50) % 6), "drawn, not in order"


def test_a_small_image_is_the_area_average_and_mirrored_pairs_follow(openmoji_faces: Path) -> None:
    task = SuperResolution(kind="super_resolution", dataset="openmoji_faces", factor=8)
    root = openmoji_faces.parents[1]
    train, heldout = (load_task(task, 32, split, root) for split in ("train", "heldout"))
    assert (train.conditions.shape, heldout.conditions.shape) == ((180, 3, 4, 4), (10, 3, 4, 4))
    patch = train.images[3, 8:16, 16:24].reshape(-1, 3).mean(axis=0) / 127.5 - 1
    np.testing.assert_allclose(train.conditions[3, :, 1, 2], patch, atol=1e-6)
    assert np.array_equal(train.images[90:], train.images[:90, :, ::-1])
    assert np.array_equal(train.conditions[90:], train.conditions[:90, :, :, ::-1])
    with pytest.raises(UserError, match=r"super-resolution by 16 does not fit images of 24 px: lower `factor`"):
        shrunk(train.images[:, :24, :24], 16)


def test_a_label_map_is_cut_and_averaged_as_its_image_is() -> None:
    """Of a wide map, the same columns count as of its image; shares are averages by area."""
    classes = np.zeros((8, 16), np.uint8)
    classes[:, 4:12], classes[:4, 4:8] = 1, 2
    found = shares(classes, 3, 2)
    image = to_square(Image.fromarray(classes), 2, Image.Resampling.BOX)
    assert found[..., 1].tolist() == [[0, 255], [255, 255]] and np.asarray(image).tolist() == [[2, 1], [1, 1]]
    classes[0, 4:8] = 0
    assert shares(classes, 3, 2)[0, 0].tolist() == [64, 0, 191]

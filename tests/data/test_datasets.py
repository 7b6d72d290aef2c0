"""datasets.yaml: what it holds, and that each mistake in it is one sentence with file, dataset and key."""

from __future__ import annotations

import pytest
import yaml

from common.console import UserError
from data import datasets
from data.datasets import dataset_info, dataset_names

COUNTS = {"obama": 100, "grumpy_cat": 100, "panda": 100, "ffhq_100": 100, "cat": 160, "dog": 389}  # of the paper
DRAWINGS = {"openmoji_faces": 100, "openmoji_animals": 100, "openmoji_people": 774}


def test_the_sets_of_the_paper_and_the_drawings_have_their_sizes_and_only_drawings_may_be_committed() -> None:
    for shareable, counts in ((False, COUNTS), (True, DRAWINGS)):
        found = {name: (dataset_info(name).count, dataset_info(name).shareable) for name in counts}
        assert found == {name: (count, shareable) for name, count in counts.items()}
    assert [name for name in dataset_names() if dataset_info(name).optional] == ["ffhq_100"]


def test_panda_is_pinned_by_bytes_and_pixels() -> None:
    assert dataset_info("panda").pins == {
        "manifest_sha256": "dab38bfaafe4e6469db9c826f9f56277991c92211695da7cfe168bd09e1da43e",
        "pixels_sha256": "c131d8308431112d336cde5c61cb1a7f73788672e970cb30ef2840cd4a49f2e5",
    }


def test_unknown_dataset_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'pandas'.*openmoji_faces.*panda.*ffhq_100"):
        dataset_info("pandas")


PACKAGE = {"kind": "package", "package": "p", "version": "1", "sha256": "0" * 64, "folder": "svg"}
PEOPLE = {**PACKAGE, "kind": "people", "groups": {"a": ["a"], "skin": ["skin"]}, "modifiers": ["1F3FB"]}


def layouts(a: object = None, **keys: object) -> dict[str, object]:
    return {"layouts": {"classes": {"a": a, "b": [9, 9, 9]}, **keys}}


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"colour": "red"}, "the key colour is unknown; known are title, count,"),
        ({"title": " "}, 'title: must be text, not empty, not " "'),
        ({"title": 2024}, "title: must be text .*, not 2024"),
        ({"count": "12"}, 'count: must be a whole number, not "12"'),
        ({"count": True}, "count: must be a whole number, not true"),
        ({"count": 1}, "count: must be at least 2, not 1"),
        ({"shareable": 1}, "shareable: must be true or false, not 1"),
        ({"split": "random"}, 'split: must be lexicographic or seeded, not "random"'),
        ({"size": 8}, "size: must be at least 16, not 8"),
        ({"depth": 24}, "depth: must be at most 16, not 24"),
        ({"pixels_sha256": "12"}, 'pixels_sha256: must be a sha256 of 64 digits 0-9 and a-f, not "12"'),
        ({"folders": "toy"}, 'folders: must be a list, not "toy"'),
        ({"sources": ["http://x"]}, 'sources.0: must have keys and values, .*, not "http://x"'),
        ({"sources": [{"kind": "ftp"}]}, 'sources.0.kind: must be one of http, gdrive, package, people, not "ftp"'),
        ({"sources": [{"url": "http://x"}]}, "the key sources.0.kind is required: http, gdrive, package"),
        ({"sources": [{"kind": "http"}]}, "the key sources.0.url is required"),
        ({"sources": [{"kind": "http", "url": "file:///etc"}]}, 'sources.0.url: must be .*, not "file:///etc"'),
        (
            {"sources": [{"kind": "http", "url": "http://x", "bundle": True}]},
            "a source with `bundle: true` holds several",
        ),
        (
            {"sources": [{"kind": "gdrive", "id": "x", "sha": "y"}]},
            "the key sources.0.sha is unknown; known are sha256,",
        ),
        ({"sources": [{**PACKAGE, "codepoints": ["1F400-"]}]}, "sources.0.codepoints.0: must be a code point"),
        ({"layouts": {"colours": {}}}, "the key layouts.(classes is required|colours is unknown; known are classes)"),
        (layouts(a=[0, 0, 256]), "layouts.classes.a.2: must be at most 255, not 256"),
        (layouts(a=[9, 9, 9]), "layouts: the classes a and b must have different colours"),
        (layouts(answers=3), "`count` must be a multiple of `layouts.answers`, 3"),
        (layouts(told_apart_by="skin"), "layouts: `told_apart_by` must be one of the classes a, b"),
        (layouts(train=4), "`layouts.train` must leave at least one label map that is held out"),
        (
            {"sources": [PEOPLE], "layouts": {"classes": {"a": [0, 0, 0], "b": [9, 9, 9]}}},
            "`groups`: skin must be one of",
        ),
        ({"sources": [{**PACKAGE, "codepoints": []}]}, r"sources.0.codepoints: must have at least one item, not \[\]"),
    ],
)
def test_mistake_names_file_dataset_and_key(toy, keys, reason: str) -> None:
    toy(**keys)
    with pytest.raises(UserError, match=rf"datasets-1\.yaml: toy: {reason}") as error:
        dataset_info("toy")
    assert len(str(error.value).splitlines()) == 1


def test_missing_key_is_named(toy) -> None:
    content = yaml.safe_load(datasets.DATASETS.read_text())
    del content["toy"]["citation"]
    datasets.DATASETS.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"datasets-0\.yaml: toy: the key citation is required; data/README\.md lists"):
        dataset_info("toy")


@pytest.mark.parametrize("name", ["a b", "../a", "a/b", "a.b", "größe", "-a", "a" * 65, "", 7, False])
def test_name_with_other_characters_is_refused(toy, name: object) -> None:
    toy("My-set_2")
    assert dataset_names() == ["My-set_2"]
    toy(name)
    with pytest.raises(UserError, match=r"datasets-2\.yaml: .*: name: must be "):
        dataset_names()


@pytest.mark.parametrize("name", ["weights", "NaN"])  # a folder of data/raw/; a missing value in metrics.csv
def test_name_with_another_meaning_is_refused(toy, name: str) -> None:
    toy(name)
    with pytest.raises(UserError, match=rf"{name}: name: must not be one of the reserved names weights, na, nan"):
        dataset_names()


def test_names_that_are_one_folder_on_some_systems_are_refused(toy) -> None:
    content = yaml.safe_load(datasets.DATASETS.read_text())
    datasets.DATASETS.write_text(yaml.safe_dump({**content, "Toy": content["toy"]}))
    with pytest.raises(UserError, match=r"(Toy and toy|toy and Toy) differ only in upper and lower case"):
        dataset_names()


def test_entry_that_is_no_mapping_is_refused(toy) -> None:
    datasets.DATASETS.write_text("toy: 3")
    with pytest.raises(UserError, match=r"datasets-0\.yaml: toy: expected keys and values, not 3"):
        dataset_info("toy")

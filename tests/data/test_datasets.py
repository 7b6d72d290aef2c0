"""datasets.yaml: what it holds, and that each mistake in it is one sentence with file, dataset and key."""

from __future__ import annotations

import pytest

from common.console import UserError
from data import datasets
from data.datasets import dataset_info, dataset_names


def test_registry_holds_the_sets_of_the_paper_and_of_the_demo() -> None:
    counts = {name: dataset_info(name).count for name in dataset_names()}
    assert counts == {
        **{"openmoji_faces": 100, "openmoji_animals": 100, "obama": 100, "grumpy_cat": 100, "panda": 100},
        **{"dog": 389, "cat": 160, "ffhq_100": 100},
    }
    assert [name for name in counts if dataset_info(name).shareable] == ["openmoji_faces", "openmoji_animals"]
    assert [name for name in counts if dataset_info(name).optional] == ["ffhq_100"]


def test_panda_is_pinned_by_bytes_and_pixels() -> None:
    assert dataset_info("panda").pins == {
        "manifest_sha256": "dab38bfaafe4e6469db9c826f9f56277991c92211695da7cfe168bd09e1da43e",
        "pixels_sha256": "c131d8308431112d336cde5c61cb1a7f73788672e970cb30ef2840cd4a49f2e5",
    }


def test_unknown_dataset_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'pandas'.*openmoji_faces.*panda.*ffhq_100"):
        dataset_info("pandas")


PACKAGE = {"kind": "package", "package": "p", "version": "1", "sha256": "0" * 64, "folder": "svg"}


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"colour": "red"}, "the key colour is unknown"),
        ({"title": ""}, "title: string should have at least 1 character"),
        ({"count": "4"}, "count: input should be a valid integer, not '4'"),
        ({"count": 0}, "count: input should be greater than or equal to 2"),
        ({"shareable": 1}, "shareable: input should be a valid boolean"),
        ({"split": "random"}, "split: input should be 'lexicographic' or 'seeded', not 'random'"),
        ({"size": 8}, "size: input should be greater"),
        ({"pixels_sha256": "12"}, "pixels_sha256: string should match"),
        ({"folders": "toy"}, "folders: input should be a valid array"),
        ({"sources": [{"kind": "ftp"}]}, "sources.0: .*'ftp' .*'http', 'gdrive', 'package'"),
        ({"sources": [{"url": "http://x"}]}, "sources.0: .*'kind'"),
        ({"sources": [{"kind": "http"}]}, "the key sources.0.http.url is required"),
        ({"sources": [{"kind": "http", "url": "file:///etc/passwd"}]}, "sources.0.http.url: string should match"),
        ({"sources": [{"kind": "gdrive", "id": "x", "sha": "y"}]}, "the key sources.0.gdrive.sha is unknown"),
        ({"sources": [{**PACKAGE, "codepoints": ["1F400-"]}]}, "sources.0.package.codepoints.0: string should match"),
        (
            {"sources": [{**PACKAGE, "codepoints": []}]},
            "sources.0.package.codepoints: tuple should have at least 1 item",
        ),
    ],
)
def test_mistake_names_file_dataset_and_key(toy, keys, reason: str) -> None:
    toy(**keys)
    with pytest.raises(UserError, match=rf"datasets-1\.yaml: toy: {reason}") as error:
        dataset_info("toy")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["a b", "../a", "a/b", "", 7])
def test_name_with_other_characters_is_refused(toy, name: object) -> None:
    toy("My-set_2")
    assert dataset_names() == ["My-set_2"]
    toy(name)
    with pytest.raises(UserError, match=r"datasets-2\.yaml: .*: name: "):
        dataset_names()


def test_entry_that_is_no_mapping_is_refused(toy) -> None:
    datasets.DATASETS.write_text("toy: 3")
    with pytest.raises(UserError, match=r"datasets-0\.yaml: toy: expected keys and values, not 3"):
        dataset_info("toy")

"""The first verified fetch, or datasets.yaml, says what a set is; later fetches must agree, and --accept is needed."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from common.console import UserError
from common.files import write_json
from common.hashing import sha256_bytes
from data import datasets
from data.fetch import fetch
from data.verify import LOCK, manifest_sha256
from tests.files import encoded, zipped


def packed_differently(content: bytes) -> bytes:
    """The same pixels in other bytes."""
    return encoded(Image.open(io.BytesIO(content)), compress_level=0)


@pytest.fixture
def lock(raw: Path) -> Callable[[], dict]:
    return lambda: json.loads((raw / "datasets.lock.json").read_text())


@pytest.fixture
def served(server, toy) -> Callable[..., None]:
    """`served(files, name)` makes the toy dataset's one mirror serve these images."""

    def serve(files: dict[str, bytes], name: str, **keys: object) -> None:
        server.pages[f"/{name}"] = zipped(files)
        toy(sources=[server.source(name)], **keys)

    return serve


@pytest.fixture
def first(served, get, four) -> dict:
    """The record of the first fetch."""
    served(four, "a.zip")
    return get()


@pytest.fixture
def other(four) -> dict[str, bytes]:
    """The same set, but for one image."""
    return four | {"2.png": four["1.png"]}


def test_manifest_digest_is_that_of_sha256sum_in_natural_order() -> None:
    """`sha256sum $(ls -v) | sha256sum` for files 1, 2 and 10."""
    files = [{"file": f"{number}.jpg", "sha256": f"{number:064d}"} for number in (1, 10, 2)]
    lines = "".join(f"{number:064d}  {number}.jpg\n" for number in (1, 2, 10))
    assert manifest_sha256(files) == sha256_bytes(lines.encode())


def test_first_fetch_writes_the_lock(first, lock, four) -> None:
    files = [{"file": name, "sha256": sha256_bytes(content)} for name, content in four.items()]
    pixels = [sha256_bytes(Image.open(io.BytesIO(four[name])).tobytes()) for name in sorted(four)]
    assert lock()["toy"] == {
        "manifest_sha256": manifest_sha256(files),
        "pixels_sha256": sha256_bytes("\n".join(pixels).encode()),
        "source": first["source"],
    }
    assert first.items() >= lock()["toy"].items()


def test_other_pixels_are_refused_with_the_way_out_and_accepted_on_request(
    first, served, get, lock, raw, four, other
) -> None:
    entry = lock()
    served(other, "b.zip")
    with pytest.raises(UserError) as error:
        get()
    for part in (
        *("/b.zip: the images are not those of", "datasets.lock.json", "python -m data fetch toy --accept"),
        *(entry["toy"]["manifest_sha256"], entry["toy"]["pixels_sha256"]),
    ):
        assert part in str(error.value)
    assert lock() == entry
    assert json.loads((raw / "toy/.complete.json").read_text()) == first
    assert (raw / "toy/2.png").read_bytes() == four["2.png"]
    after = get(accept=True)
    assert lock()["toy"]["pixels_sha256"] == after["pixels_sha256"] != first["pixels_sha256"]
    assert (raw / "toy/2.png").read_bytes() == four["1.png"]
    assert get() == after


def test_same_pixels_in_other_bytes_are_accepted_with_a_note(first, served, get, lock, raw, four, capsys) -> None:
    """The lock keeps the digests of the first fetch."""
    entry = lock()
    served({name: packed_differently(content) for name, content in four.items()}, "b.zip")
    get()
    assert "toy: note that the files are not the known ones but show the same pixels" in capsys.readouterr().err
    assert lock() == entry
    assert (raw / "toy/1.png").read_bytes() == packed_differently(four["1.png"])


def test_known_files_that_decode_to_other_pixels_are_accepted_with_a_note(first, get, lock, raw, capsys) -> None:
    """Another version of Pillow does that."""
    entries = lock()
    entries["toy"]["pixels_sha256"] = "0" * 64
    write_json(raw / LOCK, entries)
    get()
    assert "decode to other pixels with this version of Pillow: to record these, run" in capsys.readouterr().err
    assert lock() == entries
    get(accept=True)
    assert lock()["toy"]["pixels_sha256"] == first["pixels_sha256"]


def test_folder_filled_by_hand_is_compared_too(first, get, four, place) -> None:
    image = Image.open(io.BytesIO(four["2.png"]))
    image.putpixel((0, 0), (0, 0, 0))
    place(four | {"2.png": encoded(image)})
    with pytest.raises(UserError, match="manual/toy cannot be used for toy: the images are not those of"):
        get()
    assert get(accept=True)["source"]["kind"] == "manual"


def test_images_fetched_before_are_compared_too(first, get, lock, raw) -> None:
    entries = lock()
    entries["toy"] |= {"manifest_sha256": "0" * 64, "pixels_sha256": "0" * 64}
    (raw / "datasets.lock.json").write_text(json.dumps(entries))
    with pytest.raises(UserError, match="raw/toy cannot be used: the images are not those of"):
        get()
    assert len(list((raw / "toy").glob("*.png"))) == 4


@pytest.mark.parametrize("pinned", [["manifest_sha256"], ["pixels_sha256"], ["manifest_sha256", "pixels_sha256"]])
def test_one_pinned_digest_is_enough_and_is_not_overridden(first, served, get, lock, raw, four, other, pinned) -> None:
    """`verify` reads the pixels' digest from the lock file where it is not pinned: a fetch writes it there."""
    (raw / "datasets.lock.json").unlink()
    pins = {key: first[key] for key in pinned}
    served(four, "a.zip", **pins)
    get()
    assert lock()["toy"]["pixels_sha256"] == first["pixels_sha256"]
    served(other, "b.zip", **pins)
    for accept in (False, True):
        with pytest.raises(UserError, match=r"not those of data/datasets\.yaml .*--accept does not override") as error:
            get(accept=accept)
        assert "None" not in str(error.value)
        assert all(first[key] in str(error.value) for key in pinned)
    served({name: packed_differently(content) for name, content in four.items()}, "c.zip", **pins)
    if "pixels_sha256" in pinned:
        assert get()["source"]["url"].endswith("c.zip")
    else:
        with pytest.raises(UserError, match="not those of"):
            get()


def test_fetches_at_once_lose_no_entry(toy, raw, tmp_path, four) -> None:
    names = [f"set{index}" for index in range(6)]
    entry = yaml.safe_load(datasets.DATASETS.read_text())["toy"]
    datasets.DATASETS.write_text(yaml.safe_dump(dict.fromkeys(names, entry)))
    for name in names:
        (tmp_path / "manual" / name).mkdir(parents=True)
        for file, content in four.items():
            (tmp_path / "manual" / name / file).write_bytes(content)
    threads = [threading.Thread(target=fetch, args=(name, raw, tmp_path / "manual")) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(json.loads((raw / "datasets.lock.json").read_text())) == names


@pytest.mark.parametrize("content", ["{", "[]", '{"toy": 3}', '{"toy": {"pixels_sha256": "0"}}'])
def test_damaged_lock_is_named_and_neither_ignored_nor_overwritten(served, get, four, raw: Path, content: str) -> None:
    served(four, "a.zip")
    raw.mkdir()
    (raw / "datasets.lock.json").write_text(content)
    with pytest.raises(UserError, match=r"datasets\.lock\.json is (damaged; restore it|not valid JSON)"):
        get()
    assert (raw / "datasets.lock.json").read_text() == content

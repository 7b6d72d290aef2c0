"""The first verified fetch says what a set is; later ones must agree, and nothing is replaced unasked."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pytest
import yaml
from PIL import Image

import data.load
from common.console import UserError
from common.hashing import sha256_bytes
from data.fetch import fetch
from data.load import dataset_info
from data.verify import manifest_sha256


def repacked(content: bytes) -> bytes:
    """The same pixels in other bytes."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(content)).save(stream, "png", compress_level=0)
    return stream.getvalue()


def changed(content: bytes) -> bytes:
    """One pixel is another."""
    stream = io.BytesIO()
    image = Image.open(io.BytesIO(content))
    image.putpixel((0, 0), (0, 0, 0))
    image.save(stream, "png")
    return stream.getvalue()


@pytest.fixture
def lock(raw: Path):
    return lambda: json.loads((raw / "datasets.lock.json").read_text())


@pytest.fixture
def served(server, toy, pack):
    """`served(files)` makes the toy dataset's one mirror serve these images."""

    def serve(files: dict[str, bytes], name: str, **keys: object) -> None:
        server.pages[f"/{name}"] = pack(files)
        toy(sources=[{"kind": "http", "url": f"{server.url}/{name}"}], **keys)

    return serve


def test_first_fetch_writes_the_lock(served, get, lock, four) -> None:
    served(four, "a.zip")
    record = get()
    entry = lock()["toy"]
    assert entry["source"] == record["source"]
    files = [{"file": name, "sha256": sha256_bytes(content)} for name, content in four.items()]
    assert entry["manifest_sha256"] == record["manifest_sha256"] == manifest_sha256(files)
    pixels = [sha256_bytes(Image.open(io.BytesIO(four[name])).tobytes()) for name in sorted(four)]
    assert entry["pixels_sha256"] == record["pixels_sha256"] == sha256_bytes("\n".join(pixels).encode())


def test_other_pixels_are_refused_naming_mirror_and_way_out_and_nothing_is_lost(served, get, lock, raw, four) -> None:
    served(four, "a.zip")
    first, entry = get(), lock()
    served(four | {"2.png": four["1.png"]}, "b.zip")
    with pytest.raises(UserError) as error:
        get()
    for part in ("/b.zip: bytes and pixels differ", "datasets.lock.json", "python -m data fetch toy --accept"):
        assert part in str(error.value)
    assert entry["toy"]["manifest_sha256"] in str(error.value)
    assert lock() == entry
    assert json.loads((raw / "toy/.complete.json").read_text()) == first
    assert {name: (raw / "toy" / name).read_bytes() for name in four} == four


def test_accept_replaces_the_entry(served, get, lock, raw, four) -> None:
    served(four, "a.zip")
    before = get()
    served(four | {"2.png": four["1.png"]}, "b.zip")
    after = get(accept=True)
    assert lock()["toy"]["pixels_sha256"] == after["pixels_sha256"] != before["pixels_sha256"]
    assert (raw / "toy/2.png").read_bytes() == four["1.png"]
    assert get() == after


def test_a_mirror_that_agrees_is_found_behind_one_that_does_not(server, toy, served, get, four, pack) -> None:
    served(four, "a.zip")
    get()
    server.pages["/b.zip"] = pack(four | {"2.png": four["1.png"]})
    server.pages["/c.zip"] = pack(four)
    toy(sources=[{"kind": "http", "url": f"{server.url}/{name}.zip"} for name in "bc"])
    assert get()["source"]["url"].endswith("/c.zip")


def test_same_pixels_in_other_bytes_are_accepted_with_a_note(served, get, lock, raw, four, capsys) -> None:
    """A set that was packed anew trains and measures the same; the lock keeps the first one's digests."""
    served(four, "a.zip")
    get()
    entry = lock()
    served({name: repacked(content) for name, content in four.items()}, "b.zip")
    get()
    assert "toy: note that the files are not the known ones but show the same pixels" in capsys.readouterr().err
    assert lock() == entry
    assert (raw / "toy/1.png").read_bytes() == repacked(four["1.png"])


def test_same_pictures_in_another_order_are_refused(served, get, four) -> None:
    """Names decide the order, and the order the split."""
    served(four, "a.zip")
    get()
    served({f"{9 - index}.png": content for index, content in enumerate(four.values())}, "b.zip")
    with pytest.raises(UserError, match="bytes and pixels differ"):
        get()


def test_folder_filled_by_hand_is_held_to_the_lock_too(served, get, four, place) -> None:
    served(four, "a.zip")
    get()
    place(four | {"2.png": changed(four["2.png"])})
    with pytest.raises(UserError, match="manual/toy cannot be used for toy: bytes and pixels differ"):
        get()
    assert get(accept=True)["source"]["kind"] == "manual"


def test_pin_of_the_catalogue_is_not_overridden(served, get, lock, raw, four, capsys) -> None:
    served(four, "a.zip", manifest_sha256="1" * 64, pixels_sha256="2" * 64)
    for accept in (False, True):
        with pytest.raises(
            UserError, match=rf"differ from those in data/datasets.yaml .*{'1' * 64}.*--accept does not"
        ):
            get(accept=accept)
    assert not (raw / "datasets.lock.json").exists()
    files = [{"file": name, "sha256": sha256_bytes(content)} for name, content in four.items()]
    served(four, "a.zip", manifest_sha256=manifest_sha256(files))
    pixels = get()["pixels_sha256"]
    other = {name: repacked(content) for name, content in four.items()}
    served(other, "b.zip", manifest_sha256="1" * 64, pixels_sha256=pixels)
    get()
    assert "show the same pixels" in capsys.readouterr().err


def test_panda_is_pinned_by_bytes_and_pixels() -> None:
    panda = dataset_info("panda")
    assert panda.manifest_sha256 == "dab38bfaafe4e6469db9c826f9f56277991c92211695da7cfe168bd09e1da43e"
    assert panda.pixels_sha256 and len(bytes.fromhex(panda.pixels_sha256)) == 32
    assert panda.size == 256


def test_damaged_lock_is_named(served, get, raw, four) -> None:
    raw.mkdir()
    (raw / "datasets.lock.json").write_text("{")
    served(four, "a.zip")
    with pytest.raises(UserError, match=r"datasets\.lock\.json is not valid JSON"):
        get()


def test_fetches_at_once_lose_no_entry(toy, raw, tmp_path, four, monkeypatch) -> None:
    names = [f"set{index}" for index in range(6)]
    entry = yaml.safe_load(data.load.DATASETS.read_text())["toy"]
    (tmp_path / "many.yaml").write_text(yaml.safe_dump(dict.fromkeys(names, entry)))
    monkeypatch.setattr(data.load, "DATASETS", tmp_path / "many.yaml")
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


def test_images_fetched_before_are_held_to_the_lock_too(served, get, lock, raw, four) -> None:
    served(four, "first.zip")
    get()
    entries = lock()
    entries["toy"] |= {"manifest_sha256": "0" * 64, "pixels_sha256": "0" * 64}
    (raw / "datasets.lock.json").write_text(json.dumps(entries))
    with pytest.raises(UserError, match="raw/toy cannot be used: bytes and pixels differ"):
        get()
    assert len(list((raw / "toy").glob("*.png"))) == 4


def test_one_sets_clash_of_names_keeps_the_archive(server, toy, get, raw, four, pack) -> None:
    """A bundle of a gigabyte may be sound for the other sets."""
    name = min(four)
    server.pages["/b.zip"] = pack({f"toy/{place}/{name}": four[name] for place in "abcd"})
    toy(sources=[{"kind": "http", "url": f"{server.url}/b.zip"}])
    with pytest.raises(UserError, match="two images named"):
        get()
    assert [path for path in (raw / ".downloads").iterdir() if path.name.startswith("http-") and not path.suffix]


@pytest.mark.parametrize("content", ["[]", '{"toy": 3}', '{"toy": {"pixels_sha256": "0"}}'])
def test_a_damaged_lock_is_neither_ignored_nor_overwritten(served, get, four, raw: Path, content: str) -> None:
    served(four, "a.zip")
    raw.mkdir(exist_ok=True)
    (raw / "datasets.lock.json").write_text(content)
    with pytest.raises(UserError, match=r"datasets.lock.json is damaged; restore it, or delete it"):
        get()
    assert (raw / "datasets.lock.json").read_text() == content

"""Only images, only from the named folder, and never anything outside the target.

Hostile archives of real sizes are in tests/reliability/test_hostile_archives.py.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from data import archive
from data.archive import SourceError, UnknownLayout, extract_images
from tests.files import zipped

PIXELS = b"bytes of an image"


def tarred(names: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        for name, content in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def gzipped(names: dict[str, bytes]) -> bytes:
    return gzip.compress(tarred(names))


PACKERS = [zipped, tarred, gzipped]


@pytest.fixture
def extract(tmp_path: Path):
    """`extract(content, ...)` are the names of the images that come out; they have the bytes PIXELS."""
    target = tmp_path / "target"
    target.mkdir()

    def run(content: bytes, count: int = 1, folders: tuple[str, ...] = (), bundle: bool = False) -> list[str]:
        (tmp_path / "archive").write_bytes(content)
        extract_images(tmp_path / "archive", target, count, folders, bundle)
        assert {path.read_bytes() for path in target.iterdir()} == {PIXELS}
        return sorted(path.name for path in target.iterdir())

    yield run
    assert {path.name for path in tmp_path.iterdir()} <= {"archive", "target"}


@pytest.mark.parametrize(
    ("names", "folders", "bundle", "taken"),
    [
        ("b/Dog/img/1.jpg b/Dog/img/2.PNG b/Dog/readme.txt b/Dog/img/.3.jpg 9.jpg", "puppy dog/img", 1, "1.jpg 2.PNG"),
        ("1.jpg x/2.jpg __MACOSX/._1.jpg", "", 0, "1.jpg 2.jpg"),  # one set: everything
        ("preview.jpg x/1.jpg x/2.jpg", "", 0, "1.jpg 2.jpg"),  # its one folder of the right count
        ("preview.jpg x/1.jpg x/2.jpg", "", 1, None),  # in a bundle, x may be any set
        ("cat/1.jpg cat/2.jpg hotdog/1.jpg dog2/1.jpg", "dog", 1, None),  # parts of names do not count
        ("dog/train/1.jpg dog/train/2.jpg dog/test/3.jpg", "dog", 1, "1.jpg 2.jpg"),
        ("a/1.jpg a/2.jpg b/3.jpg b/4.jpg", "", 0, None),  # two folders could be it
        ("dog/1.jpg dog/2.jpg d/3.jpg d/4.jpg", "cat d dog", 1, "3.jpg 4.jpg"),  # the first folder known
        ("weights.zip 1.jpg 2.jpg", "", 0, "1.jpg 2.jpg"),  # an archive in name only
        ("readme.txt", "", 0, None),
    ],
)
def test_layouts(extract, names: str, folders: str, bundle: int, taken: str | None) -> None:
    """A set of two images: what is recognised, and that nothing is guessed."""
    arguments = (zipped(dict.fromkeys(names.split(), PIXELS)), 2, tuple(folders.split()), bool(bundle))
    if taken is None:
        with pytest.raises(UnknownLayout, match="the archive has no single folder"):
            extract(*arguments)
    else:
        assert extract(*arguments) == taken.split()


@pytest.mark.parametrize("outer", PACKERS)
@pytest.mark.parametrize(("inner", "suffix"), [(zipped, ".zip"), (tarred, ".tar"), (gzipped, ".tar.gz")])
def test_archive_in_an_archive_counts_as_a_folder_of_its_name(extract, outer, inner, suffix: str) -> None:
    """Also where a tar ends in a zip, which zipfile alone would take for that zip."""
    content = inner(dict.fromkeys(["1.jpg", "2.jpg"], PIXELS))
    assert extract(outer({"1.jpg": b"", f"sets/dog{suffix}": content}), 2, ("dog",), True) == ["1.jpg", "2.jpg"]


def test_second_level_of_archives_stays_closed(extract) -> None:
    content = zipped({"dog.zip": zipped({"dog.zip": zipped({"1.jpg": PIXELS})})})
    with pytest.raises(UnknownLayout, match="it has no images"):
        extract(content, 1, ("dog",), True)


@pytest.mark.parametrize("pack", [*PACKERS, lambda names: zipped({"dog.zip": zipped(names)})])
@pytest.mark.parametrize("name", ["../evil.jpg", "a/../../evil.jpg", "/tmp/evil.jpg", "..\\evil.jpg", "C:evil.jpg"])
def test_path_outside_is_refused(extract, pack, name: str) -> None:
    with pytest.raises(SourceError, match="outside its folder"):
        extract(pack({name: PIXELS}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, "zip"])
def test_link_or_device_is_refused(extract, kind: bytes | str) -> None:
    if kind == "zip":
        entry, stream = zipfile.ZipInfo("1.jpg"), io.BytesIO()
        entry.external_attr = 0o120777 << 16
        with zipfile.ZipFile(stream, "w") as file:
            file.writestr(entry, "/etc/passwd")
        content = stream.getvalue()
    else:
        info = tarfile.TarInfo("1.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        content = info.tobuf() + bytes(1024)
    with pytest.raises(SourceError, match=r"holds a link, a device or .*'1\.jpg'"):
        extract(content)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [("MAX_MEMBERS", "more than 2 members"), ("MAX_IMAGE_BYTES", "too large"), ("MAX_TOTAL_BYTES", "too large")],
)
@pytest.mark.parametrize("pack", [*PACKERS, lambda names: zipped({"dog.zip": zipped(names)})])
def test_limits_hold(extract, monkeypatch, pack, limit: str, reason: str) -> None:
    monkeypatch.setattr(archive, limit, 2)
    with pytest.raises(SourceError, match=reason):
        extract(pack({f"{index}.jpg": PIXELS for index in range(3)}), 3)


@pytest.mark.parametrize("name", ["a\x07.png", "d\udce9.png", f"{'n' * 260}.png", f"{'d/' * 600}a.png"])
def test_name_that_no_file_can_have_is_refused(extract, name: str) -> None:
    with pytest.raises(SourceError, match="has a name that cannot be used"):
        extract(tarred({name: PIXELS}))


def test_two_images_of_one_name_are_refused(extract, tmp_path: Path) -> None:
    with pytest.raises(UnknownLayout, match=r"two images named 1\.jpg"):
        extract(zipped({"x/1.jpg": PIXELS, "y/1.jpg": PIXELS}), 2)


def flipped(content: bytes) -> bytes:
    return content[:5_000] + bytes([content[5_000] ^ 1]) + content[5_001:]


@pytest.mark.parametrize(
    "content",
    [
        b"<html>quota exceeded</html>",
        *(pack({name: os.urandom(10_000) for name in "abc"})[:15_000] for pack in PACKERS),
        flipped(zipped({"1.jpg": os.urandom(10_000)})),
    ],
    ids=["web page", "cut zip", "cut tar", "cut tar.gz", "flipped zip"],
)
def test_damaged_archive_is_refused(extract, content: bytes) -> None:
    with pytest.raises(SourceError, match=r"damaged|neither a zip nor a tar"):
        extract(content)

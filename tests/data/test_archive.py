"""Only images, only from the named folder, and never anything outside the target."""

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

PIXELS = b"bytes of an image"


def zipped(path: Path, names: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in names.items():
            file.writestr(name, content)
    return path


def tarred(path: Path, names: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def plain_tarred(path: Path, names: dict[str, bytes]) -> Path:
    path.write_bytes(gzip.decompress(tarred(path, names).read_bytes()))
    return path


def names_in(target: Path) -> list[str]:
    return sorted(path.name for path in target.iterdir())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_takes_the_images_of_the_named_folder(tmp_path: Path, target: Path, pack) -> None:
    names = ["b/Dog/img/1.jpg", "b/Dog/img/2.PNG", "b/Dog/readme.txt", "b/Dog/img/.3.jpg", "b/cat/img/1.jpg", "9.jpg"]
    extract_images(pack(tmp_path / "a", dict.fromkeys(names, PIXELS)), target, 2, ["puppy", "dog/img"])
    assert names_in(target) == ["1.jpg", "2.PNG"]
    assert (target / "1.jpg").read_bytes() == PIXELS


@pytest.mark.parametrize(
    ("names", "folders", "bundle", "taken"),
    [
        (["1.jpg", "x/2.jpg", "__MACOSX/._1.jpg"], [], False, ["1.jpg", "2.jpg"]),  # one set: everything
        (["preview.jpg", "x/1.jpg", "x/2.jpg"], [], False, ["1.jpg", "2.jpg"]),  # its one folder of the right count
        (["preview.jpg", "x/1.jpg", "x/2.jpg"], [], True, None),  # in a bundle, x may be any set
        (["cat/1.jpg", "cat/2.jpg", "hotdog/1.jpg", "dog2/1.jpg"], ["dog"], True, None),  # parts of names do not count
        (["dog/train/1.jpg", "dog/train/2.jpg", "dog/test/3.jpg"], ["dog"], True, ["1.jpg", "2.jpg"]),
        (["a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg"], [], False, None),  # two folders could be it
        (["dog/1.jpg", "dog/2.jpg", "d/3.jpg", "d/4.jpg"], ["cat", "d", "dog"], True, ["3.jpg", "4.jpg"]),
        (["readme.txt"], [], False, None),
    ],
)
def test_layouts(tmp_path: Path, target: Path, names, folders, bundle, taken) -> None:
    """A set of two images: what is recognised, and that anything else is never guessed."""
    path = zipped(tmp_path / "a", dict.fromkeys(names, PIXELS))
    if taken is None:
        with pytest.raises(UnknownLayout, match="the archive has no single folder"):
            extract_images(path, target, 2, folders, bundle)
    else:
        extract_images(path, target, 2, folders, bundle)
    assert names_in(target) == (taken or [])


def test_unknown_layout_lists_the_folders_with_their_counts(tmp_path: Path, target: Path) -> None:
    path = zipped(tmp_path / "a", dict.fromkeys(["x/a/1.jpg", "x/a/2.jpg", "b/1.jpg", "3.jpg"], PIXELS))
    reason = r"no single folder dog or puppy with 100 images; it has x/a \(2\), b \(1\), \. \(1\)"
    with pytest.raises(UnknownLayout, match=reason):
        extract_images(path, target, 100, ["dog", "puppy"], bundle=True)


@pytest.mark.parametrize("outer", [zipped, tarred, plain_tarred])
@pytest.mark.parametrize(("inner", "suffix"), [(zipped, ".zip"), (tarred, ".tar.gz")])
def test_archive_in_an_archive_counts_as_a_folder_of_its_name(tmp_path, target, outer, inner, suffix: str) -> None:
    """Also where a tar ends in a zip, which zipfile alone would take for that zip."""
    names = [f"{index}.jpg" for index in range(2)]
    content = inner(tmp_path / "i", dict.fromkeys(names, PIXELS)).read_bytes()
    extract_images(outer(tmp_path / "a", {"1.jpg": PIXELS, f"sets/dog{suffix}": content}), target, 2, ["dog"], True)
    assert names_in(target) == names


def test_archive_in_name_only_is_passed_over(tmp_path: Path, target: Path) -> None:
    extract_images(zipped(tmp_path / "a", {"weights.zip": b"version https://git-lfs", "1.jpg": PIXELS}), target, 1)
    assert names_in(target) == ["1.jpg"]


def test_second_level_of_archives_stays_closed(tmp_path: Path, target: Path) -> None:
    content = PIXELS
    for name in ("1.jpg", "dog.zip", "b.zip"):
        content = zipped(tmp_path / "a", {name: content}).read_bytes()
    with pytest.raises(UnknownLayout, match="it has no images"):
        extract_images(tmp_path / "a", target, 1, ["dog"], True)
    assert names_in(target) == []


@pytest.mark.parametrize("name", ["../evil.jpg", "/tmp/evil.jpg"])
def test_hostile_archive_in_an_archive_is_refused(tmp_path: Path, target: Path, name: str) -> None:
    inner = zipped(tmp_path / "i", {name: PIXELS}).read_bytes()
    with pytest.raises(SourceError, match="outside its folder"):
        extract_images(zipped(tmp_path / "a", {"dog.zip": inner}), target, 1)
    assert names_in(target) == []


def test_bomb_in_an_archive_is_stopped(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 2**20)
    bombs = dict.fromkeys(["a.zip", "b.zip"], zipped(tmp_path / "i", {"1.jpg": os.urandom(2**19)}).read_bytes())
    with pytest.raises(SourceError, match="archives inside the archive have more than 1048576 bytes"):
        extract_images(zipped(tmp_path / "a", bombs), target, 1)


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("name", ["../evil.jpg", "a/../../evil.jpg", "/tmp/evil.jpg", "..\\evil.jpg", "C:evil.jpg"])
def test_traversal_is_refused(tmp_path: Path, target: Path, pack, name: str) -> None:
    with pytest.raises(SourceError, match="outside its folder"):
        extract_images(pack(tmp_path / "a", {name: PIXELS}), target, 1)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, target: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        info = tarfile.TarInfo("1.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(SourceError, match="link or device"):
        extract_images(tmp_path / "a.tar", target, 1)
    assert list(target.iterdir()) == []


def test_link_in_a_zip_is_refused(tmp_path: Path, target: Path) -> None:
    entry = zipfile.ZipInfo("1.jpg")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(SourceError, match="link or device"):
        extract_images(tmp_path / "a.zip", target, 1)


def test_two_images_of_one_name_are_refused(tmp_path: Path, target: Path) -> None:
    with pytest.raises(SourceError, match=r"two images named 1\.jpg"):
        extract_images(zipped(tmp_path / "a", {"x/1.jpg": PIXELS, "y/1.jpg": PIXELS}), target, 2)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("MAX_MEMBERS", "members"),
        ("MAX_UNPACKED_BYTES", "members or 2 bytes"),
        ("MAX_IMAGE_BYTES", "larger"),
        ("MAX_TOTAL_BYTES", "bytes of images"),
    ],
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_limits_hold(tmp_path: Path, target: Path, monkeypatch, pack, limit: str, reason: str) -> None:
    monkeypatch.setattr(archive, limit, 2)
    with pytest.raises(SourceError, match=reason):
        extract_images(pack(tmp_path / "a", {f"{index}.jpg": PIXELS for index in range(3)}), target, 3)


def test_bomb_is_stopped_by_what_comes_out_not_by_what_it_promises(tmp_path: Path, target: Path, monkeypatch) -> None:
    """4 MiB of zeros behind a header that promises a thousand bytes."""
    monkeypatch.setattr(archive, "MAX_IMAGE_BYTES", 2**20)
    bomb = zipped(tmp_path / "a", {"1.jpg": bytes(2**22)})
    content = bomb.read_bytes()
    bomb.write_bytes(content.replace((2**22).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(SourceError, match=r"larger|damaged"):
        extract_images(bomb, target, 1)
    assert names_in(target) == []


def test_what_is_no_archive_is_refused(tmp_path: Path, target: Path) -> None:
    (tmp_path / "a").write_text("<html>quota exceeded</html>")
    with pytest.raises(SourceError, match="neither a zip nor a tar"):
        extract_images(tmp_path / "a", target, 1)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_truncated_archive_is_refused(tmp_path: Path, target: Path, pack) -> None:
    path = pack(tmp_path / "a", {f"{index}.jpg": os.urandom(10_000) for index in range(3)})
    path.write_bytes(path.read_bytes()[:15_000])
    with pytest.raises(SourceError, match=r"damaged|neither"):
        extract_images(path, target, 3)


def test_archive_with_a_flipped_byte_is_refused(tmp_path: Path, target: Path) -> None:
    path = zipped(tmp_path / "a", {"1.jpg": os.urandom(10_000)})
    content = bytearray(path.read_bytes())
    content[5_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match="damaged"):
        extract_images(path, target, 1)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_header_that_would_fill_the_memory_is_refused(tmp_path: Path, target: Path, kind: bytes) -> None:
    """tarfile would read all of it at once, to find out a name."""
    info = tarfile.TarInfo("long")
    info.type, info.size = kind, archive.MAX_HEADER_BYTES + 1
    (tmp_path / "a").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2 * archive.MAX_HEADER_BYTES))
    with pytest.raises(SourceError, match="longer headers than any set"):
        extract_images(tmp_path / "a", target, 1)


@pytest.mark.parametrize("name", ["a\x07.png", "d\udce9.png", f"{'n' * 260}.png"])
def test_name_that_no_file_can_have_is_refused(tmp_path: Path, target: Path, name: str) -> None:
    with pytest.raises(SourceError, match="has a name that cannot be used"):
        extract_images(tarred(tmp_path / "a", {name: PIXELS}), target, 1)

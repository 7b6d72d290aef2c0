"""Only images, only from the named folder, and never anything outside the target."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from data import archive
from data.archive import SourceError, extract_images

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


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_takes_the_images_of_the_named_folder(tmp_path: Path, target: Path, pack) -> None:
    names = ["b/dog/img/1.jpg", "b/dog/img/2.PNG", "b/dog/readme.txt", "b/dog/img/.3.jpg", "b/cat/img/1.jpg", "9.jpg"]
    extract_images(pack(tmp_path / "a", dict.fromkeys(names, PIXELS)), ["puppy", "dog/img"], target)
    assert sorted(path.name for path in target.iterdir()) == ["1.jpg", "2.PNG"]
    assert (target / "1.jpg").read_bytes() == PIXELS


def test_part_of_a_folder_name_does_not_count(tmp_path: Path, target: Path) -> None:
    extract_images(zipped(tmp_path / "a", {"hotdog/1.jpg": PIXELS, "dog2/1.jpg": PIXELS}), ["dog"], target)
    assert list(target.iterdir()) == []


def test_takes_all_images_if_no_folder_is_named(tmp_path: Path, target: Path) -> None:
    extract_images(zipped(tmp_path / "a", {"1.jpg": PIXELS, "x/2.jpg": PIXELS, "__MACOSX/._1.jpg": b""}), None, target)
    assert sorted(path.name for path in target.iterdir()) == ["1.jpg", "2.jpg"]


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("name", ["../evil.jpg", "a/../../evil.jpg", "/tmp/evil.jpg", "..\\evil.jpg", "C:evil.jpg"])
def test_traversal_is_refused(tmp_path: Path, target: Path, pack, name: str) -> None:
    with pytest.raises(SourceError, match="outside its folder"):
        extract_images(pack(tmp_path / "a", {name: PIXELS}), None, target)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, target: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        info = tarfile.TarInfo("1.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(SourceError, match="link or device"):
        extract_images(tmp_path / "a.tar", None, target)
    assert list(target.iterdir()) == []


def test_link_in_a_zip_is_refused(tmp_path: Path, target: Path) -> None:
    entry = zipfile.ZipInfo("1.jpg")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(SourceError, match="link or device"):
        extract_images(tmp_path / "a.zip", None, target)


def test_two_images_of_one_name_are_refused(tmp_path: Path, target: Path) -> None:
    with pytest.raises(SourceError, match=r"two images named 1\.jpg"):
        extract_images(zipped(tmp_path / "a", {"x/1.jpg": PIXELS, "y/1.jpg": PIXELS}), None, target)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [("MAX_MEMBERS", "members"), ("MAX_IMAGES", "images"), ("MAX_IMAGE_BYTES", "larger"), ("MAX_TOTAL_BYTES", "bytes")],
)
def test_limits_hold(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch, limit: str, reason: str) -> None:
    monkeypatch.setattr(archive, limit, 2)
    with pytest.raises(SourceError, match=reason):
        extract_images(zipped(tmp_path / "a", {f"{index}.jpg": PIXELS for index in range(3)}), None, target)


def test_bomb_is_stopped_by_what_comes_out_not_by_what_it_promises(tmp_path: Path, target: Path) -> None:
    """65 MiB of zeros behind a header that is read only after they were counted."""
    bomb = zipped(tmp_path / "a", {"1.jpg": bytes(archive.MAX_IMAGE_BYTES + 1)})
    assert bomb.stat().st_size < 100_000
    with pytest.raises(SourceError, match="larger"):
        extract_images(bomb, None, target)


def test_what_is_no_archive_is_refused(tmp_path: Path, target: Path) -> None:
    (tmp_path / "a").write_text("<html>quota exceeded</html>")
    with pytest.raises(SourceError, match="neither a zip nor a tar"):
        extract_images(tmp_path / "a", None, target)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_truncated_archive_is_refused(tmp_path: Path, target: Path, pack) -> None:
    path = pack(tmp_path / "a", {f"{index}.jpg": os.urandom(10_000) for index in range(3)})
    path.write_bytes(path.read_bytes()[:15_000])
    with pytest.raises(SourceError, match=r"damaged|neither"):
        extract_images(path, None, target)


def test_archive_with_a_flipped_byte_is_refused(tmp_path: Path, target: Path) -> None:
    path = zipped(tmp_path / "a", {"1.jpg": os.urandom(10_000)})
    content = bytearray(path.read_bytes())
    content[5_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match="damaged"):
        extract_images(path, None, target)

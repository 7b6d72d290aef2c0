"""Feature extraction: clean-fid's resizing bit for bit, batch independence, files that cannot be mixed up."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common.console import UserError
from metrics import features
from metrics.features import extract, load, resize_8bit, resize_clean, save


def photos(n: int, side: int = 24) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


class Pooling(torch.nn.Module):
    """In place of Inception where only the loop around it is tested."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1:] == (3, 299, 299)
        return torch.nn.functional.adaptive_avg_pool2d(x, (16, 43)).flatten(1)[:, :2048]


@pytest.mark.parametrize("side", [32, 299, 400])
def test_resizing_equals_clean_fid_bit_for_bit(side: int) -> None:
    import networks.torchvision_compat  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cleanfid.resize import build_resizer
    image = photos(1, side)[0]
    assert np.array_equal(resize_clean(image), build_resizer("clean")(image))


def test_resizing_for_vgg_equals_torchvision_bit_for_bit() -> None:
    import networks.torchvision_compat  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchvision.transforms import Resize
    image = photos(1, 256)[0]
    assert np.array_equal(resize_8bit(image), np.asarray(Resize([224, 224])(Image.fromarray(image)), np.float32))


def test_batches_change_nothing_and_keep_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "load_network", lambda network: (Pooling(), resize_clean))
    images = photos(7)
    whole = extract(images, batch=7)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(extract(images, batch=1), whole, rtol=1e-6)
    np.testing.assert_allclose(extract(images[::-1], batch=3), whole[::-1], rtol=1e-6)


def test_what_cannot_be_extracted_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for images in (np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 3, 8, 8), np.uint8), photos(0)):
        with pytest.raises(UserError, match="uint8"):
            extract(images)
    with pytest.raises(UserError, match=r"resnet.*inception, vgg16fc2"):
        extract(photos(1), "resnet")
    monkeypatch.chdir(tmp_path)  # where no weights were fetched
    with pytest.raises(UserError, match=r"vgg16fc2.*fetch"):
        extract(photos(1), "vgg16fc2")


def test_a_file_comes_back_with_its_provenance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(features, "weights_digest", lambda network: f"digest of {network}")
    source = tmp_path / "samples.npz"
    source.write_bytes(b"anything")
    values = np.random.default_rng(0).random((3, 2048)).astype(np.float32)
    save(tmp_path / "f.npz", values, "inception", source, {"dataset": "faces"})
    found = load(tmp_path / "f.npz")
    assert np.array_equal(found.values, values)
    assert len(found.meta.pop("source")) == 64
    expected = {"n": 3, "network": "inception", "weights": "digest of inception", "samples": {"dataset": "faces"}}
    assert found.meta == expected


@pytest.mark.parametrize(
    ("changes", "message"), [({"nan": True}, "NaN"), ({"n": 5}, "meta says"), ({"network": "vgg16fc2"}, "meta says")]
)
def test_features_that_cannot_be_right_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    values = np.full((4, 2048), np.nan if changes.pop("nan", False) else 0, np.float32)
    meta = {"n": 4, "network": "inception", "weights": "w", "source": "s", "samples": {}, **changes}
    np.savez(tmp_path / "f.npz", features=values, meta=np.array(json.dumps(meta)))
    with pytest.raises(UserError, match=rf"f\.npz .*{message}"):
        load(tmp_path / "f.npz")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    for what, read in (("sample", features.read_sample_file), ("feature", load)):
        path.unlink(missing_ok=True)
        with pytest.raises(UserError, match=r"s\.npz does not exist"):
            read(path)
        for content in (b"no zip", pickle.dumps({"images": 1})):
            path.write_bytes(content)
            with pytest.raises(UserError, match=rf"s\.npz is not a {what} file"):
                read(path)
        np.savez(path, other=photos(1))
        with pytest.raises(UserError, match=rf"s\.npz is not a {what} file"):
            read(path)

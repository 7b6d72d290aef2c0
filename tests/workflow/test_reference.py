"""What is saved for a repository, and what is rendered from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from common.files import read_json, write_json, write_sealed
from tests.workflow.conftest import open_at, run_record
from workflow.rendering import figures, notation, published, reference, site, statistics, tables
from workflow.rendering.results import Results, open_results
from workflow.rendering.verify import SavedLinks

PICTURES = ("figure2", "figure3", "interpolation", "memorisation")


@pytest.fixture(scope="module")
def rendered(illustrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset's results with tables and figures, and prepared/."""
    root = Path(shutil.copytree(illustrated, tmp_path_factory.mktemp("reference") / "finished"))
    results = open_at(root)
    for number in tables.filled(results):
        paths = (results.folder / "tables" / f"table{number}.{suffix}" for suffix in ("csv", "md", "tex"))
        notation.write(tables.build(number, results), *paths)
    published.write(results, results.folder / "tables/published.csv", results.folder / "tables/published.md")
    statistics.write(results, results.folder / "statistics.csv", results.folder / "statistics.md")
    for name in ("figure2", "curves"):
        files = (results.folder / "figures" / f"{name}.{suffix}" for suffix in ("png", "pdf"))
        figures.draw(name, results, *files)
    return root


@pytest.fixture
def finished(rendered: Path, tmp_path: Path) -> Path:
    return shutil.copytree(rendered, tmp_path / "finished")


def forbid_copies(root: Path) -> None:
    path = root / "prepared/dots/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "shareable": False}))


def saved(root: Path) -> Path:
    reference.save(open_at(root), root / "saved")
    return root / "saved"


@pytest.fixture(scope="module")
def kept(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is saved of the results, with its page."""
    folder = tmp_path_factory.mktemp("kept") / "saved"
    reference.save(open_at(rendered), folder)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_pictures_are_saved_where_every_licence_allows_it(kept: Path) -> None:
    names = files(kept)
    assert {"figures/figure2.png", "figures/curves.png", "report.html", "metrics.csv"} <= names.keys()
    assert {"pictures/dots/about.json", "pictures/rings/vanilla_imle/samples.webp"} <= names.keys()


def test_measured_rows_without_pictures_are_not_called_untrained(finished: Path) -> None:
    """Samples made elsewhere have no run.json."""
    forbid_copies(finished)
    results = open_results(saved(finished))
    reasons = {row.id: results.why("dots", row) for row in results.ranked}
    assert set(reasons.values()) == {
        "n/a (no licence allows copies of these photographs, or of images made from them)"
    }, reasons


def test_of_a_set_that_may_not_be_copied_no_picture_is_saved(finished: Path) -> None:
    """Neither as a file nor in the page nor in a figure."""
    forbid_copies(finished)
    names = files(saved(finished))
    results = Results(finished / "results", finished / "prepared", shareable=True)
    for name in PICTURES:
        assert [band.titles for band in figures.IMAGES[name](results)[0]] == [("rings",)]
        figures.draw(name, results, finished / "f.png", finished / "f.pdf")
        assert (finished / "f.png").read_bytes() == names[f"figures/{name}.png"]
        assert (finished / "f.pdf").read_bytes() == names[f"figures/{name}.pdf"]
    assert results.attributions()[-1] == "Not shown, because no licence allows copies: dots."
    assert {"figures/curves.png", "tables/table1.md", "prepared/dots/manifest.json", "report.html"} <= names.keys()
    pictures = {name for name in names if name.endswith((".png", ".pdf", ".webp", ".npz", ".npy", ".safetensors"))}
    drawn = {f"figures/{name}.{suffix}" for name in (*PICTURES, "curves") for suffix in ("png", "pdf")}
    assert {name for name in pictures if not name.startswith("pictures/rings/")} == drawn
    page = names["report.html"].decode()
    assert page.count("data:image/webp") == len([name for name in pictures if name.endswith(".webp")]) > 0
    assert "no licence allows copies of these photographs" in page


def test_rendering_gives_the_saved_tables_curves_and_page_byte_for_byte(kept: Path, tmp_path: Path) -> None:
    """And nothing of an earlier rendering stays."""
    (tmp_path / "rendered/runs/withdrawn").mkdir(parents=True)
    (tmp_path / "rendered/figures").mkdir()
    (tmp_path / "rendered/figures/figure3.png").write_text("of an earlier rendering")
    reference.render(kept, tmp_path / "rendered")
    assert not (tmp_path / "rendered/runs/withdrawn").exists()
    before, after = files(kept), files(tmp_path / "rendered")
    same = [name for name in before if name.startswith(("tables/", "figures/", "pictures/", "report.html"))]
    assert len(same) > 30
    assert [name for name in same if before[name] != after[name]] == []
    listed = site.index([tmp_path / "rendered"])
    assert '<a href="rendered/report.html">demo</a>' in listed and "<strong>Adaptive IMLE</strong> 81.0" in listed


def test_a_figure_without_pictures_prints_why(finished: Path, tmp_path: Path) -> None:
    forbid_copies(finished)
    out = tmp_path / "rendered"
    reference.render(saved(finished), out)
    bands, _ = figures.figure2(Results(out, out / "prepared"))
    assert all(
        line.blocks[0].startswith("n/a (no licence allows copies of these photographs") for line in bands[0].lines[:5]
    )
    for name in PICTURES:
        with Image.open(out / "figures" / f"{name}.png") as image:
            assert image.size[0] > 100


def test_saving_again_removes_pictures_that_may_no_longer_be_copied_and_withdrawn_runs(finished: Path) -> None:
    """The README, which is written by hand, stays."""
    folder = saved(finished)
    (folder / "README.md").write_text("how it was measured")
    assert "pictures/dots/training.webp" in files(folder)
    forbid_copies(finished)
    shutil.copytree(finished / "results/runs/dots/mixdl", finished / "results/runs/dots/withdrawn")
    (finished / "results/tables/table9.md").write_text("of a preset that had this table")
    names = files(saved(finished)).keys()
    assert not [name for name in names if name.startswith("pictures/dots/") or "withdrawn" in name or "table9" in name]
    assert {"README.md", "runs/dots/mixdl/seed0/full/run.json", "pictures/rings/training.webp"} <= names


def links(folder: Path) -> SavedLinks:
    found = SavedLinks(Results(folder, folder / "prepared"))
    found.walk()
    return found


def test_saved_results_that_agree_are_intact_and_every_run_is_listed(kept: Path) -> None:
    found = links(kept)
    assert found.broken == []
    assert found.counts["pages"] == 1
    assert len(found.listing()) == found.counts["runs"] == 6
    assert found.listing()[0].endswith("adaptive_imle/dots/full/seed0: commit 0123456, sources changed since")
    assert found.listing()[3].endswith("mixdl/dots/full/seed0: commit 0123456 + changes, sources present")


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("tables/table1.md", "81.0", "80.0", "table1.md is not what metrics.csv renders to"),
        ("metrics.csv", ",0.9,", ",0.8,", "table2.csv is not what metrics.csv renders to"),
        ("metrics.csv", run_record("dots", "mixdl")["run_hash"], "0f3b", "holds numbers of another run than"),
        ("report.html", '"mean": 81.0', '"mean": 80.0', "report.html is not what metrics.csv renders to"),
        ("report.html", "<strong>81.0</strong>", "<strong>80.0</strong>", "report.html is not what metrics.csv"),
        ("tables/published.md", "81.0", "80.0", "published.md is not what metrics.csv renders to"),
        (
            "report.html",
            "image/webp;base64,UklGR",
            "image/webp;base64,AAAAA",
            "shows other pictures than pictures/dots/",
        ),
        ("runs/dots/mixdl/seed0/full/run.json", '"threads": 1', '"threads": 2', "run.json was damaged or edited"),
    ],
)
def test_a_broken_link_of_saved_results_is_named(
    kept: Path, tmp_path: Path, file: str, old: str, new: str, sentence: str
) -> None:
    folder = shutil.copytree(kept, tmp_path / "saved")
    path = folder / file
    text = path.read_text()
    path.write_text(text.replace(old, new, 1) if old == ",0.9," else text.replace(old, new))
    assert path.read_text() != text
    assert any(sentence in broken for broken in links(folder).broken)


@pytest.mark.parametrize(
    ("write", "sentence"), [(write_json, "was damaged or edited"), (write_sealed, "do not give its run_hash")]
)
def test_no_record_escapes_the_check_by_lacking_keys(kept: Path, tmp_path: Path, write, sentence: str) -> None:
    folder = shutil.copytree(kept, tmp_path / "saved")
    path = folder / "runs/dots/mixdl/seed0/full/run.json"
    record = {key: value for key, value in read_json(path).items() if key not in ("digest", "version")}
    write(path, {**record, "steps": 9000})
    assert any(sentence in broken for broken in links(folder).broken)

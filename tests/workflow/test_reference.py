"""What is saved for a repository, and what is rendered from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from workflow.scripts import figures, published, reference, tables
from workflow.scripts.numbers import read_metrics
from workflow.scripts.settings import load
from workflow.scripts.sources import Sources

PICTURES = ("figure2", "figure3", "interpolation", "memorisation")


@pytest.fixture(scope="module")
def rendered(benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset's results with tables and figures, its settings where the pipeline keeps them, and prepared/."""
    root = tmp_path_factory.mktemp("reference") / "finished"
    shutil.copytree(benchmark, root)
    results = root / "results"
    shutil.move(root / "settings.json", results / "rendering.json")
    settings = load(results / "rendering.json")
    frame = read_metrics(results / "metrics.csv", settings)
    for number in tables.CONTENTS:
        paths = (results / "tables" / f"table{number}.{suffix}" for suffix in ("csv", "md", "tex"))
        tables.write(tables.build(number, frame, settings), settings, *paths)
    sources = Sources(settings, results, root / "prepared")
    rows = published.build(settings, sources, frame)
    published.write(rows, settings, results / "tables/published.csv", results / "tables/published.md")
    for name in ("figure2", "curves"):
        figures.draw(name, sources, results / "figures" / f"{name}.png", results / "figures" / f"{name}.pdf")
    (results / "report.html").write_text("a page with pictures")
    return root


@pytest.fixture
def finished(rendered: Path, tmp_path: Path) -> Path:
    return shutil.copytree(rendered, tmp_path / "finished")


def forbid_copies(root: Path) -> None:
    path = root / "prepared/dots/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "shareable": False}))


def saved(root: Path) -> Path:
    reference.save(root / "results", root / "prepared", root / "saved")
    return root / "saved"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_pictures_are_saved_where_every_licence_allows_it(finished: Path) -> None:
    names = files(saved(finished))
    assert {"figures/figure2.png", "figures/curves.png", "report.html", "metrics.csv"} <= names.keys()


def test_one_set_that_may_not_be_copied_keeps_every_picture_out(finished: Path) -> None:
    forbid_copies(finished)
    names = files(saved(finished))
    assert {"figures/curves.png", "tables/table1.md", "prepared/dots/manifest.json"} <= names.keys()
    pictures = {name for name in names if name.endswith((".png", ".pdf", ".npz", ".npy", ".html"))}
    assert pictures == {"figures/curves.png", "figures/curves.pdf"}
    assert not any(name.endswith(".safetensors") for name in names)


def test_rendering_gives_the_saved_tables_and_curves_byte_for_byte(finished: Path, tmp_path: Path) -> None:
    folder = saved(finished)
    reference.render(folder, tmp_path / "rendered")
    before, after = files(folder), files(tmp_path / "rendered")
    same = [name for name in before if name.startswith(("tables/", "figures/"))]
    assert len(same) == 15  # three tables in three notations, `published` in two, two figures in two
    assert [name for name in same if before[name] != after[name]] == []


def test_a_figure_without_pictures_prints_why(finished: Path, tmp_path: Path, monkeypatch) -> None:
    forbid_copies(finished)
    printed: list[str] = []
    monkeypatch.setattr(figures.Sheet, "placeholder", lambda self, text, *place: printed.append(text))
    out = tmp_path / "rendered"
    reference.render(saved(finished), out)
    assert any(text.startswith("n/a (no licence allows copies of these photographs") for text in printed)
    for name in PICTURES:
        with Image.open(out / "figures" / f"{name}.png") as image:
            assert image.size[0] > 100
    page = (out / "report.html").read_text()
    assert "a page with pictures" not in page
    assert page.count("data:image/png;base64,") == len(PICTURES) + 1


def test_what_an_earlier_rendering_left_does_not_stay(finished: Path, tmp_path: Path) -> None:
    folder, out = saved(finished), tmp_path / "rendered"
    reference.render(folder, out)
    (out / "runs/withdrawn").mkdir()
    (out / "figures/figure3.png").write_text("a placeholder of another day")
    reference.render(folder, out)
    assert not (out / "runs/withdrawn").exists()
    assert (out / "figures/figure3.png").read_bytes().startswith(b"\x89PNG")

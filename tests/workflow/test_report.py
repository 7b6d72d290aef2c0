"""The report: one page that loads nothing from anywhere and holds every table, figure and run."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.files import read_json, write_json
from workflow.rendering import figures, report
from workflow.rendering.results import Results

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects tags and attributes, and checks that every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag, f"</{tag}> out of order"


@pytest.fixture(scope="module")
def html(benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = Path(shutil.copytree(benchmark, tmp_path_factory.mktemp("report") / "benchmark"))
    (root / "results/figures").mkdir()
    for name in figures.IMAGES:
        Image.new("RGB", (8, 8)).save(root / f"results/figures/{name}.png")
    return report.page(Results(root / "results", root / "prepared"))


def test_it_is_well_formed(html):
    assert Page(html).stack == []


def test_it_loads_nothing(html):
    """No element fetches anything: every source is a data URI, every link a place on the page."""
    for tag, attributes in Page(html).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/png;base64,")
        if "href" in attributes:
            assert attributes["href"].startswith("#")
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", html)


def test_every_link_has_its_place(html):
    tags = Page(html).tags
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    links = {attributes["href"][1:] for tag, attributes in tags if tag == "a"}
    assert links <= ids and {"table1", "table2", "table3", "figure2", "figure3", "curves", "runs"} <= links


def test_it_holds_tables_with_captions_and_bold(html):
    for part in (
        "<b>Table 1.</b> FID and LPIPS backtracking score. Preset demo",
        "<b>Table 2.</b> Precision and recall.",
        "<b>Table 3.</b> Adaptive IMLE against vanilla IMLE",
        "<strong>81.0</strong>",
        "90% in this preset &amp; others",
        "a control has no latent code to optimise",
    ):
        assert part in html


def test_it_holds_the_figures_and_names_the_missing(html):
    assert html.count("data:image/png;base64,") == 4
    assert html.count("Not drawn in this run") == 2, "training curves and ranking"
    assert html.count("OpenDots project (https://dots.example), CC BY-SA 4.0") >= 5, "under each figure, and as licence"


def test_it_tells_where_numbers_come_from(html):
    for part in (
        "snakemake --cores 2 --configfile config/demo.yaml",
        "These are not the paper’s numbers.",
        "0123456 + changes",
        "c0ffeec0",
        "50505050 (changed since)",
        "Numbers of commits 0123456, 0123456 + changes; the sources of",
        "1 min 28 s",
        "912 MiB",
        "AMD EPYC, 1 thread",
        "torch 2.13.0",
    ):
        assert part in html


def test_it_lists_every_number_but_the_single_images(html):
    assert "lpips_backtracking_image" not in html
    assert html.count("inception-clean-s100") > 0, "KID is in no table of the paper, but here"


def test_it_says_what_was_read_of_samples_made_elsewhere(make, html):
    results = make()
    path = results.folder / "samples/dots/fake_clr/seed0.npz"
    read = {"folder": "data/external/fake_clr/dots", "found": 30, "taken": 24}
    read |= {"left_out": ["sub-folders are not read: <old>"], "warnings": ["24 of 24 samples are JPEG"]}
    np.savez(path, images=np.load(path)["images"], meta=np.array(json.dumps({"intake": read})))
    text = report.page(results)
    for part in (
        "<dt>fake_clr, dots</dt>",
        "data/external/fake_clr/dots: samples found: 30, taken: 24",
        "data/external/fake_clr/dots: left out: sub-folders are not read: &lt;old&gt;",
        "data/external/fake_clr/dots: warning: 24 of 24 samples are JPEG",
    ):
        assert part in text
        assert part not in html


def test_hostile_names_are_escaped(make):
    text = report.page(make(lambda frame: frame.replace("fake_clr", "<script>alert(1)</script>")))
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text


def test_without_runs_it_still_renders(make, tmp_path):
    results = make()
    shutil.rmtree(results.folder / "runs")
    text = report.page(Results(results.folder, tmp_path / "none"))
    assert "There is no run.json." in text and "not prepared on this machine" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(48.2, "48 s"), (59.6, "1 min 00 s"), (725, "12 min 05 s"), (12000, "3 h 20 min")]
)
def test_durations(seconds, text):
    assert report.duration(seconds) == text


def test_the_page_of_your_own_pictures_begins_with_the_folder_and_shows_samples_before_numbers(
    benchmark: Path, tmp_path: Path
) -> None:
    """Names of files are text, never HTML."""
    root = Path(shutil.copytree(benchmark, tmp_path / "benchmark"))
    preset = read_json(root / "results/config.json")
    write_json(root / "results/config.json", {**preset, "datasets": ["mine"], "skip": [], "tables": {}})
    lines = {"changed": ["not square: 2 (a <b>.png)"], "left_out": ["HEIC: 1 (c&d.heic)"]}
    write_json(root / "results/intake.json", {"folder": "/my/{pictures}", "found": "12 files found", **lines})
    html = report.page(Results(root / "results", root / "prepared"))
    assert Page(html).stack == []
    assert re.findall(r'<section id="(\w+)"', html)[:3] == ["own", "figures", "tables"]
    for text in ("Your own pictures", "/my/{pictures}", "12 files found", "a &lt;b&gt;.png", "c&amp;d.heic"):
        assert text in html

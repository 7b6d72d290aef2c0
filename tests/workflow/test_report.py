"""The report: one page that loads nothing from anywhere and holds every number, picture and run."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from common.files import read_json, write_json
from tests.workflow.conftest import open_at, run_record
from workflow.rendering import origin, report
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


@pytest.fixture
def html(illustrated: Path) -> str:
    return (illustrated / "results/report.html").read_text()


def without_scripts(html: str) -> str:
    return re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


def test_it_is_well_formed(html):
    assert Page(html).stack == []


def test_it_loads_nothing(html):
    """No element fetches anything: every picture is a data URI, every link a place on the page or a run.json."""
    for tag, attributes in Page(html).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img")
        assert "src" not in attributes
        if "href" in attributes:
            assert re.fullmatch(r"#.*|runs/.*/run\.json", attributes["href"])
    page = without_scripts(html)
    assert set(re.findall(r"url\((.{16})", page)) == {"data:image/webp;"}
    assert "@import" not in page
    assert len(html) < 6_000_000


def test_every_link_has_its_place_and_every_cell_an_address(illustrated, html):
    tags = Page(html).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    links = {attributes["href"] for tag, attributes in tags if tag == "a"}
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert {"dots-adaptive_imle", "dots-adaptive_imle-fid", "rings-floor-fid", "samples-dots-mixdl"} <= set(ids)
    assert all((illustrated / "results" / link).is_file() for link in links if not link.startswith("#"))


def test_the_table_holds_every_number_between_its_controls(html):
    body = without_scripts(html)
    rows = re.findall(r'<tr id="dots-(\w+)"', body)
    assert rows[:2] == ["control_real", "floor"] and rows[-1] == "control_noise"
    records = json.loads(re.search(r'id="data">(.*?)</script>', html)[1])
    shown = set(re.findall(r'<td id="(\S+)"', body))
    assert shown == {f"{one['dataset']}-{one['method']}-{one['metric']}" for one in records}
    for part in (
        "<strong>81.0</strong>",
        "90% in this preset &amp; others",
        "a control has no latent code to optimise",
    ):
        assert part in body


def test_it_tells_where_numbers_come_from(html):
    for part in (
        "snakemake --cores 2 --configfile config/demo.yaml",
        "These are not the paper’s numbers.",
        "0123456 + changes",
        run_record("dots", "mixdl")["config_hash"][:8],
        "50505050 (changed since)",
        "Numbers of commits 0123456, 0123456 + changes (version 0.4.0); the sources of",
        "1 min 28 s",
        "912 MiB",
        "AMD EPYC, 1 thread",
        "torch 2.13.0",
        "Few-shot image synthesis benchmark, preset demo (32 px), protocol version 1, commits 0123456",
        "dots sha256 da7ada7ada7ada7a",
    ):
        assert part in html


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
    assert origin.duration(seconds) == text


def test_the_page_of_your_own_pictures_begins_with_the_folder_and_shows_samples_before_numbers(
    benchmark: Path, tmp_path: Path
) -> None:
    """Names of files are text, never HTML."""
    root = Path(shutil.copytree(benchmark, tmp_path / "benchmark"))
    preset = read_json(root / "results/config.json")
    write_json(root / "results/config.json", {**preset, "datasets": ["mine"], "skip": [], "tables": {}})
    lines = {"changed": ["not square: 2 (a <b>.png)"], "left_out": ["HEIC: 1 (c&d.heic)"]}
    write_json(root / "results/intake.json", {"folder": "/my/{pictures}", "found": "12 files found", **lines})
    html = report.page(open_at(root))
    assert Page(html).stack == []
    assert re.findall(r'<section id="(\w+)"', html)[:3] == ["own", "samples", "results"]
    for text in ("Your own pictures", "/my/{pictures}", "12 files found", "a &lt;b&gt;.png", "c&amp;d.heic"):
        assert text in html

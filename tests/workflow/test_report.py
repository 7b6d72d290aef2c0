"""The report: one page that loads nothing from anywhere and holds every table, figure and run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest
from PIL import Image

from workflow.scripts import figures, numbers, report
from workflow.scripts.settings import load
from workflow.scripts.sources import Sources

ROOT = Path(__file__).parents[2]
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
    settings = load(root / "settings.json")
    sources = Sources(settings, root / "results", root / "prepared")
    (root / "results/figures").mkdir()
    for name in figures.SHEETS:
        Image.new("RGB", (8, 8)).save(root / f"results/figures/{name}.png")
    return report.page(settings, sources, numbers.read_metrics(root / "results/metrics.csv", settings))


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
        "Rings &amp; 50% bars",
        "a control has no latent code to optimise",
    ):
        assert part in html


def test_it_holds_the_figures_and_names_the_missing(html):
    assert html.count("data:image/png;base64,") == 4
    assert html.count("Not drawn in this run") == 1, "the training curves"
    assert html.count("OpenDots project (https://dots.example), CC BY-SA 4.0") >= 5, "under each figure, and as licence"


def test_it_tells_where_numbers_come_from(html):
    for part in (
        "snakemake --cores 2 --configfile config/demo.yaml",
        "These are not the paper’s numbers.",
        "0123456 + changes",
        "c0ffeec0",
        "1 min 28 s",
        "912 MiB",
        "AMD EPYC, 1 thread",
        "torch 2.13.0",
    ):
        assert part in html


def test_it_lists_every_number_but_the_single_images(html):
    assert "lpips_backtracking_image" not in html
    assert html.count("inception-clean-s100") > 0, "KID is in no table of the paper, but here"


def test_hostile_titles_are_escaped(benchmark, tmp_path):
    text = (benchmark / "settings.json").read_text().replace("Adaptive IMLE", "<script>alert(1)</script>")
    (tmp_path / "settings.json").write_text(text)
    settings = load(tmp_path / "settings.json")
    sources = Sources(settings, benchmark / "results", benchmark / "prepared")
    page = report.page(settings, sources, numbers.read_metrics(benchmark / "results/metrics.csv", settings))
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page


def test_without_runs_it_still_renders(benchmark, tmp_path):
    shutil.copy(benchmark / "results/metrics.csv", tmp_path)
    command = [
        *(sys.executable, "-m", "workflow.scripts.report", "--settings", benchmark / "settings.json"),
        *("--results", tmp_path, "--prepared", tmp_path / "none", "--out", tmp_path / "report.html"),
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    page = (tmp_path / "report.html").read_text()
    assert "No training record is at hand." in page and "not prepared on this machine" in page


@pytest.mark.parametrize(
    ("seconds", "text"), [(48.2, "48 s"), (59.6, "1 min 00 s"), (725, "12 min 05 s"), (12000, "3 h 20 min")]
)
def test_durations(seconds, text):
    assert report.duration(seconds) == text


WILDCARDS = {
    "workflow": [{}],
    "report": [{}],
    "table": [{"number": number} for number in "123"],
    "figure": [{"figure": name} for name in report.FIGURES],
    "published": [{}],
}


@pytest.mark.parametrize("preset", ["demo", "paper"])
@pytest.mark.parametrize("name", sorted(WILDCARDS))
def test_captions_of_the_snakemake_report(name, preset):
    """Every caption renders as Snakemake renders it, names the preset, and warns unless it is of published scale."""
    config = {
        "preset": preset,
        "resolution": 32,
        "seeds": [0],
        "datasets": ["dots"],
        "sampling": {"n": 24},
        "metrics": {
            "precision_recall": ["inception-k5-n24"],
            "backtracking": {"net": "alex", "steps": 50, "restarts": 3},
        },
    }
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((ROOT / f"workflow/captions/{name}.rst").read_text())
    for wildcards in WILDCARDS[name]:
        snakemake = SimpleNamespace(config=config, wildcards=SimpleNamespace(**wildcards))
        text = template.render(snakemake=snakemake)
        assert preset in text
        if name != "report":
            assert ("Not comparable" in text) == (preset == "demo")


def test_there_is_no_caption_without_a_use():
    assert {path.stem for path in (ROOT / "workflow/captions").glob("*.rst")} == {*WILDCARDS, "figure1"}

"""`snakemake --report`: Snakemake's own page of results, which the captions in workflow/captions/ are written for."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path("results/smoke")
TABLES = {
    "table1": "FID and LPIPS backtracking score",
    "table2": "Precision and recall",
    "table3": "Adaptive IMLE against vanilla IMLE",
    "published": "beside the value of the ICML 2023",
}
FIGURES = {
    "figure2": "Uncurated samples",
    "figure3": "LPIPS backtracking",
    "interpolation": "Each row moves between two random latent codes",
    "memorisation": "above its nearest training image",
    "curves": "Every scalar that a method logs",
}


@pytest.fixture(scope="module")
def page(
    smoke: Path,
    snakemake: Callable[..., Any],
    no_network: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The page as `snakemake --report` writes it with the network denied."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    done = snakemake(smoke, "--report", str(path), prefix=no_network)
    assert done.returncode == 0, done.stdout + done.stderr
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results(page: str) -> dict[str, dict[str, Any]]:
    """What the page lists: per output file its caption as HTML and its content as a data URI."""
    return assigned(page, "results")


def assigned(page: str, variable: str) -> Any:
    """The JSON value that one of the page's own scripts gives to a variable; the libraries' scripts have no id."""
    for script in re.findall(r"<script id=.*?>(.*?)</script>", page, re.DOTALL):
        _, found, value = script.partition(f"var {variable} = ")
        if found:
            return json.JSONDecoder().raw_decode(value)[0]
    pytest.fail(f"the page defines no {variable}")


def test_it_lists_every_table_every_figure_and_our_report(results: dict[str, dict[str, Any]]) -> None:
    tables = {str(RESULTS / "tables" / f"{name}.md") for name in TABLES}
    figures = {str(RESULTS / "figures" / f"{name}.png") for name in FIGURES}
    assert results.keys() == tables | figures | {str(RESULTS / "report.html")}


@pytest.mark.parametrize(
    ("file", "words"),
    [(f"tables/{name}.md", words) for name, words in TABLES.items()]
    + [(f"figures/{name}.png", words) for name, words in FIGURES.items()],
)
def test_captions_say_what_is_shown_and_under_which_preset(
    results: dict[str, dict[str, Any]], file: str, words: str
) -> None:
    caption = " ".join(results[str(RESULTS / file)]["caption"].split())
    assert words in caption
    assert "Preset smoke, 32 × 32 px" in caption
    assert "Not comparable with published numbers." in caption
    assert "{{" not in caption
    assert "system-message" not in caption  # how docutils marks text that it could not parse


def test_the_front_page_names_the_preset_and_its_datasets(page: str) -> None:
    description = assigned(page, "workflow_desc")
    assert "openmoji_faces" in description
    assert "<strong>smoke</strong>" in description


def test_every_result_is_inside_the_page(smoke: Path, results: dict[str, dict[str, Any]]) -> None:
    for path, result in results.items():
        head, _, content = result["data_uri"].partition(";base64,")
        assert head.startswith("data:")
        assert base64.b64decode(content) == (smoke / path).read_bytes()


def test_no_tag_loads_anything_from_elsewhere(page: str) -> None:
    """Scripts and styles stand in the page; the libraries' own texts hold web addresses, but no tag refers to one."""
    loaded: list[str] = []

    class Loads(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            loaded.extend(value or "" for name, value in attrs if name in ("src", "href", "srcset", "data"))

    Loads().feed(page)
    assert not [address for address in loaded if not address.startswith(("data:", "#"))]

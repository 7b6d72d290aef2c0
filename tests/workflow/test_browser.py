"""The report in a real browser: headless Chromium, Debian's package, driven by Playwright."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")


@pytest.fixture
def file(illustrated: Path) -> Path:
    return illustrated / "results/report.html"


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, file):
    """Open the page; at the end of a test there was no message in the console and no request but for the page."""
    troubles: list[str] = []
    contexts = []

    def opened(**options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if asks(request.url) else None)
        page.goto(file.as_uri())
        return page

    def asks(url):
        return not url.startswith(("data:", "blob:")) and url != file.as_uri()

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


def column(page, metric, dataset="dots"):
    """The methods of a data set in the order shown, and the numbers of a column."""
    rows = page.locator(f"tbody.ranked tr[data-dataset={dataset}]:visible")
    cells = [row.locator(f"td[data-metric={metric}]").get_attribute("data-value") for row in rows.all()]
    return [row.get_attribute("data-method") for row in rows.all()], cells


def test_the_table_sorts_filters_and_exports_what_it_shows(opened, tmp_path):
    page = opened()
    head = page.locator("#results th[data-metric=fid]")
    head.get_by_role("button").click()
    methods, values = column(page, "fid")
    assert methods[0] == "adaptive_imle" and values == sorted(values, key=float)
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending" and column(page, "fid")[0] == methods[::-1]
    first, last = (
        page.locator("#results tr[data-dataset=dots]").first,
        page.locator("#results tr[data-dataset=dots]").last,
    )
    assert first.get_attribute("data-method") == "control_real" and last.get_attribute("data-method") == "control_noise"

    for label, name, value in (
        ("Data sets", "dataset", "rings"),
        ("Tracks", "track", "none"),
        ("Metrics", "metric", "recall"),
    ):
        page.get_by_text(label, exact=True).click()
        page.locator(f"input[name={name}][value={value}]").uncheck()
    assert page.locator("#results tr[data-dataset=rings]:visible").count() == 0
    assert "mixdl" not in column(page, "fid")[0], "its track is none"
    assert page.locator("#results [data-metric=recall]:visible").count() == 0
    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    download.value.save_as(tmp_path / "shown.csv")
    rows = list(csv.DictReader((tmp_path / "shown.csv").open()))
    assert {row["dataset"] for row in rows} == {"dots"} and "recall" not in {row["metric"] for row in rows}
    assert float(next(row for row in rows if (row["method"], row["metric"]) == ("adaptive_imle", "fid"))["mean"]) == 81
    page.get_by_role("button", name="Show all").click()
    expect = pytest.importorskip("playwright.sync_api").expect
    expect(page.locator("#results tr[data-dataset=rings]:visible")).to_have_count(8)  # it waits: a reset comes later


def test_the_time_of_a_row_leads_to_the_record_of_its_training(opened):
    page = opened()
    page.locator("#dots-mixdl td a").click()
    row = page.locator("#run-dots-mixdl-seed0-full")
    assert row.is_visible(), "its table was closed"
    assert row.get_by_role("link").get_attribute("href") == "runs/dots/mixdl/seed0/full/run.json"


def test_a_sample_opens_beside_its_nearest_training_image(opened):
    page = opened()
    sheet = page.locator("#samples-dots-mixdl .sheet").first
    page.locator("#order").select_option("copied")
    ratios = [float(button.get_attribute("data-ratio")) for button in sheet.get_by_role("button").all()]
    assert ratios == sorted(ratios)
    assert sheet.locator(".near").first.is_visible(), "most copied first also shows the training images"
    sheet.get_by_role("button").first.click()
    zoom = page.get_by_role("dialog")
    assert zoom.locator(".tile").count() == 2
    label = zoom.locator("p").text_content()
    assert label.startswith("Sample ") and "Nearest training image" in label
    page.keyboard.press("ArrowRight")
    assert zoom.locator("p").text_content() != label
    page.keyboard.press("Escape")
    assert not zoom.is_visible()
    assert page.evaluate("document.activeElement === document.querySelectorAll('#samples-dots-mixdl .sheet button')[1]")


def test_charts_are_drawn_and_their_menus_choose(opened):
    page = opened()
    for name in ("ranks", "cost"):
        page.locator(f"#chart-{name} svg.marks").wait_for()
    cost = page.locator("#chart-cost")
    before = cost.locator("svg.marks").inner_html()
    cost.get_by_label("Metric").select_option("Recall ↑")
    page.wait_for_timeout(200)
    assert cost.locator("svg.marks").inner_html() != before


def test_on_a_telephone_nothing_is_wider_than_the_screen_and_the_dark_page_is_dark(opened):
    page = opened(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page.locator("#chart-cost svg.marks").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 23, 22)"


def test_without_javascript_tables_and_pictures_are_there(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("#results tr[data-dataset=dots]:visible").count() == 8
    assert page.locator("form.filters").is_hidden(), "nothing that does not work"
    tile = page.locator("#samples-dots-mixdl .tile").first
    assert tile.is_visible() and tile.bounding_box()["height"] > 20
    page.locator("#beside").check()
    assert page.locator("#samples-dots-mixdl .near").first.is_visible()

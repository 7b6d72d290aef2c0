"""Figures of a made-up benchmark: the right pixels in the right place, nothing chosen, nothing left half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.console import UserError
from workflow.scripts import curves, figures
from workflow.scripts.settings import load
from workflow.scripts.sources import Sources
from workflow.scripts.style import LABEL, WIDTH, Sheet, tile_size


def sources_of(root: Path, features: bool = True) -> Sources:
    folder = root / "results/features/inception" if features else None
    return Sources(load(root / "settings.json"), root / "results", root / "prepared", folder)


@pytest.fixture
def copy(benchmark: Path, tmp_path: Path) -> Path:
    """A made-up benchmark that the test may damage."""
    return Path(shutil.copytree(benchmark, tmp_path / "benchmark"))


def words(sheet: Sheet) -> str:
    return "\n".join(text for _, _, text, _ in sheet._texts)


def placed(sheet: Sheet, x: int, y: int) -> np.ndarray:
    return next(pixels for pixels, left, top, _ in sheet._images if (left, top) == (x, y))


@pytest.mark.parametrize("name", figures.SHEETS)
def test_every_figure_is_written_whole(benchmark, tmp_path, name):
    sheet = figures.SHEETS[name](sources_of(benchmark))
    sheet.save(tmp_path / "a.png", tmp_path / "a.pdf")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (WIDTH, sheet.height)
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "a.png"]


def test_curves_are_written_whole(benchmark, tmp_path):
    curves.draw(sources_of(benchmark), tmp_path / "a.png", tmp_path / "a.pdf")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == WIDTH
        colours = set(map(tuple, np.asarray(image.convert("RGB")).reshape(-1, 3)))
    assert {(0, 114, 178), (213, 94, 0)} <= colours, "a line for each of two datasets"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "a.png"]


def test_small_pictures_are_enlarged_by_repetition(tmp_path):
    """Every pixel becomes a square of side / resolution device pixels, exactly."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    sheet = Sheet()
    sheet.image(pixels, LABEL, 40, 96)
    sheet.save(tmp_path / "a.png", tmp_path / "a.pdf")
    drawn = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))[40:136, LABEL : LABEL + 96]
    assert np.array_equal(drawn, pixels.repeat(3, axis=0).repeat(3, axis=1))


def test_same_data_same_bytes(benchmark, tmp_path):
    for name in ("a", "b"):
        figures.figure3(sources_of(benchmark)).save(tmp_path / f"{name}.png", tmp_path / f"{name}.pdf")
    for suffix in ("png", "pdf"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("width", "columns", "resolution", "side"),
    [(541, 8, 32, 64), (541, 5, 256, 105), (1098, 10, 32, 96), (1098, 3, 32, 128), (300, 10, 32, 26)],
)
def test_tiles_are_whole_multiples_that_fit(width, columns, resolution, side):
    assert tile_size(width, columns, 4, resolution, 128) == side
    assert columns * (side + 4) - 4 <= width


def test_figure_2_shows_the_first_samples_in_order(benchmark):
    sheet = figures.figure2(sources_of(benchmark))
    images = np.load(benchmark / "results/samples/dots/adaptive_imle/seed0.npz")["images"]
    top = figures.HEADER + 2 * (64 + figures.GAP) - figures.GAP + figures.ROW_GAP
    for index in range(16):
        x, y = LABEL + index % 8 * 68, top + index // 8 * 68
        assert np.array_equal(placed(sheet, x, y), images[index])


def test_figures_say_scale_seed_and_attribution(benchmark):
    text = words(figures.figure2(sources_of(benchmark)))
    assert "Preset demo, 32 × 32 px, seed 0" in text
    assert "drawn by the OpenDots project (https://dots.example), CC BY-SA 4.0" in text
    assert "Rings & 50% bars" in text


def test_a_skipped_cell_says_why(benchmark):
    assert words(figures.figure2(sources_of(benchmark))).count("n/a (left out)") == 2


def test_figure_3_prints_each_score_and_the_best_bold(benchmark):
    sheet = figures.figure3(sources_of(benchmark))
    bold = [text for _, _, text, style in sheet._texts if style.get("weight") == "bold" and text.startswith("0.")]
    assert bold == ["0.250", "0.270", "0.290", "0.310", "0.330", "0.350"], "adaptive IMLE leads every column"
    assert "mean 0.450" in words(sheet)
    assert "n/a (not trained on 90%" in words(sheet)


def test_figure_3_refuses_different_targets(copy):
    path = copy / "results/metrics/dots/mixdl/seed0/backtracking.npz"
    with np.load(path) as found:
        arrays = dict(found)
    np.savez(path, **{**arrays, "index": arrays["index"][::-1]})
    with pytest.raises(UserError, match="dots used different held-out images"):
        figures.figure3(sources_of(copy))


def test_memorisation_puts_the_nearest_image_below(benchmark):
    """The fixture's samples are noisy training images: the nearest is the image each was made of."""
    sheet = figures.memorisation(sources_of(benchmark))
    real = np.load(benchmark / "prepared/dots/images.npy").astype(int)
    for column in range(8):
        sample = placed(sheet, LABEL + column * 68, figures.HEADER).astype(int)
        below = placed(sheet, LABEL + column * 68, figures.HEADER + 68)
        assert np.array_equal(below, real[np.abs(real - sample).sum(axis=(1, 2, 3)).argmin()])


def test_memorisation_says_by_which_distance(benchmark):
    assert "by Inception features" in words(figures.memorisation(sources_of(benchmark))).replace("\n", " ")
    assert "by pixel distance" in words(figures.memorisation(sources_of(benchmark, features=False)))


def test_nearest_is_the_euclidean_nearest():
    rng = np.random.default_rng(3)
    points, among = rng.normal(size=(20, 5)), rng.normal(size=(30, 5))
    brute = [np.linalg.norm(among - point, axis=1).argmin() for point in points]
    assert figures.nearest(points, among).tolist() == brute


@pytest.mark.parametrize("name", figures.SHEETS)
def test_nothing_at_all_still_draws(copy, tmp_path, name):
    """No samples, metrics or prepared images: the figure says so in words."""
    for folder in ("results/samples", "results/metrics", "prepared"):
        shutil.rmtree(copy / folder)
    sheet = figures.SHEETS[name](sources_of(copy))
    sheet.save(tmp_path / "a.png", tmp_path / "a.pdf")
    assert not sheet._images
    assert "n/a (left out)" in words(sheet) or "n/a (not trained" in words(sheet)


def test_no_curves_says_so(copy, tmp_path):
    shutil.rmtree(copy / "results/runs")
    curves.draw(sources_of(copy), tmp_path / "a.png", tmp_path / "a.pdf")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_damaged_sample_file_is_named(copy):
    path = copy / "results/samples/dots/mixdl/seed0.npz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match=r"mixdl/seed0.npz is damaged"):
        figures.figure2(sources_of(copy))


def test_a_failed_drawing_leaves_nothing(benchmark, tmp_path, monkeypatch):
    """A full disk while the PDF is written: the old files stay, no temporary file does."""
    from matplotlib.figure import Figure

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    sheet = figures.figure3(sources_of(benchmark))
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(UserError, match=r"a.png cannot be written \(No space left on device\); make room"):
        sheet.save(tmp_path / "a.png", tmp_path / "a.pdf")
    assert list(tmp_path.iterdir()) == []


def test_six_datasets_fill_three_bands(benchmark, tmp_path):
    settings = json.loads((benchmark / "settings.json").read_text())
    settings["datasets"] += [{"id": f"d{index}", "title": f"Set {index}"} for index in range(4)]
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    sources = Sources(load(tmp_path / "settings.json"), benchmark / "results", benchmark / "prepared")
    sheet = figures.figure2(sources)
    heads = [y for _, y, text, style in sheet._texts if style.get("weight") == "bold"]
    assert len(heads) == 6 and len(set(heads)) == 3

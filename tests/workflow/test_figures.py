"""Figures of a made-up benchmark: the right pixels in the right place, nothing chosen, nothing left half-written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from common.console import UserError
from tests.workflow.conftest import config, run_record
from workflow.rendering import captions, counts, figures, learning, lines, ranking, sheet, shots, variants
from workflow.rendering.contents import figures_of
from workflow.rendering.results import Results
from workflow.rendering.sheet import Band
from workflow.rendering.style import COLOURS, LABEL, WIDTH

ROOT = Path(__file__).parents[2]
ALWAYS = ("figure2", "figure3", "interpolation", "memorisation", "curves", "ranking")


def reasons(bands: list[Band]) -> list[str]:
    return [block for band in bands for line in band.lines for block in line.blocks if isinstance(block, str)]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("name", ["figure2", "figure3", "curves", "ranking", "learning"])
def test_every_figure_is_written_and_the_same_data_give_the_same_bytes(benchmark, tmp_path, name):
    results = Results(benchmark / "results", benchmark / "prepared")
    for folder in ("a", "b"):
        figures.draw(name, results, tmp_path / folder / "f.png", tmp_path / folder / "f.pdf")
    assert pixels(tmp_path / "a/f.png").shape[1] == WIDTH
    assert (tmp_path / "a/f.pdf").read_bytes().startswith(b"%PDF")
    for file in ("f.png", "f.pdf"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["f.pdf", "f.pdf", "f.png", "f.png"]


def test_quality_against_time_has_a_panel_for_each_measured_metric(make, tmp_path, monkeypatch):
    results, drawn, off = make(training={"checkpoints": [0.5]}), [], []
    row = {"dataset": "dots", "method": "mixdl", "split": "full", "step": 750, "seconds": 9.0}
    row |= {
        "run_hash": run_record("dots", "mixdl")["run_hash"],
        "n_fake": 500,
        "metric": "fid",
        "protocol": "inception-clean",
        "value": 80.0,
    }
    times = [{"seed": seed, "processor_seconds": 7.0 + seed} for seed in (0, 1)]
    others = (
        {**row, "metric": "recall", "protocol": "inception-k5-n24"},
        {**row, "dataset": "rings", "method": "fastgan"},
    )
    table = pd.DataFrame([one | time for one in (row, *others) for time in times])
    table.to_csv(results.folder / "learning.csv", index=False)
    monkeypatch.setattr(learning, "_draw_panel", lambda axes, points, looks: drawn.append((points, looks)))
    monkeypatch.setattr(Axes, "set_axis_off", lambda axes: off.append(axes))
    figures.draw("learning", results, tmp_path / "a.png", tmp_path / "a.pdf")
    assert len(off) == 1, "two panels in a row of three"
    assert [points["dataset"].unique().tolist() for points, _ in drawn] == [["dots"], ["rings"]]
    assert drawn[0][0]["seconds"].tolist() == [7.0, 8.0] and set(drawn[0][1]) == {"mixdl", "fastgan"}


def test_parts_of_a_set_are_compared_by_their_size(make, tmp_path):
    """Each set at its number of images; the controls are no lines."""

    def edit(frame):
        fids = frame[frame["metric"] == "fid"]
        return pd.concat([frame, fids.assign(metric="fid_full"), fids.assign(metric="copy_rate", protocol="pixels32")])

    results = make(edit, metrics=config()["metrics"] | {"full_set": "dots"})
    path = results.prepared / "rings" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"count": 10}))
    assert "shots" in figures_of(results.preset)
    table = shots.points(results)
    shown = table[(table["metric"] == "fid_full") & (table["method"] == "adaptive_imle")]
    assert shown.groupby("n")["value"].mean().to_dict() == {10: 89.0, 40: 81.0}
    assert set(table["method"]) == {"adaptive_imle", "vanilla_imle", "fastgan", "mixdl"}
    figures.draw("shots", results, tmp_path / "a.png", tmp_path / "a.pdf")
    assert pixels(tmp_path / "a.png").shape[1] == WIDTH


def test_lines_are_means_over_seeds_with_bars_of_their_range():
    rows = [("a", 10, 11.0, 2.0), ("a", 20, 21.0, 8.0), ("a", 10, 13.0, 4.0), ("b", 10, 99.0, 9.0)]
    axes = Figure().subplots()
    table = pd.DataFrame(rows, columns=["method", "step", "seconds", "value"])
    lines.draw_means(axes, table, {"a": ("red", "-", "o")}, by="step", x="seconds")
    assert axes.lines[0].get_xydata().tolist() == [[12, 3], [21, 8]]
    assert [bar.tolist() for bar in axes.collections[0].get_segments()] == [[[12, 2], [12, 4]], [[21, 8], [21, 8]]]


def test_precision_and_recall_are_drawn_for_each_number_of_samples(make, tmp_path):
    """Only of the tables' network and k."""

    def edit(frame):
        fewer = frame[frame["protocol"] == "inception-k5-n24"]
        more = [fewer.assign(protocol=name, n_fake=12) for name in ("inception-k5-n12", "vgg16fc2-k5-n12")]
        return pd.concat([frame, *more])

    names = ["inception-k5-n24", "inception-k5-n12", "vgg16fc2-k5-n12"]
    results = make(edit, metrics=config()["metrics"] | {"precision_recall": names})
    assert "counts" in figures_of(results.preset) and "counts" not in figures_of(make().preset)
    table = counts.points(results)
    shown = table[(table["metric"] == "recall") & (table["method"] == "mixdl")]
    means = shown.groupby(["dataset", "n"])["value"].mean()
    assert means.to_dict() == {("dots", 12): 0.29, ("dots", 24): 0.29}
    figures.draw("counts", results, tmp_path / "a.png", tmp_path / "a.pdf")
    assert pixels(tmp_path / "a.png").shape[1] == WIDTH


def test_rows_of_one_method_are_drawn_beside_each_other(make, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(variants, "finish", lambda figure, *_: drawn.append(figure))
    rows = {name: {"steps": 1500} for name in ("fastgan-small", "mixdl", "fastgan", "fastgan-long_name")}
    results = make(methods=rows | {"control_noise": {}})
    assert "variants" in figures_of(results.preset) and "variants" not in figures_of(make().preset)
    figures.draw("variants", results, tmp_path / "a.png", tmp_path / "a.pdf")
    first, other = drawn[0].axes[:2]
    assert [label.get_text() for label in first.get_yticklabels()] == ["small", "FastGAN", "long name"]
    assert first.lines[1].get_xdata().tolist() == [110, 112], "the seeds of FastGAN on dots"
    assert not any(label.get_visible() for label in other.get_yticklabels())


def test_long_names_of_the_ranking_are_inside_the_page(make, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(ranking, "finish", lambda figure, *_: drawn.append(figure))
    methods = config()["methods"] | {"stylegan2": {"steps": 1500}}

    def last(frame: pd.DataFrame) -> pd.DataFrame:
        """StyleGAN2, in place of MixDL, has the worst rank, at the right end of the scale."""
        named = frame.assign(method=frame["method"].replace("mixdl", "stylegan2"))
        return named.assign(value=named["value"].mask(named["method"] == "stylegan2", 300.0))

    figures.draw("ranking", make(last, methods=methods), tmp_path / "a.png", tmp_path / "a.pdf")
    labels = {label.get_text(): label.get_window_extent().x0 for label in drawn[0].axes[0].get_yticklabels()}
    assert "StyleGAN2 +\nDiffAugment" in labels and min(labels.values()) > 0
    ranked = [text.get_window_extent() for text in drawn[0].axes[1].texts]
    assert len(ranked) == 5 and all(0 < box.x0 < box.x1 < drawn[0].bbox.width for box in ranked)
    bars = [list(line.get_xdata()) for line in drawn[0].axes[1].lines if line.get_color() == COLOURS[1]]
    assert bars == [sorted(bar) for bar in bars] != [], "otherwise the bytes differ from process to process"


def test_curves_have_a_line_for_each_dataset(make, tmp_path):
    figures.draw("curves", make(), tmp_path / "a.png", tmp_path / "a.pdf")
    assert {(0, 114, 178), (213, 94, 0)} <= set(map(tuple, pixels(tmp_path / "a.png").reshape(-1, 3)))


def test_small_pictures_are_enlarged_by_repetition(tmp_path):
    """On the page, every pixel becomes a square of three device pixels, exactly, below a header of 36."""
    images = np.random.default_rng(0).integers(0, 256, (2, 10, 32, 32, 3), np.uint8)
    sheet.draw_sheet([Band(("Noise",), [sheet.Line("", (images,))])], [], tmp_path / "a.png", tmp_path / "a.pdf")
    drawn = pixels(tmp_path / "a.png")[36 + 100 : 36 + 196, LABEL + 100 : LABEL + 196]
    assert np.array_equal(drawn, images[1, 1].repeat(3, axis=0).repeat(3, axis=1))


@pytest.mark.parametrize(
    ("width", "columns", "resolution", "side"),
    [(541, 8, 32, 64), (541, 5, 256, 105), (1098, 10, 32, 96), (1098, 3, 32, 128), (300, 10, 32, 26)],
)
def test_tiles_are_whole_multiples_that_fit(width, columns, resolution, side):
    assert sheet.tile_size(width, columns, resolution) == side


def test_figure_2_shows_the_first_samples_in_order(make, benchmark):
    bands, _ = figures.figure2(make())
    assert [line.title for line in bands[0].lines] == [
        *("Training images", "Adaptive IMLE", "Vanilla IMLE", "FastGAN", "MixDL", "fake_clr")
    ]
    images = np.load(benchmark / "results/samples/dots/adaptive_imle/seed0.npz")["images"]
    assert np.array_equal(bands[0].lines[1].blocks[0].reshape(-1, 32, 32, 3), images[:16])
    assert reasons(bands) == ["n/a (left out)"] * 2


def test_a_method_without_interpolations_says_so_in_its_line(make):
    """As diffusion models, which train but declare that they do not backtrack."""
    results = make()
    path = results.folder / "samples/dots/mixdl/seed0.npz"
    with np.load(path) as arrays:
        images = arrays["images"]
    np.savez(path, images=images)
    bands, _ = figures.interpolation(results)
    assert [reason for reason in reasons(bands) if "latent code" in reason] == [figures.NO_PATH]


def test_six_datasets_fill_three_bands(make):
    bands, _ = figures.figure2(make(datasets=["dots", "rings", "c", "d", "e", "f"]))
    assert [band.titles for band in bands] == [("dots", "rings"), ("c", "d"), ("e", "f")]


def test_footers_say_scale_seed_commit_and_attribution(make):
    lines = captions.footer(make(), "seed 0; first drawn")
    assert lines == [
        "Preset demo, 32 × 32 px, seed 0; first drawn; commits 0123456, 0123456 + changes (version 0.4.0).",
        "Dots: drawn by the OpenDots project (https://dots.example), CC BY-SA 4.0",
    ]


def test_figure_3_prints_each_score_and_the_best_bold(make):
    dots, rings = figures.figure3(make())[0]
    scores = [line for line in dots.lines if line.scores]
    assert scores[0].scores == [(text, True) for text in ("0.250", "0.270", "0.290", "0.310", "0.330", "0.350")], (
        "adaptive IMLE leads every column"
    )
    assert scores[2].below == "mean 0.450" and not any(bold for _, bold in scores[2].scores)
    assert reasons([rings]) == ["n/a (not trained on 90% in this preset & others); n/a (left out)"]


def test_figure_3_refuses_different_targets(make):
    results = make()
    path = results.folder / "metrics/dots/mixdl/seed0/backtracking.npz"
    with np.load(path) as found:
        arrays = dict(found)
    np.savez(path, **{**arrays, "index": arrays["index"][::-1]})
    with pytest.raises(UserError, match="dots used different held-out images"):
        figures.figure3(results)


def test_memorisation_puts_the_nearest_image_below(make, benchmark):
    """The fixture's samples are noisy training images: the nearest is the image each was made of."""
    samples, below = figures.memorisation(make())[0][0].lines[0].blocks[0].astype(int)
    real = np.load(benchmark / "prepared/dots/images.npy").astype(int)
    for sample, image in zip(samples, below, strict=True):
        assert np.array_equal(image, real[np.abs(real - sample).sum(axis=(1, 2, 3)).argmin()])


def test_memorisation_begins_with_the_most_copied_sample(make, benchmark):
    """A sample nearer to the mirror image is shown above that.  A data set alone has 16 columns."""
    results = make(datasets=["dots"])
    path = results.folder / "metrics/dots/adaptive_imle/seed0/diversity.npz"
    ratio, mirrored = np.arange(24)[::-1] / 24, np.arange(24) == 23
    np.savez(path, ratio=ratio, nearest=np.arange(24), mirrored=mirrored)
    block = figures.memorisation(results)[0][0].lines[0].blocks[0]
    images = np.load(results.folder / "samples/dots/adaptive_imle/seed0.npz")["images"]
    real = np.load(benchmark / "prepared/dots/images.npy")
    assert np.array_equal(block[0], images[:7:-1])
    assert np.array_equal(block[1, 0], real[23, :, ::-1])
    assert np.array_equal(block[1, 15], real[8])


@pytest.mark.parametrize("name", ALWAYS)
def test_nothing_at_all_still_draws(make, tmp_path, name):
    """No samples, metrics, runs or prepared images: the figure says so in words."""
    results = make()
    for folder in ("samples", "metrics", "runs"):
        shutil.rmtree(results.folder / folder)
    empty = Results(results.folder, tmp_path / "nothing")
    if name in figures.IMAGES:
        bands, _ = figures.IMAGES[name](empty)
        assert not any(band.pictures for band in bands) and "not run" in " ".join(reasons(bands))
    figures.draw(name, empty, tmp_path / "a.png", tmp_path / "a.pdf")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_damaged_sample_file_is_named(make):
    results = make()
    path = results.folder / "samples/dots/mixdl/seed0.npz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match=r"mixdl/seed0.npz is damaged"):
        figures.figure2(results)


def test_a_failed_drawing_leaves_nothing(make, tmp_path, monkeypatch):
    """A full disk while a file is written: the old files stay, no temporary file does."""

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"a.png cannot be written \(No space left on device\); make room"):
        figures.draw("figure3", make(), out / "a.png", out / "a.pdf")
    assert list(out.iterdir()) == []


def test_neither_a_notebooks_backend_nor_a_matplotlibrc_matters(tmp_path):
    """With a backend that matplotlib does not know, its import alone would fail; `tight` would change the width."""
    (tmp_path / "matplotlibrc").write_text("savefig.bbox: tight")
    environment = {**os.environ, "MPLBACKEND": "no_such_backend", "MATPLOTLIBRC": str(tmp_path)}
    code = "from workflow.rendering import figures; import matplotlib; print(matplotlib.rcParams['savefig.bbox'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr

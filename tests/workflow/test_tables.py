"""Tables 1-3 from a made-up metrics.csv: what is bold, what is missing and why, and what every caption says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow.scripts import render

ROOT = Path(__file__).parents[2]


def set_value(value: float, query: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """An edit of the metrics: `value` in every row that the query finds."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[frame.query(query).index, "value"] = value
        return frame

    return change


def test_lower_fid_and_lpips_are_bold(build):
    best = build(1).best
    assert ("adaptive_imle", "dots", "fid") in best
    assert ("adaptive_imle", "dots", "lpips_backtracking") in best
    assert not any(method in ("control_real", "floor") for method, *_ in best), "better, but not ranked"


def test_higher_precision_and_recall_are_bold(build):
    best = build(2).best
    assert {key for key in best if key[1] == "dots"} == {
        ("fastgan", "dots", "precision"),
        ("adaptive_imle", "dots", "recall"),
    }


def test_cells_that_print_alike_tie(build):
    """0.8900 and 0.8931 both print 0.89: neither reader nor table can tell them apart."""
    best = build(2, set_value(0.8931, "dataset == 'rings' and method == 'vanilla_imle' and metric == 'precision'")).best
    assert {key[0] for key in best if key[1:] == ("rings", "precision")} == {"adaptive_imle", "vanilla_imle"}


def test_one_number_alone_is_not_the_best_of_anything(build):
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[~frame["metric"].str.startswith("lpips") | (frame["method"] == "mixdl")]

    assert not [key for key in build(1, change).best if key[2] == "lpips_backtracking"]


def test_best_external_samples_are_bold(build):
    assert ("fake_clr", "dots", "fid") in build(1, set_value(1.0, "method == 'fake_clr' and metric == 'fid'")).best


def test_fewer_seeds_than_configured_are_noted(build):
    def without(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.drop(frame.query("method == 'mixdl' and seed == 1").index)

    table = build(2, without)
    notes = [table.notes[index] for index in table.marks["mixdl", "dots", "recall"]]
    assert notes == ["n = 1 of 2 seeds"]
    assert not table.marks["fake_clr", "dots", "recall"], "samples made elsewhere have no seeds of ours"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (("control_real", "dots", "lpips_backtracking"), "n/a (a control has no latent code to optimise)"),
        (("fake_clr", "dots", "lpips_backtracking"), "n/a (samples made elsewhere, without a generator"),
        (("mixdl", "rings", "fid"), "n/a (left out)"),
        (("mixdl", "rings", "lpips_backtracking"), "n/a (not trained on 90% in this preset"),
        (("floor", "dots", "lpips_backtracking"), "n/a (the floor is defined for FID alone)"),
    ],
)
def test_a_cell_that_cannot_be_filled_says_why(build, key, reason):
    table = build(1)
    assert table.cells[key].reason.startswith(reason)
    assert render.short_text(table.cells[key]) == "n/a"
    assert [table.notes[index] for index in table.marks[key]] == [table.cells[key].reason]


def test_a_missing_run_reads_not_run(build):
    def without(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.drop(frame.query("dataset == 'dots' and method == 'mixdl' and metric == 'fid'").index)

    table = build(1, without)
    assert table.cells["mixdl", "dots", "fid"].text == "not run"
    assert "| MixDL | not run |" in render.markdown(table)


def test_a_skip_without_method_or_split_covers_all(build):
    table = build(
        1, lambda frame: frame[frame["dataset"] == "dots"], skips=[{"dataset": "rings", "reason": "no files"}]
    )
    texts = {cell.text for key, cell in table.cells.items() if key[1:] == ("rings", "fid")}
    assert texts == {"n/a (no files)"}


def test_floor_and_controls_come_last_under_a_rule(build):
    ranked, unranked = build(1).blocks
    assert [row.id for row in ranked] == ["adaptive_imle", "vanilla_imle", "fastgan", "mixdl", "fake_clr"]
    assert [row.id for row in unranked] == ["control_real", "control_noise", "floor"]
    assert "floor" not in [row.id for row in build(2).rows]


def test_other_counts_are_footnotes(build):
    table = build(1)
    assert [table.notes[i] for i in table.marks["control_real", "dots", "fid"]] == [
        "40 generated against 40 real images"
    ]
    assert [table.notes[i] for i in table.marks["floor", "dots", "fid"]] == ["20 real images against the other 20"]
    assert not table.marks["control_noise", "dots", "fid"]


def test_samples_that_the_settings_do_not_know_get_a_row(build, made_up_settings):
    methods = [method for method in made_up_settings()["methods"] if method["id"] != "fake_clr"]
    table = build(1, methods=methods)
    assert [row.title for row in table.rows if row.kind == "external"] == ["fake_clr"]


def test_table_3_holds_both_imle_methods_on_its_datasets(build):
    table = build(3, table3={"datasets": ["rings"], "methods": ["vanilla_imle", "adaptive_imle"]})
    assert [row.id for row in table.rows] == ["adaptive_imle", "vanilla_imle"]
    assert [dataset.id for dataset in table.datasets] == ["rings"]
    assert [metric.id for metric in table.metrics] == ["fid", "precision", "recall"]


def test_caption_carries_the_protocol(build):
    caption = build(1).caption
    for part in (
        "Preset demo, 32 × 32 px",
        "Not comparable with published numbers",
        "Inception features, 24 generated against 40 real images (protocol inception-clean)",
        "trained on 90% of the images, 6 held-out images, LPIPS (AlexNet), 50 steps, best of 3 restarts",
        "95% bootstrap intervals over held-out images (10,000 resamples)",
        "Adaptive IMLE 1,500; Vanilla IMLE 1,500",
        "n = 2 seeds (0, 1)",
        "controls and the floor are not ranked",
    ):
        assert part in caption
    assert "k = 5, Inception features" in build(2).caption


def test_published_scale_carries_no_warning(build):
    table = build(1, lambda frame: frame.assign(preset="paper"), preset="paper")
    assert "Not comparable" not in table.caption and "Preset paper" in table.caption


def test_csv_holds_every_digit_and_reason(build, prepared, tmp_path):
    (tmp_path / "t.csv").write_text(render.csv(build(1), prepared()))
    frame = pd.read_csv(tmp_path / "t.csv").set_index(["dataset", "method", "metric"])
    line = frame.loc["dots", "adaptive_imle", "lpips_backtracking"]
    assert line["std"] == pytest.approx(0.02 / np.sqrt(2), abs=1e-15)
    assert (line["n_seeds"], line["n_heldout"], line["steps"], line["best"]) == (2, 6, 1500, True)
    assert line["ci95_low"] < line["mean"] < line["ci95_high"]
    assert frame.loc["rings", "mixdl", "fid"]["reason"] == "n/a (left out)"
    assert len(frame) == 2 * 2 * 8


def test_markdown_is_one_table(build):
    text = render.markdown(build(1))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {6}
    assert text.startswith("**Table 1.** ")
    assert "| Adaptive IMLE | **81.0** ± 1.4 | **0.310** ± 0.014 [" in text


def test_latex_is_balanced_and_escaped(build):
    text = render.latex(build(1))
    body = text[text.index(r"\begin{tabular}") : text.index(r"\end{tabular}")]
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    bare = text.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    assert [body.count(rule) for rule in (r"\toprule", r"\bottomrule", r"\midrule")] == [1, 1, 2]
    assert r"Rings \& 50\% bars" in text and r"FakeCLR\_v2" in text
    assert not re.search(r"(?<!\\)[%#_]", "\n".join(text.splitlines()[1:])), "a bare special character"
    assert text.isascii()
    rows = [line for line in body.splitlines() if re.search(r"\\\\(\[2pt\])?$", line)]
    columns = [
        len(re.findall(r"(?<!\\)&", line)) + sum(int(n) - 1 for n in re.findall(r"multicolumn\{(\d)\}", line))
        for line in rows
    ]
    assert set(columns) == {4}, "every row has as many cells as the table columns"
    assert r"\textbf{81.0}" in body


def test_latex_continues_below_when_columns_run_out(build, made_up_settings):
    datasets = [{"id": name, "title": name} for name in ("dots", "rings", "c", "d", "e", "f")]
    text = render.latex(build(1, datasets=datasets))
    assert text.count("Method & FID") == 2
    assert r"\begin{tabular}{@{}lrrrrrr@{}}" in text and r"\begin{table*}" in text


def test_command_line_writes_three_files(benchmark, tmp_path):
    outs = [tmp_path / f"table2.{suffix}" for suffix in ("csv", "md", "tex")]
    command = [
        *(sys.executable, "-m", "workflow.scripts.tables", "--table", "2"),
        *("--metrics", benchmark / "results/metrics.csv", "--settings", benchmark / "settings.json"),
        *("--out-csv", outs[0], "--out-md", outs[1], "--out-tex", outs[2]),
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    assert sorted(tmp_path.iterdir()) == sorted(outs)


def test_no_torch(benchmark):
    """Tables can be rendered where torch is not installed."""
    code = "import sys; sys.modules['torch'] = None; from workflow.scripts import tables, figures, report"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)

"""Tables 1-3 from a made-up metrics.csv: what is bold, what is missing and why, and what every caption says."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from tests.workflow.conftest import set_value, without
from workflow.rendering import notation, tables


def notes_of(table: tables.Table, *key: str) -> list[str]:
    return [table.notes[index] for index in table.marks[key]]


def test_the_best_ranked_number_of_each_column_is_bold(build):
    """Lower FID and LPIPS, higher precision and recall; controls are better, but not ranked."""
    best = {key[::2] for key in build(1).best | build(2).best if key[1] == "dots"}
    assert best == {
        ("adaptive_imle", "fid"),
        ("adaptive_imle", "lpips_backtracking"),
        ("fastgan", "precision"),
        ("adaptive_imle", "recall"),
    }
    assert ("fake_clr", "dots", "fid") in build(1, set_value(1.0, "method == 'fake_clr' and metric == 'fid'")).best


def test_cells_that_print_alike_tie(build):
    """0.8900 and 0.8931 both print 0.89: neither reader nor table can tell them apart."""
    best = build(2, set_value(0.8931, "dataset == 'rings' and method == 'vanilla_imle' and metric == 'precision'")).best
    assert {key[0] for key in best if key[1:] == ("rings", "precision")} == {"adaptive_imle", "vanilla_imle"}


def test_one_number_alone_is_not_the_best_of_anything(build):
    table = build(1, without("metric.str.startswith('lpips') and method != 'mixdl'"))
    assert not [key for key in table.best if key[2] == "lpips_backtracking"]


def test_fewer_seeds_than_configured_are_noted(build):
    table = build(2, without("method == 'mixdl' and seed == 1"))
    assert notes_of(table, "mixdl", "dots", "recall") == ["n = 1 of 2 seeds"]
    assert "n = 2 seeds (0, 1); some numbers have only 1." in table.caption
    assert not table.marks["fake_clr", "dots", "recall"], "samples made elsewhere have no seeds of ours"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (("control_real", "dots", "lpips_backtracking"), "n/a (a control has no latent code to optimise)"),
        (("fake_clr", "dots", "lpips_backtracking"), "n/a (samples made elsewhere, without a generator"),
        (("mixdl", "rings", "fid"), "n/a (left out)"),
        (("vanilla_imle", "rings", "lpips_backtracking"), "n/a (not trained on 90% in this preset"),
        (("floor", "dots", "lpips_backtracking"), "n/a (real images have no generator)"),
    ],
)
def test_a_cell_that_cannot_be_filled_says_why(build, key, reason):
    table = build(1)
    assert table.cells[key].reason.startswith(reason)
    assert table.cells[key].text == "n/a"
    assert notes_of(table, *key) == [table.cells[key].reason]


def test_samples_made_elsewhere_for_one_dataset_say_so_on_the_other(build):
    table = build(1, without("dataset == 'rings' and method == 'fake_clr'"))
    assert table.cells["fake_clr", "rings", "fid"].reason == "n/a (no samples were supplied)"


def test_a_missing_run_reads_not_run(build):
    table = build(1, without("dataset == 'dots' and method == 'mixdl' and metric == 'fid'"))
    assert "| MixDL | none | not run |" in notation.markdown(table)


def test_rows_come_in_order_and_a_lost_method_keeps_its_name(build):
    """Methods, samples made elsewhere, then below a rule controls and real halves, which have a FID only."""
    methods = {"withdrawn": {"steps": 9}, "vanilla_imle": {"steps": 9}, "control_noise": {}}
    table = build(
        1, without("method in ['adaptive_imle', 'fastgan', 'mixdl', 'control_real']"), methods=methods, skip=[]
    )
    ranked, unranked = table.blocks
    assert [(row.title, row.kind) for row in ranked] == [
        ("withdrawn", "method"),
        ("Vanilla IMLE", "method"),
        ("fake_clr", "external"),
    ]
    assert [row.id for row in unranked] == ["control_noise", "floor"]
    assert "floor" not in [row.id for row in build(2).rows]


def test_other_counts_are_footnotes(build):
    table = build(1)
    assert notes_of(table, "control_real", "dots", "fid") == ["40 generated against 40 real images"]
    assert notes_of(table, "floor", "dots", "fid") == ["20 real images against the other 20"]
    assert not table.marks["control_noise", "dots", "fid"]


def test_a_row_of_fewer_samples_is_marked_and_the_others_are_not(build):
    """Also where most rows are samples made elsewhere: what counts is the number that the preset takes."""

    def edit(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[frame["method"] == "fake_clr", "n_fake"] = 10
        again = frame[frame["method"] == "fake_clr"]
        return pd.concat([frame, *(again.assign(method=f"gan{index}") for index in range(9))])

    one, other = build(1, edit), build(1)
    assert notes_of(one, "fake_clr", "dots", "fid") == ["10 generated against 40 real images"]
    assert not one.marks["fastgan", "dots", "fid"]
    assert "24 generated against 40 real images" in one.caption
    assert all(other.cells[key].text == one.cells[key].text for key in other.cells)


def test_a_number_that_cannot_be_computed_reads_na_with_its_reason(build):
    def edit(frame: pd.DataFrame) -> pd.DataFrame:
        chosen = (frame["method"] == "fake_clr") & (frame["metric"] == "recall")
        frame.loc[chosen, "value"] = np.nan
        frame.loc[chosen, "reason"] = "samples: 6, but 7 are needed"
        return frame

    table = build(2, edit)
    assert table.cells["fake_clr", "dots", "recall"].text == "n/a"
    assert notes_of(table, "fake_clr", "dots", "recall") == ["n/a (samples: 6, but 7 are needed)"]
    assert table.cells["fake_clr", "dots", "precision"].text == "0.60"


def test_table_3_holds_both_imle_methods_on_its_datasets(build):
    table = build(3, tables={"ablation_datasets": ["rings"]})
    assert [row.id for row in table.rows] == ["adaptive_imle", "vanilla_imle"]
    assert table.datasets == ("rings",)
    assert [metric.id for metric in table.metrics] == ["fid", "precision", "recall"]


def test_caption_carries_protocol_and_origin(build):
    caption = build(1).caption
    for part in (
        "Preset demo, 32 × 32 px",
        "Not comparable with published numbers",
        "Inception features, 24 generated against 40 real images (protocol inception-clean)",
        "trained on 90% of the images, 6 held-out images, LPIPS (AlexNet), 50 steps, best of 3 restarts",
        "95% BCa intervals over held-out images (9,999 resamples)",
        "Adaptive IMLE 1,500; Vanilla IMLE 1,500",
        "n = 2 seeds (0, 1)",
        "controls and the real halves are not ranked",
        "Their training loss has the same network: FastGAN.",
        "Numbers of commits 0123456, 0123456 + changes (version 0.4.0); the sources of Adaptive IMLE,",
    ):
        assert part in caption
    assert "k = 5, Inception features" in build(2).caption
    for unmeasured in ("method == 'mixdl'", "method == 'mixdl' and seed == 0"):  # MixDL's run has uncommitted changes
        assert "Numbers of commit 0123456 (version" in build(2, without(unmeasured)).caption


def test_a_row_that_compares_pixels_alone_uses_no_outside_knowledge(build):
    alone = {"steps": 1500, "lpips_weight": 0.0, "search": "exact"}
    table = build(1, methods={"adaptive_imle": {"steps": 1500}, "adaptive_imle-pixels": alone})
    assert [row.track for row in table.rows][:2] == ["loss", "none"]


def test_published_scale_carries_no_warning(build):
    table = build(1, lambda frame: frame.assign(preset="paper"), preset="paper")
    assert "Not comparable" not in table.caption and "Preset paper" in table.caption


def test_csv_holds_every_digit_and_reason(build, tmp_path):
    (tmp_path / "t.csv").write_text(notation.csv(build(1)))
    frame = pd.read_csv(tmp_path / "t.csv").set_index(["dataset", "method", "metric"])
    line = frame.loc["dots", "adaptive_imle", "lpips_backtracking"]
    assert line["std"] == pytest.approx(0.02 / np.sqrt(2), abs=1e-15)
    assert (line["n_seeds"], line["n_heldout"], line["steps"], line["best"]) == (2, 6, 1500, True)
    assert line["ci95_low"] < line["mean"] < line["ci95_high"]
    assert frame.loc["rings", "mixdl", "fid"]["reason"] == "n/a (left out)"
    assert len(frame) == 2 * 2 * 8


def test_markdown_is_one_table(build):
    text = notation.markdown(build(1))
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {7}
    assert text.startswith("**Table 1.** ")
    assert "| Adaptive IMLE | loss | **81.0** ± 1.4 | **0.310** ± 0.014 [" in text


def test_latex_is_balanced_and_escaped(build):
    text = notation.latex(build(1))
    body = text[text.index(r"\begin{tabular}") : text.index(r"\end{tabular}")]
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    bare = text.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    assert [body.count(rule) for rule in (r"\toprule", r"\bottomrule", r"\midrule")] == [1, 1, 2]
    assert r"90\% in this preset \& others" in text and r"fake\_clr" in text
    assert not re.search(r"(?<!\\)[%#_]", "\n".join(text.splitlines()[1:])), "a bare special character"
    assert text.isascii()
    rows = [line for line in body.splitlines() if re.search(r"\\\\(\[2pt\])?$", line)]
    columns = [
        len(re.findall(r"(?<!\\)&", line)) + sum(int(n) - 1 for n in re.findall(r"multicolumn\{(\d)\}", line))
        for line in rows
    ]
    assert set(columns) == {5}, "every row has as many cells as the table columns"
    assert r"\textbf{81.0}" in body


def test_latex_continues_below_when_columns_run_out(build):
    text = notation.latex(build(1, datasets=["dots", "rings", "c", "d", "e", "f"]))
    assert text.count("Method & Track & FID") == 2
    assert r"\begin{tabular}{@{}llrrrrrr@{}}" in text and r"\begin{table*}" in text

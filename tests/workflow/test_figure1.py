"""Figure 1, live: what it measures is what it says, the same every time, and is drawn without torch."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from methods.adaptive_imle import AdaptiveIMLE
from methods.vanilla_imle import VanillaIMLE
from tests.conftest import ROOT
from workflow.rendering import figure1, toy
from workflow.rendering.style import WIDTH

SNAPSHOTS = (1, 2, 3, 10)
Race = tuple[pd.DataFrame, toy.Arrays]


@pytest.fixture(scope="module")
def race() -> Race:
    """Two seeds, ten epochs."""
    return toy.race(seeds=(0, 1), snapshots=SNAPSHOTS)


def test_either_method_is_measured_at_every_epoch_by_cluster(race):
    coverage, arrays = race
    assert len(coverage) == 2 * 2 * len(SNAPSHOTS) * 2  # methods, seeds, epochs, clusters
    assert set(coverage["method"]) == {"vanilla_imle", "adaptive_imle"}
    assert coverage["coverage"].between(0, 1).all() and (coverage["distance"] > 0).all()
    assert arrays["points"].shape == (20, 2)
    for method in ("vanilla_imle", "adaptive_imle"):
        assert arrays[f"{method}_samples"].shape == (4, 1000, 2)
        assert arrays[f"{method}_assigned"].shape == (4, 20, 2)
        assert arrays[f"{method}_covered"].shape == (4, 20)


def test_same_seed_same_numbers(race):
    coverage, arrays = toy.race(seeds=(0,), snapshots=SNAPSHOTS)
    assert coverage.equals(race[0].query("seed == 0").reset_index(drop=True))
    assert all(np.array_equal(value, race[1][name]) for name, value in arrays.items())


def test_both_methods_start_from_the_same_generator_points_and_pool():
    vanilla, adaptive = (toy.build(method, seed=3) for method in (VanillaIMLE, AdaptiveIMLE))
    for imle in (vanilla, adaptive):
        imle.initialise()
    assert torch.equal(vanilla.images, adaptive.images)
    assert torch.equal(vanilla.assigned.z, adaptive.assigned.z)
    assert all(map(torch.equal, vanilla.decoder.parameters(), adaptive.decoder.parameters()))
    differing = {
        key
        for key in vars(vanilla.config).keys() & vars(adaptive.config).keys()
        if getattr(vanilla.config, key) != getattr(adaptive.config, key)
    }
    assert differing == set()


def test_distance_is_the_squared_euclidean_one():
    imle = toy.build(VanillaIMLE, seed=0)
    imle.initialise()
    shift = imle.images.flatten(1) - imle.generate(imle.assigned).flatten(1)
    assert torch.allclose(imle.current_distance(imle.everyone), shift.square().sum(1), rtol=1e-4)


def test_coverage_of_known_samples():
    """Samples on the points of the tight cluster cover these alone; one between two points covers the nearer."""
    imle = toy.build(VanillaIMLE, seed=0)
    data = imle.images.flatten(1)
    samples = data[: toy.POINTS].repeat(toy.DRAWS, 100, 1)
    rows, covered = toy.measure(imle, samples)
    assert [row["coverage"] for row in rows] == [1, 0]
    assert rows[0]["distance"] == pytest.approx(0, abs=1e-3)
    assert covered.tolist() == [[True] * 10 + [False] * 10] * toy.DRAWS

    # Between the closest pair, nearer to its first point: the first alone.
    first, second = divmod(int(torch.cdist(data, data).fill_diagonal_(torch.inf).argmin()), len(data))
    between = data[first] + 0.49 * (data[second] - data[first])
    _, covered = toy.measure(imle, between.repeat(toy.DRAWS, toy.SAMPLES, 1))
    assert covered[:, first].all() and not covered[:, second].any()


def test_clusters_have_the_variances_of_the_example():
    """Deviations of ten points within 50 %, over five seeds."""
    for seed in range(5):
        tight, wide = toy.build(VanillaIMLE, seed).images.flatten(1).split(toy.POINTS)
        assert tight.std(dim=0).norm() / 2**0.5 == pytest.approx(0.05, rel=0.5)
        assert wide.std(dim=0).norm() / 2**0.5 == pytest.approx(0.25, rel=0.5)


def test_figure_has_a_colour_for_either_method(race, tmp_path):
    figure1.draw(*race, tmp_path / "a.png", tmp_path / "a.pdf")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == WIDTH
        colours = set(map(tuple, np.asarray(image.convert("RGB")).reshape(-1, 3)))
    assert {(0, 114, 178), (213, 94, 0)} <= colours
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_the_committed_table_holds_the_numbers_of_the_committed_csv():
    folder = ROOT / "results/reference/figure1"
    coverage = pd.read_csv(folder / "coverage.csv")
    rows = [line.strip("| ").split(" | ") for line in (folder / "README.md").read_text().splitlines() if "±" in line]
    rows = [row for row in rows if row[0].isdigit()]
    assert [int(row[0]) for row in rows] == list(toy.SNAPSHOTS)
    for epoch, *cells in rows:
        at = coverage[coverage["epoch"] == int(epoch)]
        seeds = at.set_index(["cluster", "method"])["coverage"].groupby(level=[0, 1], sort=False)
        order = [(cluster, method) for cluster in toy.CLUSTERS for method in ("vanilla_imle", "adaptive_imle")]
        assert cells[:4] == [f"{seeds.mean()[key]:.2f} ± {seeds.std()[key]:.2f}" for key in order]
        distance, pools = (at.groupby("method")[value].mean() for value in ("distance", "pools"))
        methods = ("vanilla_imle", "adaptive_imle")
        assert cells[4:] == [f"{distance[m]:.3f}" for m in methods] + [f"{pools[m]:.0f}" for m in methods]

"""IMLE and the 1-NN GAN: one line differs, the measurements are what they say, the figure shows both."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tests.conftest import ROOT
from workflow.rendering import figure5, nn_direction
from workflow.rendering.nn_direction import CENTRES, DEVIATION, measure_faces, measure_plane, pairs, plane, train

COMMITTED = ROOT / "results/reference/nn_direction"


def test_each_data_point_or_each_sample_is_paired_once_with_its_nearest():
    distances = torch.tensor([[1.0, 5.0, 9.0], [2.0, 4.0, 3.0]])  # two data points, three samples
    assert [indices.tolist() for indices in pairs(distances, "imle")] == [[0, 0], [0, 1]]
    assert [indices.tolist() for indices in pairs(distances, "nn_gan")] == [[0, 1, 2], [0, 1, 1]]


@pytest.mark.parametrize(("n", "same"), [(1, True), (200, False)])
def test_the_directions_coincide_for_one_point_and_one_sample(n, same):
    """To the last bit: besides the pairs, nothing differs."""
    task = plane("ring", seed=0)
    task = replace(task, data=task.data[:n], samples=n, draws=3)
    first, second = (train(task, direction, "default", seed=0).state_dict() for direction in ("imle", "nn_gan"))
    assert all(torch.equal(first[name], second[name]) for name in first) is same


def test_measurements_of_known_samples_in_the_plane():
    ring = plane("ring", seed=0)
    oracle = measure_plane(ring, ring.data.repeat(50, 1))
    assert (oracle["modes"], oracle["covered"]) == (8, 1)
    assert oracle["on_a_mode"] > 0.97 and oracle["data_to_sample"] == pytest.approx(0, abs=1e-4)
    one = measure_plane(ring, CENTRES["ring"][3].repeat(1000, 1))
    assert one["modes"] == 1 and one["covered"] <= 1 / 8 and one["on_a_mode"] == 1
    # Exactly 19 samples make no mode; a sample of none is further than three deviations from every centre.
    few = torch.cat([CENTRES["ring"][0].repeat(19, 1), torch.zeros(1, 2) + 4 * DEVIATION])
    assert measure_plane(ring, few)["modes"] == 0 and measure_plane(ring, few)["on_a_mode"] == pytest.approx(0.95)


def test_measurements_of_known_samples_of_faces():
    data = torch.eye(10)
    task = replace(plane("ring", 0), name="faces", data=data)
    assert measure_faces(task, data.repeat(3, 1)) == pytest.approx(
        {"reached": 10, "effective_number": 10, "largest_share": 0.1, "data_to_sample": 0, "sample_to_data": 0},
        abs=1e-5,
    )
    one = measure_faces(task, data[:1].repeat(7, 1))
    assert one == pytest.approx(
        # Nine of ten unit vectors are at a squared distance of 2 from the first, and a vector has ten values.
        {"reached": 1, "effective_number": 1, "largest_share": 1, "data_to_sample": 0.18, "sample_to_data": 0},
        abs=1e-5,
    )


def test_the_spread_start_covers_the_data():
    ring = plane("ring", seed=0)
    alike, spread = (
        measure_plane(ring, nn_direction.fresh(ring, train(ring, None, start, 0), 0)) for start in ("default", "spread")
    )
    assert alike["covered"] == 0 and spread["covered"] > 0.5


@pytest.fixture(scope="module")
def short():
    """Less than a tenth of the trainings, one seed."""
    tasks = [lambda seed, name=name: replace(plane(name, seed), draws=30, spread_steps=30) for name in CENTRES]
    numbers, arrays = nn_direction.compare(tasks, measure_plane, seeds=(0,))
    drawings = partial(nn_direction.faces, np.random.default_rng(0).integers(256, size=(40, 8, 8, 3), dtype=np.uint8))
    faces = nn_direction.compare([lambda seed: replace(drawings(), draws=1)], measure_faces, seeds=(0,))
    return pd.concat([numbers, faces[0]]), arrays | faces[1]


def test_the_1nn_gan_drops_modes_and_imle_covers_the_data(short):
    covered = short[0].query("metric == 'covered' and data == 'ring'").set_index(["start", "direction"])["value"]
    assert covered["default", "imle"] > covered["default", "nn_gan"] + 0.3


def test_figure_and_table_show_all_parts(short, tmp_path):
    figure5.draw(*short, tmp_path / "a.png", tmp_path / "a.pdf")
    with Image.open(tmp_path / "a.png") as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(maxcolors=2**24)}
    assert {(0, 114, 178), (213, 94, 0)} <= colours
    lines = figure5.markdown(short[0]).splitlines()
    assert sum(line.startswith(("| ring", "| grid", "| faces")) for line in lines) == 3 * 2 * 3


def test_the_committed_numbers_are_near_those_of_the_reference_and_in_its_readme():
    numbers = pd.read_csv(COMMITTED / "numbers.csv")
    means = numbers.groupby(["data", "start", "direction", "metric"])["value"].mean()
    assert means["ring", "default", "nn_gan", "modes"] <= 2 and means["ring", "spread", "nn_gan", "modes"] <= 5
    assert means["ring", "default", "imle", "covered"] > 0.9 and means["grid", "default", "imle", "covered"] > 0.8
    for data in ("ring", "grid"):
        assert 0.05 < means[data, "default", "imle", "on_a_mode"] < 0.2
    assert means["faces", "default", "nn_gan", "reached"] == 1 and means["faces", "default", "imle", "reached"] > 50
    assert figure5.markdown(numbers) in (COMMITTED / "README.md").read_text()

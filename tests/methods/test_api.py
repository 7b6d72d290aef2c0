"""What every method inherits: random streams, mini-batches, and the way between floats and bytes."""

from __future__ import annotations

import torch

from methods.api import Method, Streams, to_float, to_uint8


def test_draws_depend_on_what_names_their_stream_alone():
    streams = Streams(0, "panda", "fastgan", "full")
    draw = torch.rand(3, generator=streams.generator("train", 7))
    torch.rand(10)  # other draws in between
    assert torch.equal(torch.rand(3, generator=streams.generator("train", 7)), draw)
    others = [
        streams.generator("train", 8),
        streams.generator("sample", 7),
        *(
            Streams(*names).generator("train", 7)
            for names in [
                (1, "panda", "fastgan", "full"),
                (0, "obama", "fastgan", "full"),
                (0, "panda", "mixdl", "full"),
                (0, "panda", "fastgan", "train90"),
            ]
        ),
    ]
    assert len({tuple(torch.rand(3, generator=other).tolist()) for other in others} | {tuple(draw.tolist())}) == 7


def test_an_epoch_shows_every_image_once():
    method = Method(None, 1, 1, torch.zeros(7, 1, 1, 1), Streams(0, "panda", "fastgan", "full"))
    pieces = [method.minibatch(step, 3) for step in range(6)]
    assert [len(piece) for piece in pieces] == [3, 3, 1] * 2
    epochs = [torch.cat(pieces[start : start + 3]).tolist() for start in (0, 3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 2
    assert epochs[0] != epochs[1]
    assert len(method.minibatch(0, 10)) == 7


def test_the_rest_of_an_epoch_is_kept_dropped_or_filled_from_the_next():
    for n in (7, 3):
        method = Method(None, 1, 1, torch.zeros(n, 1, 1, 1), Streams(0, "panda", "fastgan", "full"))
        filled = torch.cat([method.minibatch(step, 4, rest="fill") for step in range(2 * n)])
        assert all(sorted(epoch.tolist()) == list(range(n)) for epoch in filled.split(n))
        assert torch.equal(filled[:n], torch.cat([method.minibatch(step, 4) for step in range(-(-n // 4))]))
        dropped = [method.minibatch(step, 4, rest="drop") for step in range(3)]
        assert {len(piece) for piece in dropped} == {min(n, 4)}
        assert torch.equal(dropped[0], filled[: min(n, 4)])
        assert n < 4 or not torch.equal(dropped[1][:3], filled[4:7]), "the second piece is of the next permutation"


def test_bytes_survive_the_way_to_floats_and_back():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(-1, -1, -1, 3)
    assert torch.equal(to_uint8(to_float(levels)), levels)
    assert to_uint8(torch.tensor([-3.0, 3.0]).view(1, 1, 1, 2)).flatten().tolist() == [0, 255]

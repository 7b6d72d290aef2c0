"""Averaged weights, and the batch statistics that belong to them."""

from __future__ import annotations

import torch

from methods.averaging import moving_average, recompute_batch_statistics


def test_average_covers_parameters_only():
    """After k steps the average is the recursion's; BatchNorm statistics are the model's."""
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    average, expected = moving_average(model, 0.5), None
    for value in (1.0, 2.0, 4.0):
        for parameter in model.parameters():
            parameter.data.fill_(value)
        model(torch.randn(2, 1, 4, 4))
        average.update_parameters(model)
        expected = value if expected is None else 0.5 * expected + 0.5 * value
    assert all(torch.allclose(parameter, torch.tensor(expected)) for parameter in average.module.parameters())
    assert torch.equal(average.module[1].running_mean, model[1].running_mean)
    assert not any(parameter.requires_grad for parameter in average.parameters())


def test_recomputed_statistics_are_the_mean_over_batches():
    norm = torch.nn.BatchNorm2d(2).eval()
    batches = [torch.randn(5, 2, 3, 3) * scale for scale in (1, 2, 3)]
    recompute_batch_statistics(norm, [(batch,) for batch in batches])
    assert torch.allclose(norm.running_mean, torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0), atol=1e-6)
    assert torch.allclose(norm.running_var, torch.stack([b.var((0, 2, 3)) for b in batches]).mean(0), atol=1e-5)
    assert not norm.training and norm.momentum == 0.1

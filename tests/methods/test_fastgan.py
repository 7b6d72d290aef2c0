"""FastGAN: its networks' sizes, its losses, its averaged weights, and the contract that evaluation relies on."""

from __future__ import annotations

import copy

import pytest
import torch

from common.console import UserError
from methods.api import Latents, Streams
from methods.averaging import moving_average, recompute_batch_statistics
from methods.fastgan import FastGAN
from networks.fastgan import Discriminator, Generator, quadrant, small_size

TINY = {"nz": 8, "ngf": 2, "ndf": 2, "decoder_width": 4, "batch": 4, "bn_latents": 60, "perceptual": "alex"}


def mean_square(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """In place of LPIPS, so that a test needs no weights: a distance for each pair."""
    return (x - y).square().mean(dim=(1, 2, 3))


def build(resolution: int = 32, n: int = 6, **changes) -> FastGAN:
    """A tiny FastGAN on random images; the reconstruction loss is the mean square instead of LPIPS."""
    images = torch.rand(n, 3, resolution, resolution, generator=torch.Generator().manual_seed(0)) * 2 - 1
    streams = Streams(0, "noise", "fastgan", "full")
    with streams.seeded("initialisation"):
        method = FastGAN(FastGAN.Config(**(TINY | changes)), resolution, 3, images, streams)
    method.lpips = mean_square
    return method


def train(method: FastGAN, first: int, last: int) -> list[dict[str, float]]:
    return [method.train_step(step) for step in range(first, last)]


def sample(method: FastGAN, n: int = 5) -> torch.Tensor:
    with torch.no_grad():
        return method.generate(method.latents(n, torch.Generator().manual_seed(1)))


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def assert_equal_states(left, right) -> None:
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal_states(left[key], right[key])
    elif isinstance(left, list):
        for one, other in zip(left, right, strict=True):
            assert_equal_states(one, other)
    else:
        assert torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right


# ---------------------------------------------------------------------------------------------------- networks


def test_parameter_counts_at_paper_size():
    assert parameters(Generator(256)) == 29_127_846
    assert parameters(Discriminator(256)) == 11_526_160


@pytest.mark.parametrize(
    ("resolution", "generator_links", "discriminator_links"),
    [
        (32, {32: 4}, []),
        (64, {64: 4}, ["8"]),
        (128, {64: 4, 128: 8}, ["16", "8"]),
        (256, {64: 4, 128: 8, 256: 16}, ["32", "16", "8"]),
        (512, {64: 4, 128: 8, 256: 16, 512: 32}, ["32", "16", "8"]),
    ],
)
def test_every_resolution(resolution, generator_links, discriminator_links):
    """Two images, 50 logits, three reconstructions in [-1, 1], and the excitations that fit."""
    small = small_size(resolution)
    generator, discriminator = Generator(resolution, nz=4, ngf=2), Discriminator(resolution, ndf=2, decoder_width=4)
    assert generator.links == generator_links
    assert list(discriminator.excitations) == discriminator_links
    noise = {name: torch.randn(2, *shape) for name, shape in generator.noise_shapes.items()}
    images = generator(torch.randn(2, 4), noise)
    assert [tuple(batch.shape) for batch in images] == [(2, 3, resolution, resolution), (2, 3, small, small)]
    features = discriminator.features(*images)
    assert discriminator.logits(features).shape == (2, 50)
    for reconstruction in discriminator.reconstruct(features, part=3):
        assert reconstruction.shape == (2, 3, small, small)
        assert reconstruction.abs().max() <= 1


def test_initialisation():
    """Convolutions N(0, 0.02), BatchNorm weights N(1, 0.02), biases and noise weights zero."""
    state = Generator(64, nz=64, ngf=16).state_dict()
    convolutions = torch.cat([value.flatten() for name, value in state.items() if name.endswith("original")])
    norms = torch.cat([value for name, value in state.items() if name.endswith(("norm.weight", "start.1.weight"))])
    assert convolutions.mean().abs() < 1e-3 and abs(convolutions.std() - 0.02) < 1e-3
    assert abs(norms.mean() - 1) < 3e-3 and abs(norms.std() - 0.02) < 3e-3
    assert all(not value.any() for name, value in state.items() if name.endswith(("bias", "noise_weight")))


def test_noise_reaches_the_image_once_its_weight_is_not_zero():
    generator = Generator(32, nz=4, ngf=2).eval()
    z = torch.randn(1, 4)
    first, second = ({name: torch.randn(1, *s) for name, s in generator.noise_shapes.items()} for _ in range(2))
    assert torch.equal(generator(z, first)[0], generator(z, second)[0])
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_weight"):
            parameter.data.fill_(1.0)
    for name in generator.noise_shapes:
        assert not torch.equal(generator(z, first)[0], generator(z, first | {name: second[name]})[0]), name


def test_quadrants_in_reading_order():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    corners = [quadrant(image, part)[0, 0, 0, 0].item() for part in range(4)]
    assert corners == [0, 2, 8, 10]


# ------------------------------------------------------------------------------------------------------ losses


def test_hinge_margins_are_smoothed_labels():
    """At logit zero the loss is the mean margin; margins are one per logit within [0.8, 1]."""
    method = build()
    rng = torch.Generator().manual_seed(0)
    singles = torch.stack([method._hinge(torch.zeros(1), rng) for _ in range(500)])
    assert 0.8 <= singles.min() < 0.81 and 0.99 < singles.max() <= 1
    logits = torch.zeros(100, requires_grad=True)
    method._hinge(logits + torch.linspace(0.8, 1, 100), rng).backward()
    assert 0 < (logits.grad == 0).sum() < 100  # a shared margin would cut all logits off at one value


def test_reconstruction_sums_over_pairs_and_batch():
    """Three pairs of batches, each far by a constant: the sum over all, not the mean."""
    method = build()
    distances = (0.1, 0.2, 0.3)
    images = tuple(torch.full((4, 3, 16, 16), distance) for distance in distances)
    loss = method._perceptual_distance(images, [torch.zeros(4, 3, 16, 16)] * 3)
    assert loss.item() == pytest.approx(4 * sum(distance**2 for distance in distances), rel=1e-5)


def test_reconstruction_targets(monkeypatch):
    """Whole image, whole image, and the very quadrant that is decoded, each resized by nearest neighbour."""
    method = build()
    parts, seen = [], []
    decode = method.discriminator.reconstruct
    monkeypatch.setattr(method.discriminator, "reconstruct", lambda f, part: parts.append(part) or decode(f, part))
    method._perceptual_distance = lambda images, targets: seen.append(targets) or torch.zeros(())
    real = method.images
    for seed in range(12):
        method._discriminator_losses(real, [real, method._small(real)], torch.Generator().manual_seed(seed))
    assert set(parts) == {0, 1, 2, 3}
    for part, (whole, small, quarter) in zip(parts, seen, strict=True):
        assert torch.equal(whole, real[:, :, ::2, ::2]) and torch.equal(small, whole)
        row, column = 16 * (part // 2), 16 * (part % 2)
        assert torch.equal(quarter, real[:, :, row : row + 16, column : column + 16])


def test_reconstruction_with_real_lpips(lpips_weights):
    """AlexNet takes the 16 px reconstructions, enlarged; the loss is zero for equals and reaches the decoders."""
    method = build()
    del method.lpips
    features = method.discriminator.features(method.images, method._small(method.images))
    decoded = method.discriminator.reconstruct(features, 0)
    assert method._perceptual_distance(decoded, [image.detach() for image in decoded]).item() < 1e-6
    loss = method._perceptual_distance(decoded, [method._small(method.images)] * 3)
    loss.backward()
    assert loss > 0
    gradients = [p.grad for name, p in method.discriminator.named_parameters() if "decoder" in name]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_real_images_are_mirrored_only_if_asked():
    """A step's mini-batch holds the images themselves, or each of them or its mirror image."""
    plain, mirrored = build(flip=False), build(flip=True, batch=6)
    batch = plain._real_images(0, torch.Generator().manual_seed(0))
    assert torch.equal(batch, plain.images[plain.minibatch(0, 4)])
    batch = mirrored._real_images(0, torch.Generator().manual_seed(0))
    originals = mirrored.images[mirrored.minibatch(0, 6)]
    same = (batch == originals).all(dim=(1, 2, 3))
    assert same.any() and not same.all()
    assert torch.equal(batch[~same], originals[~same].flip(3))


# ---------------------------------------------------------------------------------------------------- training


def test_training_reports_and_learns():
    """The three scalars are there, and the reconstruction loss falls."""
    history = train(build(learning_rate=2e-3, batch=6), 0, 30)
    assert set(history[0]) == {"d_loss", "g_loss", "reconstruction"}
    first, last = (sum(row["reconstruction"] for row in rows) for rows in (history[:5], history[-5:]))
    assert last < 0.8 * first


def test_generator_step_leaves_the_discriminator_alone(monkeypatch):
    """With the discriminator's optimiser disabled only the generator moves, and no gradient is left behind for D."""
    method = build()
    monkeypatch.setattr(method.discriminator_optimiser, "step", lambda: None)
    g, d = (copy.deepcopy(list(network.parameters())) for network in method.networks().values())
    train(method, 0, 1)
    assert all(torch.equal(a, b) for a, b in zip(d, method.discriminator.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(g, method.generator.parameters(), strict=True))


def test_freeze_does_not_disturb_training():
    """The same steps with and without sample grids in between give the same weights, to the bit."""
    undisturbed, disturbed = build(), build()
    train(undisturbed, 0, 3)
    for step in range(3):
        disturbed.freeze()
        sample(disturbed)
        disturbed.train_step(step)
    assert_equal_states(undisturbed.state_dict(), disturbed.state_dict())


@pytest.mark.parametrize("freeze", [False, True])
def test_state_round_trip_continues_to_the_bit(freeze):
    """Optimisers, averages, BatchNorm statistics and spectral-norm vectors are all in the state."""
    whole = build()
    train(whole, 0, 3)
    if freeze:
        whole.freeze()
    resumed = build()
    train(resumed, 7, 8)  # another past, to be forgotten
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    assert torch.equal(sample(whole), sample(resumed))
    assert train(whole, 3, 5) == train(resumed, 3, 5)
    assert_equal_states(whole.state_dict(), resumed.state_dict())


# ---------------------------------------------------------------------------------------------------- sampling


def test_average_covers_parameters_only():
    """After k steps the average is the recursion's; BatchNorm statistics and spectral-norm vectors are the model's."""
    decay = 0.5
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    average = moving_average(model, decay)
    expected = None
    for value in (1.0, 2.0, 4.0):
        for parameter in model.parameters():
            parameter.data.fill_(value)
        model(torch.randn(2, 1, 4, 4))
        average.update_parameters(model)
        expected = value if expected is None else decay * expected + (1 - decay) * value
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


def test_frozen_samples_resemble_those_of_training_mode():
    """Recomputed statistics stand for the batch statistics that the official code samples with; stale ones do not."""
    method = build(learning_rate=2e-3)
    train(method, 0, 12)
    latents = method.latents(64, torch.Generator().manual_seed(1))
    with torch.no_grad():
        stale = method.generate(latents)
        method.freeze()
        frozen = method.generate(latents)
        reference = copy.deepcopy(method.sampler()).train()(latents.z, latents.noise)[0]
    assert (frozen - reference).abs().mean() < 0.2 * (stale - reference).abs().mean()


def test_an_image_does_not_depend_on_its_batch():
    method = build()
    train(method, 0, 2)
    method.freeze()
    latents = method.latents(7, torch.Generator().manual_seed(2))
    with torch.no_grad():
        together = method.generate(latents)
        apart = torch.cat([method.generate(piece) for piece in latents.chunks(3)])
    assert (together - apart).abs().max() <= 1e-5


def test_generate_is_deterministic_and_differentiable_in_z():
    method = build()
    method.freeze()
    assert torch.equal(sample(method), sample(method))
    latents = method.latents(3, torch.Generator().manual_seed(0))
    z = latents.z.requires_grad_()
    method.generate(Latents(z, latents.noise)).square().sum().backward()
    assert z.grad.isfinite().all() and (z.grad != 0).any(dim=1).all()
    assert all(parameter.grad is None for parameter in method.sampler().parameters())


def test_description_and_sampling_need_no_lpips_weights():
    """LPIPS is loaded by training alone: other commands run before anything was fetched."""
    method = build()
    del method.lpips
    method.freeze()
    sample(method)
    assert "lpips" not in vars(method)


def test_unsupported_resolution_is_one_sentence():
    with pytest.raises(UserError, match="resolution: fastgan cannot draw 48 px"):
        FastGAN(FastGAN.Config(), 48, 3, torch.zeros(1, 3, 48, 48), Streams(0, "noise", "fastgan", "full"))


def test_small_image_is_half_up_to_128():
    assert [small_size(resolution) for resolution in (32, 64, 256, 512, 1024)] == [16, 32, 128, 128, 128]

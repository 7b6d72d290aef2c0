"""The code that all methods of the IMLE family share.  A method decides only which image gets a new sample, and when.

Each training image x_i has a latent code z_i: the candidate of a pool whose sample was nearest to x_i.  The generator T
is trained to pull T(z_i) to x_i.  A method of the family is a policy for reassigning the z_i: see `adaptive_imle.py`
and `vanilla_imle.py`.

Throughout, `indices` are those of training images, a LongTensor (k,) on the method's device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from common.console import UserError
from methods.api import Latents, Method, Scalars, Streams
from methods.averaging import moving_average
from methods.imle.distance import Distance, DistanceConfig, Targets
from methods.imle.pool import Pool
from methods.imle.search import Search, SearchConfig, search_targets
from networks.vdvae_decoder import VDVAEDecoder

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@dataclass(frozen=True)
class GeneratorConfig:
    """networks/vdvae_decoder.py.  Defaults are the official code's (AdaIMLE 4f785e1)."""

    blocks: str = "1x4,4m1,4x4,8m4,8x4,16m8,16x3,32m16,32x2,64m32,64x2,128m64,128x2,256m128"  # up to the images' side
    width: int = 384  # channels at every resolution
    bottleneck: float = 0.25  # inner width of the residual blocks, as a share of `width`
    latent_dim: int = 1024  # paper: the same
    mapping_depth: int = 8  # layers of the mapping network
    spatial_noise: bool = True  # does each block add a noise map?
    norm_eps: float = 1e-5  # added to the variances that instance normalisation divides by


@dataclass(frozen=True)
class OptimisationConfig:
    """Defaults are the official code's (AdaIMLE 4f785e1); "paper" marks where the ICLR 2023 text differs."""

    latent_perturbation: float = 0.001  # standard deviation of the noise added to a chosen z; paper: none
    batch: int = 4  # paper: the same
    shuffle: bool = True  # a new order of the images in each epoch
    optimizer: Literal["adam", "adamw"] = "adamw"  # paper: adam
    learning_rate: float = 1e-4  # official: Obama and Cat 5e-5; paper: 2e-6
    betas: tuple[float, float] = (0.9, 0.9)  # paper: not stated
    weight_decay: float = 0.01  # paper: none
    warmup_steps: int = 100  # linear; paper: none
    sample_from: Literal["raw", "ema"] = "raw"  # the weights that are evaluated
    ema_decay: float = 0.9999  # of the averaged weights, with sample_from: ema


class IMLE(Method):
    """Implicit maximum likelihood estimation.

    Subclasses call `reassign` from `initialise`, `before_epoch` and `after_update` for the images that need a new
    latent.  They may override `screen` to change which candidates these images get, `pool_size` and `learning_rate`.
    """

    @property
    def screened_at_once(self) -> int | None:
        """Candidates that `screen` needs together; None: any number."""
        return None

    @dataclass(frozen=True)
    class Config(OptimisationConfig, SearchConfig, DistanceConfig, GeneratorConfig):
        pass

    def __init__(self, config: Config, resolution: int, channels: int, images: Tensor, streams: Streams) -> None:
        super().__init__(config, resolution, channels, images, streams)
        self.decoder = VDVAEDecoder(
            config.blocks,
            config.width,
            config.bottleneck,
            config.latent_dim,
            config.mapping_depth,
            channels,
            config.spatial_noise,
            config.norm_eps,
        ).to(self.device)
        if self.decoder.resolution != resolution:
            raise UserError(f"`blocks` ends at resolution {self.decoder.resolution}, but the images have {resolution}")
        self.average = moving_average(self.decoder, config.ema_decay) if config.sample_from == "ema" else None
        self.optimizer = OPTIMIZERS[config.optimizer](
            self.decoder.parameters(),
            lr=config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.distance = Distance(config, self.device)
        self.targets = Targets(images, self.distance.embed, config.target_cache_gib * 2**30)
        pool = Pool(self.pool_size(), self._prior, streams)
        compared = search_targets(config, self.distance, self.targets, streams)
        screen = self.screen if type(self).screen is not IMLE.screen else None
        self.search = Search(pool, compared, config.pool_batch, self.generate_raw, screen, self.screened_at_once)
        self.everyone = torch.arange(len(images), device=self.device)
        self.reassigned = 0  # images given a new latent in this step
        self.trained_distance = torch.zeros(len(images), device=self.device)  # of each image when it was last trained
        # Placeholders until `initialise`.
        self.assigned = self._prior(len(images), streams.generator("unassigned")).to(self.device)

    # The policy -------------------------------------------------------------------------------------------------

    def initialise(self) -> None:
        """Before the first step: give every image its nearest candidate."""
        self.reassign(self.everyone)

    def before_epoch(self, epoch: int) -> None:
        """Called at the start of every epoch but the first."""

    def after_update(self, indices: Tensor) -> None:
        """Called after each optimiser step, with the indices of its mini-batch."""

    def pool_size(self) -> int:
        """Candidates in a pool."""
        return self.config.pool_size or int(self.config.pool_factor * len(self.images))

    def learning_rate(self, step: int) -> float:
        """A linear warm-up that starts at zero, then constant."""
        return self.config.learning_rate * min(
            1.0, step / self.config.warmup_steps if self.config.warmup_steps else 1.0
        )

    def screen(self, distances: Tensor) -> Tensor:
        """May forbid candidates by setting entries to infinity.

        distances: Euclidean, (images, candidates), in the search space, for a part of the pool at a time.
        """
        return distances

    def scalars(self) -> Scalars:
        """What a policy adds to the log."""
        return {}

    # What a policy is made of -----------------------------------------------------------------------------------

    def reassign(self, indices: Tensor, share_pool: bool = False) -> None:
        """Give each of these images the latent of its nearest sample, slightly perturbed.

        share_pool: successive calls may use candidates of the same pool.
        """
        chosen = (self.search.shared(indices) if share_pool else self.search.fresh(indices)).to(self.device)
        # Indexed by image: an image gets at most one candidate per search, so no perturbation is used twice.
        generator = self.streams.generator("perturbation", self.search.count - 1)
        perturbation = torch.randn(self.assigned.z.shape, generator=generator).to(self.device)[indices]
        self.assigned.z[indices] = chosen.z + self.config.latent_perturbation * perturbation
        for name, maps in chosen.noise.items():
            self.assigned.noise[name][indices] = maps
        self.reassigned += len(indices)

    @torch.no_grad()
    def current_distance(self, indices: Tensor) -> Tensor:
        """d(x_i, T(z_i)) of these images with the current generator, (k,)."""
        return torch.cat([self.sample_distance(some) for some in indices.split(self.config.pool_batch)])

    def sample_distance(self, indices: Tensor) -> Tensor:
        """The same, with gradients, in one batch."""
        samples = self.generate_raw(self.assigned[indices])
        return (self.distance.embed(samples) - self.targets[indices]).square().sum(dim=1)

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.images) // self.config.batch)

    def minibatch(self, step: int, size: int, rest: Literal["keep", "drop", "fill"] = "keep") -> Tensor:
        if self.config.shuffle:
            return super().minibatch(step, size, rest)
        start = step % self.steps_per_epoch * size
        return self.everyone[start : start + size]

    # Training ---------------------------------------------------------------------------------------------------

    def train_step(self, step: int) -> Scalars:
        self.reassigned = 0
        epoch, position = divmod(step, self.steps_per_epoch)
        if step == 0:
            self.initialise()
        elif position == 0:
            self.before_epoch(epoch)
        indices = self.minibatch(step, self.config.batch)
        loss = self.descend(step, indices)
        self.after_update(indices)
        counts = {"reassigned": float(self.reassigned), "pool_images": float(self.search.generated)}
        return {"loss": loss, **counts, **self.scalars()}

    def descend(self, step: int, indices: Tensor) -> Tensor:
        """One optimiser step on the mean distance between these images and their samples; returns that mean."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.zero_grad()
        distance = self.sample_distance(indices)
        loss = distance.mean()
        loss.backward()
        self.trained_distance[indices] = distance.detach()
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.decoder)
        return loss.detach()

    # The rest of the contract -----------------------------------------------------------------------------------

    def latents(self, n: int, generator: torch.Generator) -> Latents:
        return self._prior(n, generator).to(self.device)

    def _prior(self, n: int, generator: torch.Generator) -> Latents:
        """n standard normal latents, on the CPU: a code and one noise map per resolution of the decoder."""
        z = torch.randn(n, self.config.latent_dim, generator=generator)
        sizes = self.decoder.noise_resolutions
        return Latents(z, {str(size): torch.randn(n, 1, size, size, generator=generator) for size in sizes})

    def generate(self, latents: Latents) -> Tensor:
        return self.sampler()(latents.z, latents.noise)

    def generate_raw(self, latents: Latents) -> Tensor:
        """Images from the weights in training, also if `generate` uses averaged weights."""
        latents = latents.to(self.device)
        return self.decoder(latents.z, latents.noise)

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.decoder}

    def sampler(self) -> nn.Module:
        return self.decoder if self.average is None else self.average.module

    def state_dict(self) -> dict[str, Any]:
        return {
            "decoder": self.decoder.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "z": self.assigned.z,
            "noise": self.assigned.noise,
            "trained_distance": self.trained_distance,
            "search": self.search.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.decoder.load_state_dict(state["decoder"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.assigned.z.copy_(state["z"])
        for name, maps in self.assigned.noise.items():
            maps.copy_(state["noise"][name])
        self.trained_distance.copy_(state["trained_distance"])
        self.search.load_state_dict(state["search"])

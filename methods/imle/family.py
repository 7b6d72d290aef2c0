"""What all methods of the IMLE family share: everything but the question of which image gets a new sample, and when.

Each training image x_i owns a latent code z_i, chosen among a pool of candidates because its sample lay nearest to x_i;
the generator T is trained to pull T(z_i) to x_i.  A method of the family is a policy for reassigning the z_i: see
`adaptive_imle.py` and `vanilla_imle.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from common.console import UserError
from methods.api import Latents, Method, Streams
from methods.averaging import moving_average
from methods.imle.distance import Distance, TargetEmbeddings, squared_distances
from methods.imle.pool import LazyPool, Pool
from methods.imle.search import Projection, Sketch, euclidean, nearest
from networks.vdvae_decoder import VDVAEDecoder

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


class IMLE(Method):
    """Implicit maximum likelihood estimation; subclasses decide by `initialise`, `before_epoch` and `after_update`
    which images call `reassign`, and by `search_space` and `screen` which candidates they may be given.
    """

    @dataclass(frozen=True)
    class Config:
        """Defaults are the official code's (AdaIMLE 4f785e1); "paper" marks where the ICLR 2023 text differs."""

        # Generator (networks/vdvae_decoder.py); its last block must have the resolution of the images.
        blocks: str = "1x4,4m1,4x4,8m4,8x4,16m8,16x3,32m16,32x2,64m32,64x2,128m64,128x2,256m128"
        width: int = 384  # channels at every resolution
        bottleneck: float = 0.25  # inner width of the residual blocks, as a share of `width`
        latent_dim: int = 1024  # paper: the same
        mapping_depth: int = 8  # layers of the mapping network
        # Distance (imle/distance.py)
        perceptual: Literal["vgg", "alex"] = "vgg"
        perceptual_upsample: int = 1  # factor by which images are enlarged for LPIPS; 2 for AlexNet at 32 px
        lpips_weight: float = 1.0  # 0: the pixel distance of Li & Malik (2018); LPIPS still guides a projected search
        mse_weight: float = 0.1
        target_cache_gib: float = 4.0  # embeddings of the training images are kept if they fit into this
        # Pool and search (imle/pool.py, imle/search.py)
        pool_factor: float = 100.0  # candidates per training image; official: Panda 200
        pool_size: int | None = None  # m, if it shall not depend on the number of images; paper: not stated
        pool_batch: int = 16  # images generated at once where no gradient is needed
        pool_bf16: bool = False  # generate and embed candidates in bfloat16; official: no
        search: Literal["exact", "sketch", "lazy", "projected"] = "projected"  # paper: exact
        proj_dim: int = 800  # of the projected search
        sketch_dim: int = 2047  # of the search by sketches, and the lazy one
        lazy_renewed: int = 4  # of the lazy search: candidates renewed for every point that is given one
        lazy_shortlist: int = 4  # and candidates generated anew, to be compared
        latent_perturbation: float = 0.001  # standard deviation of the noise added to a chosen z; paper: none
        # Optimisation
        batch: int = 4  # paper: the same
        optimizer: Literal["adam", "adamw"] = "adamw"  # paper: adam
        learning_rate: float = 1e-4  # official: Obama and Cat 5e-5; paper: 2e-6
        betas: tuple[float, float] = (0.9, 0.9)  # paper: not stated
        weight_decay: float = 0.01  # paper: none
        warmup_steps: int = 100  # linear; paper: none
        # Sampling
        sample_from: Literal["raw", "ema"] = "raw"  # the weights that are evaluated
        ema_decay: float = 0.9999  # of the averaged weights, if they are

    def __init__(self, config: Config, resolution: int, channels: int, images: Tensor, streams: Streams) -> None:
        super().__init__(config, resolution, channels, images, streams)
        self.decoder = VDVAEDecoder(
            config.blocks, config.width, config.bottleneck, config.latent_dim, config.mapping_depth, channels
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
        self.distance = Distance(
            self.device, config.perceptual, config.perceptual_upsample, config.lpips_weight, config.mse_weight
        )
        cache = config.target_cache_gib * 2**30
        self.targets = TargetEmbeddings(images, self.distance.embed, cache)
        self.points = self.targets  # the training images as the search sees them
        if config.search == "projected":
            self.points = TargetEmbeddings(images, Projection(self.distance.layers, config.proj_dim, streams))
        elif config.search != "exact":
            self.points = TargetEmbeddings(images, Sketch(self.distance.parts, config.sketch_dim, streams))
        self.pool = Pool(config.pool_size or int(config.pool_factor * len(images)), self._prior, streams)
        self.lazy = LazyPool(self.pool.size, config.sketch_dim, self.device) if config.search == "lazy" else None
        self.pools = 0  # searches so far; but for the lazy one, each has a pool of its own, numbered in order
        self.generated = 0  # candidates so far
        self.reassigned = 0  # images given a new latent in this step
        self.everyone = torch.arange(len(images), device=self.device)
        self.latest = torch.zeros(len(images), device=self.device)  # the distance that each image last trained on
        # Placeholders until `initialise`.
        self.assigned = self._prior(len(images), streams.generator("unassigned")).to(self.device)

    # The policy -------------------------------------------------------------------------------------------------

    def initialise(self) -> None:
        """Before the first step: give every image its nearest candidate."""
        self.reassign(self.everyone)

    def before_epoch(self, epoch: int) -> None:
        """Called at the start of every epoch but the first."""

    def after_update(self, batch: Tensor) -> None:
        """Called after each optimiser step, with the indices of its mini-batch."""

    def search_space(self, features: Tensor) -> Tensor:
        """May map the features (n, d) of training images and candidates to where they are compared."""
        return features

    def screen(self, distances: Tensor) -> Tensor:
        """May forbid candidates by raising entries to infinity.  distances: Euclidean, (points, candidates), in the
        search space, for a part of the pool at a time; of a lazy search first as remembered, then as they are.
        """
        return distances

    def scalars(self) -> dict[str, float]:
        """What a policy adds to the log."""
        return {}

    # What a policy is made of -----------------------------------------------------------------------------------

    def reassign(self, points: Tensor) -> None:
        """Search and give each of these training images the latent of its nearest sample."""
        self.assign(points, self.search(points))

    @torch.no_grad()
    def search(self, points: Tensor) -> Tensor:
        """Draw a fresh pool with the current generator, or renew the lazy one; each point's nearest candidate."""
        self.pools += 1
        targets = self.search_space(self.points.cached[points])
        if self.lazy is not None:
            return self._search_lazily(self.lazy, targets)
        batches = self.pool.batches(self.pools - 1, self.config.pool_batch)
        return nearest(targets, (self.search_space(self._features(latents)) for latents in batches), self.screen)

    def _search_lazily(self, pool: LazyPool, targets: Tensor) -> Tensor:
        """Rank the whole pool by remembered features and the best of it by fresh ones."""
        self._look_at(pool, pool.renew(self.config.lazy_renewed * len(targets)))
        remembered = self.screen(euclidean(targets, self.search_space(pool.features)))
        slots = pool.shortlist(remembered, self.config.lazy_shortlist)
        self._look_at(pool, slots)
        return pool.take(slots[nearest(targets, [self.search_space(pool.features[slots])], self.screen)])

    def _look_at(self, pool: LazyPool, slots: Tensor) -> None:
        for some in slots.split(self.config.pool_batch):
            pool.features[some] = self._features(self.pool.candidates(0, pool.serial[some].tolist()))

    def _features(self, latents: Latents) -> Tensor:
        """What the search sees of these candidates under the current generator, (n, d)."""
        self.generated += len(latents)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.pool_bf16):
            return self.points.embed(self._images(self.decoder, latents.to(self.device))).float()

    def assign(self, points: Tensor, candidates: Tensor) -> None:
        """Give each of these training images a candidate of the last search, slightly perturbed."""
        number = self.pools - 1
        chosen = self.pool.candidates(number if self.lazy is None else 0, candidates.tolist()).to(self.device)
        # Indexed by image: a point takes from one search once at most, so no perturbation is used twice.
        jitter = torch.randn(self.assigned.z.shape, generator=self.streams.generator("perturbation", number))
        self.assigned.z[points] = chosen.z + self.config.latent_perturbation * jitter.to(self.device)[points]
        for name, maps in chosen.noise.items():
            self.assigned.noise[name][points] = maps
        self.reassigned += len(points)

    @torch.no_grad()
    def distances(self, points: Tensor) -> Tensor:
        """d(x_i, T(z_i)) of these training images under the current generator, (len(points),)."""
        return torch.cat([self._distances(some) for some in points.split(self.config.pool_batch)])

    # Training ---------------------------------------------------------------------------------------------------

    def train_step(self, step: int) -> dict[str, float]:
        self.reassigned = 0
        epoch, position = divmod(step, -(-len(self.images) // self.config.batch))
        if step == 0:
            self.initialise()
        elif position == 0:
            self.before_epoch(epoch)
        batch = self.minibatch(step, self.config.batch)
        loss = self.descend(step, batch)
        self.after_update(batch)
        counts = {"reassigned": float(self.reassigned), "pool_images": float(self.generated)}
        return {"loss": loss, **counts, **self.scalars()}

    def descend(self, step: int, batch: Tensor) -> float:
        """One optimiser step on the mean distance between these images and their samples; returns that mean."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * min(1.0, (step + 1) / max(1, self.config.warmup_steps))
        self.optimizer.zero_grad()
        distances = self._distances(batch)
        loss = distances.mean()
        loss.backward()
        self.latest[batch] = distances.detach()
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.decoder)
        return loss.item()

    def _distances(self, points: Tensor) -> Tensor:
        samples = self._images(self.decoder, self.assigned[points])
        return squared_distances(self.distance.embed(samples), self.targets[points])

    # The rest of the contract -----------------------------------------------------------------------------------

    def latents(self, n: int, generator: torch.Generator) -> Latents:
        return self._prior(n, generator).to(self.device)

    def _prior(self, n: int, generator: torch.Generator) -> Latents:
        """n standard normal latents, on the CPU: a code and one noise map per resolution of the decoder."""
        z = torch.randn(n, self.config.latent_dim, generator=generator)
        sizes = self.decoder.noise_resolutions
        return Latents(z, {str(size): torch.randn(n, 1, size, size, generator=generator) for size in sizes})

    @staticmethod
    def _images(decoder: nn.Module, latents: Latents) -> Tensor:
        return decoder(latents.z, latents.noise)

    def generate(self, latents: Latents) -> Tensor:
        return self._images(self.sampler(), latents)

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
            "pools": self.pools,
            "generated": self.generated,
            "latest": self.latest,
            "lazy": None if self.lazy is None else self.lazy.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.decoder.load_state_dict(state["decoder"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.assigned.z.copy_(state["z"])
        for name, maps in self.assigned.noise.items():
            maps.copy_(state["noise"][name])
        self.pools, self.generated = state["pools"], state["generated"]
        self.latest.copy_(state["latest"])
        if self.lazy is not None:
            self.lazy.load_state_dict(state["lazy"])

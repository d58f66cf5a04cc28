"""The paper's model: landmarks fused by the frozen Φ, then the U-Net Ω of stage 2 (Eq. 2 and
7-9)."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from expr_lib.checkpoints import put_weights, read_tensors, save_tensors
from expr_lib.config import RunSettings, TransferSettings
from expr_lib.cuda import Ahead, Recorded
from expr_lib.drawing import draw_landmarks
from expr_lib.errors import BrokenCheckpoint
from expr_lib.faceset import FaceSet
from expr_lib.losses import discriminator_loss, generator_loss, pixel_l1
from expr_lib.methods.base import FaceBatch, Method
from expr_lib.methods.fusion import MODEL, LandmarkFusion, build_fusion
from expr_lib.methods.tensors import (
    LAYOUT,
    PhotoStore,
    build_adam,
    build_generator,
    join,
    to_photos,
    to_tensor,
    working_precision,
)
from expr_lib.metrics import mouth_psnr, psnr, ssim
from expr_lib.models.patchgan import PatchGAN
from expr_lib.models.unet import UNet
from expr_lib.photos import as_grey
from expr_lib.points import flip_points
from expr_lib.processes import Share, choose_device, share_statistics, team
from expr_lib.samples import SOURCE, TARGET, TRUTH
from expr_lib.splits import PARTS, Split
from expr_lib.training import TrainingCollapsed, memory_named, rate_factor, set_rate, train
from expr_lib.watching import sample_grid

WON = 0.02
"""Loss of D_I (1.39 when it cannot tell) below which it has won."""
ENOUGH = 1_000
"""Photos that an untrained generator, whose pictures are all grey, has to see before that is
odd."""
CONSTANT = 0.02
"""Spread of generated pictures over that of the true ones below which they are all the same."""


class TransferLearner:
    """One step of Eq. 9: the generator paints once; D_I learns from it (Eq. 7), then the generator
    learns."""

    def __init__(
        self, faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings
    ) -> None:
        self.run = settings
        self.settings = s = settings.transfer
        self.batch, self.probes = s.batch, s.curve_points
        self.share = Share(s.batch, "transfer.batch")
        self.device = choose_device()
        self.precision = working_precision(s.precision, self.device)
        self.samples = split.samples(settings.seed, s.epoch)
        self.epoch = len(self.samples)
        self.steps = s.steps(self.epoch)
        self.photos = PhotoStore(faces, self.samples.rows, settings.size, self.device)
        self.points = torch.from_numpy(np.array(faces.landmarks)).to(self.device)
        self.fusion = fusion.network.to(self.device).eval()

        torch.manual_seed(settings.seed)
        self.generator = build_generator(settings).to(self.device).to(memory_format=LAYOUT)
        share_statistics(self.generator)
        self.discriminator = (
            PatchGAN(
                in_channels=7 if s.discriminator_sees_landmarks else 6,
                filters=s.discriminator_filters,
                activation=s.discriminator_activation,
            )
            .to(self.device)
            .to(memory_format=LAYOUT)
        )
        self.optimiser = build_adam(self.generator.parameters(), self.device)
        self.optimiser_d = build_adam(self.discriminator.parameters(), self.device)
        self.modules: Mapping[str, nn.Module] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
        }
        self.optimisers: Mapping[str, Optimizer] = {
            "generator": self.optimiser,
            "discriminator": self.optimiser_d,
        }
        self.seen = 0  # photos
        self.ahead: Ahead | None = None
        self.learn: Callable[..., dict[str, Tensor]] = self._learn
        if self.device.type == "cuda":
            self.ahead = Ahead(self._draw)
            if team().num_processes == 1:
                self.learn = Recorded(self._learn)
        self.keeps_best = s.keep == "best" and split.can_choose
        self.grey = faces.grey
        self.probed = {}
        for part in PARTS[1:]:
            triples = split.pairs(part, s.curve_pairs, settings.seed)
            batches = [FaceBatch.of(faces, triples[:, i], settings.size) for i in range(3)]
            self.probed[part] = batches

    def _autocast(self) -> AbstractContextManager[None]:
        lower = self.precision != torch.float32
        return torch.autocast(self.device.type, dtype=self.precision, enabled=lower)

    def _draw(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """P_t and I_o (N, 3, H, W) and J_gen drawn (N, 1, H, W), all in [-1, 1]."""
        triples = self.samples.draw(step, self.batch)[self.share.rows]
        target, truth = (
            to_tensor(self.photos.take(triples[:, c]), self.device) for c in (TARGET, TRUTH)
        )
        places = torch.from_numpy(triples).to(self.device)
        source_points, target_points, truth_points = (
            self.points[places[:, c]] for c in (SOURCE, TARGET, TRUTH)
        )
        if self.settings.flips:
            flips = np.random.default_rng([self.run.seed, 5, step]).random(self.batch) < 0.5
            mirrored = torch.from_numpy(flips[self.share.rows]).to(self.device)[:, None, None]
            source_points, target_points, truth_points = (
                torch.where(mirrored, flip_points(p), p)
                for p in (source_points, target_points, truth_points)
            )
            target, truth = (
                torch.where(mirrored[..., None], image.flip(-1), image) for image in (target, truth)
            )
        if self.settings.landmarks == "true":
            points = truth_points
        else:
            with torch.no_grad():
                points = self.fusion.fuse(source_points, target_points)
        drawn = draw_landmarks(points, self.run.size, style=self.settings.landmark_style)
        return target, truth, drawn

    def _pair(self, target: Tensor, photo: Tensor, drawn: Tensor) -> Tensor:
        parts = [target, photo]
        if self.settings.discriminator_sees_landmarks:
            parts.append(drawn)
        return torch.cat(parts, dim=1)

    def step(self, step: int) -> dict[str, Tensor]:
        """One step of D_I (Eq. 7) and one of Ω (Eq. 9)."""
        s = self.settings
        factor = rate_factor(step, self.steps, s.schedule)
        set_rate(self.optimiser, s.learning_rate * factor)
        set_rate(self.optimiser_d, s.discriminator_rate * factor)
        self.seen = (step + 1) * self.batch
        self.generator.train()
        if self.ahead is None:
            return self.learn(*self._draw(step))
        losses = self.learn(*self.ahead.take(step))
        self.ahead.prepare(step + 1)
        return losses

    def _learn(self, target: Tensor, truth: Tensor, drawn: Tensor) -> dict[str, Tensor]:
        s = self.settings
        losses = {}
        with self._autocast():
            painted = self.generator(join(target, drawn))  # I_gen, Eq. 2
        l1 = pixel_l1(painted, truth)
        total = s.weight_l1 * l1
        losses["l1"] = l1
        if s.weight_adversarial:
            losses["discriminator"] = self._teach_discriminator(target, truth, painted, drawn)
            self.discriminator.requires_grad_(False)
            with self._autocast():
                logits = self.discriminator(self._pair(target, painted, drawn))
            self.discriminator.requires_grad_(True)
            adversarial = generator_loss(logits, s.adversarial_loss, s.generator_loss)
            losses["adversarial"] = adversarial
            total = total + s.weight_adversarial * adversarial
        self.optimiser.zero_grad(set_to_none=True)
        (total * self.share.weight).backward()
        self.share.average(self.generator.parameters())
        self.optimiser.step()
        return losses

    def _teach_discriminator(
        self, target: Tensor, truth: Tensor, painted: Tensor, drawn: Tensor
    ) -> Tensor:
        real = self._pair(target, truth, drawn)
        fake = self._pair(target, painted.detach().to(truth.dtype), drawn)
        with self._autocast():
            # no batch statistics in D, so one pass over both is the same as two
            real_logits, fake_logits = self.discriminator(torch.cat([real, fake])).chunk(2)
        loss = discriminator_loss(real_logits, fake_logits, self.settings.adversarial_loss)
        self.optimiser_d.zero_grad(set_to_none=True)
        (loss * self.share.weight).backward()
        self.share.average(self.discriminator.parameters())
        self.optimiser_d.step()
        return loss

    def probe(self) -> dict[str, float]:
        """SSIM, PSNR and mouth PSNR (dB) on a few transfers between validation and test people:
        Figures 5 and 6."""
        method = PaperModel(LandmarkFusion(self.fusion), self.generator, self.run)
        window = self.run.evaluation.ssim_window
        row: dict[str, float] = {}
        for part, (source, target, truth) in self.probed.items():
            results = method.generate(source, target)
            if self.seen >= ENOUGH:
                _stop_if_constant(results, truth.photos, self.settings)
            results = as_grey(results) if self.grey else results
            measured = {
                "ssim": ssim(results, truth.photos, window, self.device),
                "psnr": psnr(results, truth.photos, self.device),
                "psnr_mouth": mouth_psnr(results, truth.photos, truth.points, self.device),
            }
            row |= {f"{part}_{name}": float(np.mean(each)) for name, each in measured.items()}
        return row

    def advice(self, losses: Mapping[str, float]) -> str | None:
        """Say that D_I tells nearly every photo from every painting: it teaches nothing then."""
        if losses.get("discriminator", 1.0) > WON:
            return None
        return (
            f"the discriminator wins everything (its loss is {losses['discriminator']:.4f}); if "
            f"the pictures get no better, lower transfer.discriminator_rate = "
            f"{self.settings.discriminator_rate:g} or transfer.discriminator_filters = "
            f"{self.settings.discriminator_filters}, in a new run folder"
        )

    def picture(self) -> np.ndarray:
        """Up to six transfers between validation people: source, target, result and truth."""
        source, target, truth = (
            FaceBatch(batch.photos[:6], batch.points[:6]) for batch in self.probed["validation"]
        )
        results = PaperModel(LandmarkFusion(self.fusion), self.generator, self.run).generate(
            source, target
        )
        return sample_grid(
            {
                "source": source.photos,
                "target": target.photos,
                "result": results,
                "truth": truth.photos,
            }
        )

    def worth(self, row: Mapping[str, float]) -> float:
        """The higher the validation people's SSIM, the better; or the later."""
        return row["validation_ssim"] if self.keeps_best else row["step"]


def _stop_if_constant(results: np.ndarray, truths: np.ndarray, settings: TransferSettings) -> None:
    """Raise TrainingCollapsed when pictures (N, H, W, 3) uint8 hardly differ, but their truths
    do."""
    apart, wanted = (float(photos.std(axis=0).mean()) for photos in (results, truths))
    if apart < CONSTANT * wanted:
        raise TrainingCollapsed(
            f"transfer: the generator gives one picture for all faces (they differ by {apart:.2f} "
            f"of 255, the true ones by {wanted:.2f}); lower transfer.learning_rate = "
            f"{settings.learning_rate:g} or raise transfer.weight_l1 = {settings.weight_l1:g}, in "
            "a new run folder"
        )


class PaperModel(Method):
    """Φ and Ω together: two aligned faces in, one photo out."""

    name = "paper"
    title = "the paper's model"

    def __init__(self, fusion: LandmarkFusion, generator: UNet, settings: RunSettings) -> None:
        self.fusion, self.generator, self.settings = fusion, generator, settings
        self.device = next(generator.parameters()).device
        self.fusion.network.to(self.device)

    @classmethod
    def untrained(cls, fusion: LandmarkFusion, settings: RunSettings) -> Self:
        """A frozen Φ and an Ω that has learnt nothing yet."""
        torch.manual_seed(settings.seed)
        generator = build_generator(settings).to(choose_device()).to(memory_format=LAYOUT)
        return cls(fusion, generator, settings)

    def fit(
        self, faces: FaceSet, split: Split, settings: RunSettings, folder: Path, key: str = ""
    ) -> None:
        """Train Ω on the training people with the frozen Φ; goes on from a checkpoint in
        `folder`."""
        lower = f"transfer.batch = {settings.transfer.batch}, transfer.filters or size"
        with memory_named("transfer", lower):
            learner = TransferLearner(faces, split, self.fusion, settings)
            train(
                learner,
                steps=learner.steps,
                folder=folder,
                key=key,
                seed=settings.seed,
                title="transfer",
                checkpoint_seconds=settings.checkpoint_seconds,
                keep=settings.checkpoints,
            )
        self.generator = learner.generator

    @torch.no_grad()
    def generate(self, source: FaceBatch, target: FaceBatch, batch: int = 8) -> np.ndarray:
        """I_gen of Eq. 2 for the fused landmarks of Eq. 1; BatchNorm uses its running
        statistics."""
        fused = self.fuse(source, target)
        training = self.generator.training
        self.generator.eval()
        results = [
            to_photos(self._paint(target.photos[i : i + batch], fused[i : i + batch]))
            for i in range(0, len(target), batch)
        ]
        self.generator.train(training)
        return np.concatenate(results)

    def fuse(self, source: FaceBatch, target: FaceBatch) -> np.ndarray:
        """J_gen of Eq. 1, (N, 68, 2) crop widths."""
        return self.fusion.fuse(source.points, target.points)

    def _paint(self, photos: np.ndarray, fused: np.ndarray) -> Tensor:
        points = torch.as_tensor(fused, device=self.device)
        style = self.settings.transfer.landmark_style
        drawn = draw_landmarks(points, self.settings.size, style=style)
        joined = join(to_tensor(photos, self.device), drawn)
        precision = working_precision(self.settings.transfer.precision, self.device)
        lower = precision != torch.float32
        with torch.autocast(self.device.type, dtype=precision, enabled=lower):
            return self.generator(joined)

    def save(self, folder: Path) -> None:
        """Write Φ and Ω as one `model.safetensors`. Raises OutputFailed."""
        tensors = {
            f"{part}/{name}": value.detach().cpu().contiguous()
            for part, module in (("fusion", self.fusion.network), ("generator", self.generator))
            for name, value in module.state_dict().items()
        }
        save_tensors(folder / MODEL, tensors, {"size": json.dumps(self.settings.size)})

    @classmethod
    def load(cls, folder: Path, settings: RunSettings) -> Self:
        """Read a trained model. Raises BrokenCheckpoint when it is damaged or made for another
        size."""
        path = folder / MODEL
        tensors, metadata = read_tensors(path)
        size = json.loads(metadata.get("size", "null"))
        if size != settings.size:
            raise BrokenCheckpoint(
                f"{path} was made for photos of {size} pixels, but the run is set to "
                f"{settings.size}; set size={size}, or train again in another run folder"
            )
        fusion = build_fusion(settings.fusion)
        model = cls.untrained(LandmarkFusion(fusion), settings)
        for part, module in (("fusion", fusion), ("generator", model.generator)):
            prefix = f"{part}/"
            put_weights(
                module,
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)},
                path,
            )
        return model

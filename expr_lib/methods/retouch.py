"""`retouch`, our own method: the target is warped by its fused landmarks, and a network bends it
further, paints what no warp can make, and masks the paint, so that skin, hair and background that
need no change stay the target's own.

It is put together from known parts: landmarks that warp a photo before a network refines it (warp-
guided GANs, Geng et al. 2018), a mask between paint and photo (GANimation, Pumarola et al. 2018),
GroupNorm (Wu and He 2018), first weights after He et al. (2015), SSIM beside L1 (Zhao et al. 2017),
averaged weights. Each can be taken back by a setting, which is a row of the comparison.
"""

import copy
from functools import cached_property
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from expr_lib.config import RunSettings
from expr_lib.cuda import Batch
from expr_lib.faceset import FaceSet
from expr_lib.flow import bend, landmark_flow, pixel_places, triangulate
from expr_lib.losses import l1_inside, pixel_l1, ssim_loss
from expr_lib.methods.base import FaceBatch
from expr_lib.methods.fusion import SHARES, LandmarkFusion
from expr_lib.methods.painting import Painter, autocast
from expr_lib.methods.paper import TransferLearner
from expr_lib.methods.recognising import RecognisingLearner
from expr_lib.methods.tensors import (
    LAYOUT,
    build_adam,
    build_discriminator,
    to_photos,
    to_tensor,
)
from expr_lib.metrics import psnr, ssim_bands
from expr_lib.models.retouch import Retouched, Retoucher
from expr_lib.photos import as_grey
from expr_lib.points import LANDMARK_PARTS
from expr_lib.processes import choose_device, team
from expr_lib.samples import TARGET, TRUTH
from expr_lib.splits import Split
from expr_lib.training import follow, newness

DETAILS = (
    LANDMARK_PARTS["outer_lip"] + LANDMARK_PARTS["inner_lip"],
    LANDMARK_PARTS["right_eye"],
    LANDMARK_PARTS["left_eye"],
)
"""Landmarks around which a pixel counts more: what an expression changes most and a warp cannot
make."""
OVAL_UP, OVAL_WIDER = (0.0, 0.05), (1.1, 1.3)
"""The oval around a face: how far its middle lies above that of the landmarks, in their width and
height, and how many times as wide and high it is."""
WIDER, MARGIN = 1.3, 0.02
"""Their box is so many times as wide and high, and so many crop widths wider on each side."""
CHOOSE_BY = 240
"""Pairs of validation people, at most, by which the strength is chosen."""


def build_retoucher(settings: RunSettings) -> Retoucher:
    """The untrained network of these settings."""
    s = settings.retouch
    return Retoucher(settings.transfer.filters, s.norm, s.reach, s.mask, s.sampling, s.initial)


def detail_boxes(points: Tensor, size: int) -> Tensor:
    """Pixels in the boxes of mouth and eyes, (N, 1, size, size) of 0 and 1.

    points  (N, 68, 2)  crop widths
    """
    centres = (torch.arange(size, device=points.device) + 0.5) / size
    inside = points.new_zeros(len(points), size, size, dtype=torch.bool)
    for part in DETAILS:
        low, high = points[:, part].aminmax(dim=1)
        half = (high - low) / 2 * WIDER + MARGIN
        near = (centres - ((low + high) / 2)[..., None]).abs() <= half[..., None]  # (N, 2, size)
        inside |= near[:, 1, :, None] & near[:, 0, None, :]
    return inside[:, None].float()


def move_photos(photos: Tensor, moves: Tensor) -> Tensor:
    """Photos (N, C, H, W) moved as `move_points` moves what they show; bicubic."""
    places = pixel_places(photos.shape[-1], photos.device).flatten(1).T
    back = move_points(places.expand(len(photos), -1, -1), moves, inverse=True) - places
    return bend(photos, back.transpose(1, 2).unflatten(2, photos.shape[2:]), "bicubic")


def move_points(points: Tensor, moves: Tensor, inverse: bool = False) -> Tensor:
    """Points (N, K, 2) of crops that are each shifted, turned and scaled about their middle.

    moves    (N, 4)  shift in x and y, crop widths; half the turn, radians; half the logarithm of
             the scale
    inverse  undo it
    """
    shift, turn, scale = moves[:, None, :2], 2 * moves[:, None, 2], (2 * moves[:, None, 3:]).exp()
    if inverse:
        points, turn, scale, shift = points - shift, -turn, 1 / scale, 0 * shift
    x, y = (points - 0.5).unbind(-1)
    turned = [turn.cos() * x - turn.sin() * y, turn.sin() * x + turn.cos() * y]
    return scale * torch.stack(turned, -1) + 0.5 + shift


class Warp:
    """The first half of the method: where pixels come from when only landmarks move.

    mean  (68, 2)  the mean face of Φ, crop widths, whose triangles serve for all
    """

    def __init__(self, mean: Tensor, settings: RunSettings) -> None:
        self.size, self.moves = settings.size, settings.retouch.warp
        self.framed = settings.retouch.window
        self.triangles = triangulate(mean.cpu().numpy()).to(mean.device)

    def flow(self, reached: Tensor, own: Tensor) -> Tensor:
        """The flow (N, 2, H, W) that carries a target's own landmarks to others, both (N, 68, 2)
        crop widths; none where the settings take the warp back."""
        if not self.moves:
            return reached.new_zeros(len(reached), 2, self.size, self.size)
        return landmark_flow(reached, own, self.triangles, self.size)

    def window(self, reached: Tensor, own: Tensor) -> Tensor:
        """Where the network may change anything, (N, 1, H, W) in 0..1: an oval around both faces,
        from the forehead to below the chin, that fades over a tenth of its size; everywhere where
        the settings take it back."""
        if not self.framed:
            return reached.new_ones(len(reached), 1, self.size, self.size)
        low, high = torch.cat([reached, own], dim=1).aminmax(dim=1)
        middle = (low + high) / 2 - (high - low) * own.new_tensor(OVAL_UP)
        half = (high - low) / 2 * own.new_tensor(OVAL_WIDER)
        places = pixel_places(self.size, own.device)
        off = ((places - middle[..., None, None]) / half[..., None, None]).square()
        far = off.sum(1, keepdim=True).sqrt()
        return ((1.1 - far) / 0.1).clamp(0, 1)


class RetouchLearner(TransferLearner, RecognisingLearner):
    """As the paper's model learns, with more losses, and a running mean of the weights."""

    def build(self) -> None:
        """The network, its running mean, D_I, and a recogniser where its loss has a weight."""
        s = self.run.retouch
        self.generator = self.on_device(build_retoucher(self.run))
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.discriminator = self.on_device(build_discriminator(self.settings))
        self.modules = {
            "generator": self.generator,
            "average": self.average,
            "discriminator": self.discriminator,
        }
        if s.weight_identity:
            self.modules["recogniser"] = self.on_device(self.build_recogniser())
        self.optimisers = {
            name: build_adam(module.parameters(), self.device)
            for name, module in self.modules.items()
            if name != "average"
        }
        self.newness = torch.ones((), device=self.device)
        self.warp = Warp(self.fusion.mean, self.run)
        size = self.run.size
        self.bands = ssim_bands(size, size, "gaussian", self.device)

    def example(self, triples: np.ndarray, mirrored: Tensor) -> tuple[Tensor, ...]:
        """P_t and I_o (N, 3, H, W); the landmarks to reach and the target's, drawn (N, 2, H, W);
        the flow between them (N, 2, H, W); its window and the truth's boxes (N, 1, H, W); who it is
        (N,) when the recogniser asks."""
        target, truth = (self.photo(triples[:, c], mirrored) for c in (TARGET, TRUTH))
        reached = self._moved(self.reach(triples, mirrored))
        own, true = (self._moved(self.marks(triples[:, c], mirrored)) for c in (TARGET, TRUTH))
        drawn = torch.cat(self.draw(torch.cat([reached, own])).chunk(2), dim=1)
        flow = self.warp.flow(reached, own)
        window = self.warp.window(reached, own)
        boxes = detail_boxes(true, self.run.size)
        more: tuple[Tensor, ...] = ()
        if self.run.retouch.weight_identity:
            more = (self.persons[torch.from_numpy(triples[:, TRUTH]).to(self.device)],)
        return target, truth, drawn, flow, window, boxes, *more

    def _draw(self, step: int) -> Batch:
        """A batch whose faces are each moved, turned and scaled a little, all its photos alike."""
        if jitter := self.run.retouch.jitter:
            rng = np.random.default_rng([self.run.seed, 6, step])
            drawn = rng.uniform(-jitter, jitter, (self.batch, 4))[self.share.rows]
            self.moves = torch.from_numpy(drawn).float().to(self.device)
        return super()._draw(step)

    def photo(self, rows: np.ndarray, mirrored: Tensor) -> Tensor:
        """Photos (N, 3, H, W) in about [-1, 1], moved."""
        photos = super().photo(rows, mirrored)
        return move_photos(photos, self.moves) if self.run.retouch.jitter else photos

    def _moved(self, points: Tensor) -> Tensor:
        """Landmarks (N, 68, 2), crop widths, moved as their photos: after Φ, which knows faces as
        they are aligned."""
        return move_points(points, self.moves) if self.run.retouch.jitter else points

    def _pair(self, target: Tensor, photo: Tensor, told: Tensor) -> Tensor:
        return super()._pair(target, photo, told[:, :1])  # D may see the landmarks to reach [20]

    def paint(self, *batch: Tensor) -> Tensor:
        """The retouched targets, (N, 3, H, W)."""
        target, _, drawn, flow, window = batch[:5]
        with self.autocast():
            return self.generator(target, flow, drawn, window).picture

    def compare(self, painted: Tensor, *batch: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """L1 on the whole, L1 in the boxes of mouth and eyes, SSIM, and who it is."""
        truth, boxes = batch[1], batch[5]
        s = self.run.retouch
        weights = {"l1": self.settings.weight_l1, "details": s.weight_details}
        losses = {"l1": pixel_l1(painted, truth), "details": l1_inside(painted, truth, boxes)}
        if s.weight_ssim:
            weights["ssim"] = s.weight_ssim
            losses["ssim"] = ssim_loss(painted, truth, self.bands)
        if s.weight_identity:
            losses["recogniser"] = self.teach_recogniser(truth, batch[6])
            self.modules["recogniser"].requires_grad_(False)
            weights["identity"] = s.weight_identity
            losses["identity"] = self.unlikeness(painted, truth)
            self.modules["recogniser"].requires_grad_(True)
        total = torch.stack([weight * losses[name] for name, weight in weights.items()]).sum()
        return losses, total

    def step(self, step: int) -> dict[str, Tensor]:
        """One step of all networks, and of the running mean."""
        self.newness.fill_(newness(step, self.run.retouch.ema))  # a recorded step reads it there
        return super().step(step)

    def _learn(self, *batch: Tensor) -> dict[str, Tensor]:
        losses = super()._learn(*batch)
        follow(self.average, self.generator, self.newness)
        return losses

    def start_from(self, path: Path) -> None:
        """Take the network, and its running mean, from a finished model."""
        super().start_from(path)
        cast(Retoucher, self.generator).strength.fill_(1)  # the other run chose it for itself
        self.average.load_state_dict(self.generator.state_dict())

    def painter(self) -> Painter:
        """Φ and the averaged network."""
        return Retouch(LandmarkFusion(self.fusion), {"generator": self.average}, self.run)


class Retouch(Painter):
    """Φ, a warp by what it fuses, and the network that retouches it."""

    name = "retouch"
    title = "warp and retouch (ours)"

    @classmethod
    def untrained(cls, fusion: LandmarkFusion, settings: RunSettings) -> Self:
        """A frozen Φ and a network that has learnt nothing yet."""
        torch.manual_seed(settings.seed)
        network: nn.Module = build_retoucher(settings)
        network = network.to(choose_device()).to(memory_format=LAYOUT)  # type: ignore[call-overload]
        return cls(fusion, {"generator": network}, settings)

    @classmethod
    def learner(
        cls, faces: FaceSet, split: Split, fusion: LandmarkFusion, settings: RunSettings
    ) -> RetouchLearner:
        """What trains the network."""
        return RetouchLearner(faces, split, fusion, settings)

    @property
    def network(self) -> Retoucher:
        """What retouches."""
        return cast(Retoucher, self.networks["generator"])

    def fit(
        self, faces: FaceSet, split: Split, settings: RunSettings, folder: Path, key: str = ""
    ) -> None:
        """Train, and let validation people say how much of what the network changes is kept: the
        strength of SHARES with the highest PSNR; all of it where they are too few to choose by."""
        super().fit(faces, split, settings, folder, key)
        if settings.retouch.choose_strength and split.can_choose:
            triples = split.pairs("validation", CHOOSE_BY, settings.seed)
            source, target, truth = (
                FaceBatch.of(faces, triples[:, i], settings.size) for i in range(3)
            )
            near = self.nearness(source, target, truth, faces.grey).mean(axis=1)
            chosen = SHARES[int(np.argmax(near))]
            self.network.strength.fill_(chosen)
            if team().is_main_process:
                print(f"transfer: validation people keep {chosen:.1f} of the changes", flush=True)

    @torch.no_grad()
    def nearness(
        self, source: FaceBatch, target: FaceBatch, truth: FaceBatch, grey: bool = False
    ) -> np.ndarray:
        """PSNR (11, N) in dB of the pictures when each strength of SHARES is given to the network,
        which is left in use, not in training; or of the pictures in grey."""
        network, points, batch = self.network.eval(), self.reach(source, target), 4
        told = []
        for start in range(0, len(target), batch):
            some = slice(start, start + batch)
            photos, flow, drawn, window = self._given(target[some], points[some])
            with autocast(self.precision, self.device):
                proposed = network.propose(photos, flow, drawn)
            pictures = [
                to_photos(network.compose(photos, flow, window, proposed, strength).picture)
                for strength in SHARES
            ]
            if grey:
                pictures = [as_grey(each) for each in pictures]
            told.append([psnr(each, truth.photos[some], self.device) for each in pictures])
        return np.concatenate(told, axis=1)

    @cached_property
    def warp(self) -> Warp:
        """What moves pixels by landmarks alone."""
        return Warp(self.fusion.network.mean, self.settings)

    def paint(self, source: FaceBatch, target: FaceBatch, points: np.ndarray) -> Tensor:
        """The retouched targets."""
        return self._retouched(target, points).picture.clamp(-1, 1)

    @torch.no_grad()
    def explain(self, target: FaceBatch, points: np.ndarray) -> Retouched:
        """What the pictures of a few targets are made of, for landmarks (N, 68, 2) to reach, crop
        widths."""
        was_training = self.network.training
        self.network.eval()
        with autocast(self.precision, self.device):
            found = self._retouched(target, points)
        self.network.train(was_training)
        return found

    def _retouched(self, target: FaceBatch, points: np.ndarray) -> Retouched:
        photos, flow, drawn, window = self._given(target, points)
        return cast(Retouched, self.network(photos, flow, drawn, window))

    def _given(self, target: FaceBatch, points: np.ndarray) -> tuple[Tensor, ...]:
        """Photos, flow, drawn landmarks and window of a few targets, as the network takes them."""
        own, reached = (
            torch.as_tensor(each, dtype=torch.float32, device=self.device)
            for each in (target.points, points)
        )
        both = self.drawn(np.concatenate([points, target.points]))
        drawn = torch.cat(both.chunk(2), dim=1)
        flow, window = self.warp.flow(reached, own), self.warp.window(reached, own)
        return to_tensor(target.photos, self.device), flow, drawn, window

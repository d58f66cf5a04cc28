"""All rows of the comparison: the controls, the paper's rivals, its model, and that model with one
thing changed."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from expr_lib.config import RunSettings, load_settings
from expr_lib.errors import BadSetting
from expr_lib.methods.exprgan import ExprGAN
from expr_lib.methods.g2gan import G2GAN
from expr_lib.methods.painting import Painter
from expr_lib.methods.paper import PaperModel
from expr_lib.methods.retouch import Retouch
from expr_lib.methods.stargan import StarGAN

METHODS: dict[str, type[Painter]] = {
    method.name: method for method in (PaperModel, G2GAN, StarGAN, ExprGAN, Retouch)
}


def method_of(settings: RunSettings) -> type[Painter]:
    """What `transfer.method` names."""
    return METHODS[settings.transfer.method]


Group = Literal["control", "rival", "paper", "ablation", "ours", "step"]


@dataclass(frozen=True)
class Entry:
    """One row of the comparison.

    settings   what differs from the run's own
    needs      what it must be given beyond the photos of source and target and their landmarks
    network    the row whose networks it uses; its own by default
    reaches    the landmarks that it is shown at use: its own choice, or the truth's (an oracle)
    in_grey    whether its pictures and their truths are measured in grey
    note       what the table says about it
    """

    name: str
    title: str
    group: Group
    settings: tuple[str, ...] = ()
    needs: str = ""
    network: str = ""
    reaches: Literal["own", "truth"] = "own"
    in_grey: bool = False
    note: str = ""


# pix2pix as its authors' PyTorch code: U-Net-256 with dropout, BatchNorm in D, which sees
# the condition; Adam at 2e-4 for both, falling to 0 over the second half; one photo a step, and so
# eight times as many steps as with eight. Halving D's loss, as they do, changes nothing under Adam.
# Ours: at use no dropout and the running statistics (their option --eval), and no random crops,
# since faces are aligned.
_PIX2PIX = (
    "transfer.batch=1",
    "processes=1",  # one photo cannot be shared
    "transfer.landmarks=source",
    "transfer.discriminator_sees_landmarks=true",
    "transfer.discriminator_norm=batch",
    "transfer.discriminator_activation=leaky",
    "transfer.dropout=0.5",
    "transfer.learning_rate=2e-4",
    "transfer.discriminator_rate=2e-4",
    "transfer.schedule=linear",
)
# The paper names CGAN (Mirza and Osindero 2014), which has no photo for its input. Our reading: the
# paper's U-Net, told the target's photo and the expression's name, and pix2pix's discriminator with
# its loss alone. Rates after Heusel et al. 2017, the discriminator's the larger: with the paper's,
# it was at chance after a tenth of 6,000 photos and had nothing left to teach.
_CGAN = (
    "transfer.condition=label",
    "transfer.discriminator_sees_landmarks=true",
    "transfer.discriminator_norm=batch",
    "transfer.discriminator_activation=leaky",
    "transfer.learning_rate=1e-4",
    "transfer.discriminator_rate=8e-4",
    "transfer.weight_l1=0",
)
_PHI_AS_PRINTED = tuple(
    f"fusion.{name}={value}"
    for name, value in load_settings("paper")
    .fusion.model_dump(exclude={"epochs", "images"})
    .items()
)
_RETOUCH = (
    "transfer.method=retouch",
    "transfer.batch=4",
    "transfer.landmarks=true",
    "transfer.epoch=pairs",  # the target never shows the source's expression already
    "transfer.learning_rate=4e-4",
    "transfer.schedule=linear",
)


def _step(name: str, title: str, *settings: str) -> "Entry":
    """`retouch` with one thing changed."""
    return Entry(f"retouch_{name}", f"retouch, {title}", "step", (*_RETOUCH, *settings))


CATALOGUE: tuple[Entry, ...] = (
    Entry("copy", "copy target", "control"),
    Entry("warp", "warp by fused landmarks", "control"),
    Entry(
        "cgan",
        "CGAN (our reading)",
        "rival",
        _CGAN,
        "the source's label",
        note="nothing names the pixels that are wrong",
    ),
    Entry("pix2pix", "pix2pix", "rival", _PIX2PIX),
    Entry("g2gan", G2GAN.title, "rival", ("transfer.method=g2gan",), G2GAN.needs),
    Entry(
        "stargan",
        StarGAN.title,
        "rival",
        ("transfer.method=stargan",),
        StarGAN.needs,
        note="its generator learns from every fifth batch",
    ),
    Entry(
        "exprgan",
        ExprGAN.title,
        "rival",
        ("transfer.method=exprgan",),
        ExprGAN.needs,
        note="50 numbers hold no person and no style",
    ),
    Entry("paper", PaperModel.title, "paper"),
    Entry("no_fusion", "source landmarks, no fusion", "ablation", ("transfer.landmarks=source",)),
    Entry("no_cycle", "Φ without its cycle", "ablation", ("fusion.weight_cycle=0",)),
    Entry("no_adversary_1", "Φ without D", "ablation", ("fusion.weight_adversarial=0",)),
    Entry("no_adversary_2", "Ω without D", "ablation", ("transfer.weight_adversarial=0",)),
    Entry("batch_norm", "BatchNorm in D", "ablation", ("transfer.discriminator_norm=batch",)),
    Entry("dots", "dots instead of lines", "ablation", ("transfer.landmark_style=dots",)),
    Entry("one_photo", "one photo a step", "ablation", ("transfer.batch=1", "processes=1")),
    Entry("l2", "L2 instead of L1", "ablation", ("transfer.pixel_loss=l2",)),
    Entry("no_flips", "no flips", "ablation", ("fusion.flips=false", "transfer.flips=false")),
    Entry("sigmoid", "literal sigmoid and log", "ablation", ("transfer.adversarial_loss=sigmoid",)),
    Entry("true_marks", "Ω learns on true landmarks", "ablation", ("transfer.landmarks=true",)),
    Entry(
        "oracle",
        "that, shown the truth's landmarks",
        "ablation",
        needs="the truth's landmarks",
        network="true_marks",
        reaches="truth",
        note="an oracle: nobody has these landmarks at use",
    ),
    Entry("printed_phi", "Φ as printed", "ablation", _PHI_AS_PRINTED),
    Entry("ridge_phi", "ridge instead of Φ", "ablation", ("fusion.model=ridge",)),
    Entry(
        "in_grey",
        "the paper's model, in grey",
        "ablation",
        network="paper",
        in_grey=True,
        note="measured in grey: compare with the next two",
    ),
    Entry(
        "grey",
        "learnt from grey photos",
        "ablation",
        ("grey=true",),
        in_grey=True,
        note="measured in grey",
    ),
    Entry(
        "copy_in_grey",
        "copy target, in grey",
        "ablation",
        network="copy",
        in_grey=True,
        note="measured in grey",
    ),
    Entry("retouch", Retouch.title, "ours", _RETOUCH),
    _step("no_warp", "no warp by landmarks", "retouch.warp=false"),
    _step("no_bend", "no learned flow", "retouch.reach=0"),
    _step("far", "a learned flow that reaches five times as far", "retouch.reach=0.1"),
    _step("no_mask", "no mask, all is painted", "retouch.mask=false"),
    _step("no_window", "no window, all of the crop may change", "retouch.window=false"),
    _step("batch_norm", "BatchNorm", "retouch.norm=batch"),
    _step("small", "weights start small, as the paper's", "retouch.initial=small"),
    _step("no_ssim", "no SSIM loss", "retouch.weight_ssim=0"),
    _step("no_details", "mouth and eyes count no more", "retouch.weight_details=0"),
    _step("no_average", "the last weights, no average", "retouch.ema=0"),
    _step("full", "all of its changes are kept", "retouch.choose_strength=false"),
    _step("no_jitter", "training faces are not moved", "retouch.jitter=0"),
    _step("fused", "learns on fused landmarks", "transfer.landmarks=fused"),
    _step("no_adversary", "without D", "transfer.weight_adversarial=0"),
    _step("bicubic", "pixels are looked up bicubically", "retouch.sampling=bicubic"),
    _step("identity", "a loss on whose face it is", "retouch.weight_identity=10"),
    _step("truths", "targets may show the expression already", "transfer.epoch=truths"),
    _step("phi", "Φ without ridge regression beside it", "fusion.model=network"),
)


def choose(names: str) -> list[tuple[Entry, int]]:
    """Rows that a text such as `all`, `rivals,paper*3` or `copy,pix2pix` names, with the number of
    seeds of each, in the catalogue's order. Raises BadSetting for an unknown name."""
    groups = {
        "all": CATALOGUE,
        **{
            f"{group}s": tuple(entry for entry in CATALOGUE if entry.group == group)
            for group in ("control", "rival", "ablation", "step")
        },
    }
    seeds: dict[str, int] = {}
    for given in filter(None, (part.strip() for part in names.split(","))):
        name, star, count = given.partition("*")
        if star and not (count.isascii() and count.isdigit() and int(count)):
            raise BadSetting(f"{given!r} names no number of seeds; write it such as paper*3")
        for entry in groups.get(name) or _known(name, tuple(groups)):
            seeds[entry.name] = max(seeds.get(entry.name, 1), int(count or 1))
    if not seeds:
        raise BadSetting("no method is named; choose all, or names with commas between them")
    return [(entry, seeds[entry.name]) for entry in CATALOGUE if entry.name in seeds]


def _known(name: str, groups: Sequence[str]) -> tuple[Entry, ...]:
    entry = next((entry for entry in CATALOGUE if entry.name == name), None)
    if entry is None:
        names = [*groups, *(entry.name for entry in CATALOGUE)]
        close = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"choose of {', '.join(names)}"
        raise BadSetting(f"unknown method {name!r}; {hint}")
    return (entry,)

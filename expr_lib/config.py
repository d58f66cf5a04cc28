"""Presets: every setting of a run, checked once, frozen, and written into the run folder.

The number in brackets after a setting is the row of the page of open choices (docs/choices.md)
that it offers.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from expr_lib.errors import BadSetting, UnknownPreset
from expr_lib.photos import EXPRESSIONS


class Settings(BaseModel):
    """Base of all settings: immutable, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _whole_path(text: str) -> str:
    path = Path(text).resolve()
    if len(str(path).split()) != 1:
        raise ValueError(f"the path {path} has a blank in it; chapters cannot be given it")
    return str(path)


class Budget(Settings):
    """How long a network trains, exactly one of a number of epochs and a number of photos shown,
    and which of its states is kept."""

    epochs: int | None = Field(None, ge=1)
    images: int | None = Field(None, ge=1)
    batch: int = Field(8, ge=1)
    epoch: Literal["truths", "pairs"] = "truths"  # [14] each photo, or each ordered pair, once
    keep: Literal["best", "last"] = "best"  # [22] by three validation people or more

    @model_validator(mode="after")
    def _one_budget(self) -> "Budget":
        if (self.epochs is None) == (self.images is None):
            raise ValueError("give exactly one of epochs and images")
        return self

    def steps(self, triples: int) -> int:
        """Number of optimiser steps when an epoch is so many triples."""
        shown = self.images if self.images is not None else (self.epochs or 1) * triples
        return max(1, round(shown / self.batch))


class FusionSettings(Budget):
    """Stage 1, Φ: the network of Eq. 1 and the losses of Eq. 3-6. Defaults are the paper's.

    With `model` ridge a linear map stands in for the network; of the other settings it knows
    `flips` alone. With blend both are fitted, and the deviation is between theirs.
    """

    model: Literal["network", "ridge", "blend"] = "network"
    epochs: int | None = Field(400, ge=1)
    hidden: int = Field(512, ge=1)
    latent: int = Field(256, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    learning_rate: float = Field(2e-4, gt=0)
    discriminator_rate: float = Field(1e-4, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    weight_decay: float = Field(0.0, ge=0)
    ema: float = Field(0.0, ge=0, lt=1)
    flips: bool = True
    mixup: bool = False
    weight_adversarial: float = Field(0.1, ge=0)
    weight_cycle: float = Field(10.0, ge=0)
    weight_l1: float = Field(100.0, ge=0)
    cycle: Literal["source", "neutral", "third_person"] = "source"  # [2]
    units: Literal["standardised", "pixels"] = "standardised"  # [15]
    discriminator_sees_target: bool = False  # [16]


class TransferSettings(Budget):
    """Stage 2, Ω: the networks of Tables 1 and 2 and the losses of Eq. 7-9. Defaults are the
    paper's; other methods take what applies to them."""

    method: Literal["paper", "g2gan", "stargan", "exprgan", "retouch"] = "paper"
    epochs: int | None = Field(120, ge=1)
    start: str | None = None  # a finished run, from whose networks training starts
    filters: int = Field(64, ge=1)
    discriminator_filters: int = Field(64, ge=1)
    learning_rate: float = Field(2e-4, gt=0)
    discriminator_rate: float = Field(1e-4, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    flips: bool = True
    weight_adversarial: float = Field(1.0, ge=0)
    weight_l1: float = Field(100.0, ge=0)
    landmarks: Literal["fused", "true", "source"] = "fused"  # [9]; source: no fusion at all
    condition: Literal["landmarks", "label"] = "landmarks"  # label: the expression's name alone
    landmark_style: Literal["lines", "dots"] = "lines"  # [7]
    bottleneck: Literal["pix2pix", "stride1"] = "pix2pix"  # [3]
    first_block: Literal["plain", "printed"] = "plain"  # [12]
    upsampling: Literal["transposed", "resize"] = "transposed"  # [19]
    discriminator_activation: Literal["table", "leaky"] = "table"  # [4]
    dropout: float = Field(0.0, ge=0, lt=1)  # in the decoder's first blocks, as in pix2pix
    discriminator_norm: Literal["spectral", "batch"] = "spectral"
    discriminator_sees_landmarks: bool = False  # [20]; with condition=label it sees the label
    pixel_loss: Literal["l1", "l2"] = "l1"
    adversarial_loss: Literal["logits", "sigmoid"] = "logits"  # [5]
    generator_loss: Literal["non_saturating", "saturating"] = "non_saturating"  # [6]
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    curve_points: int = Field(12, ge=1)
    curve_pairs: int = Field(24, ge=1)

    @field_validator("start")
    @classmethod
    def _path_of_start(cls, start: str | None) -> str | None:
        return None if start is None else _whole_path(start)


class RetouchSettings(Settings):
    """What the method `retouch` is made of, beside the settings of `transfer`."""

    warp: bool = True  # by the landmarks, before the network sees the target
    # of the second flow, which the network finds, in crop widths; 0 takes it back
    reach: float = Field(0.02, ge=0, le=0.5)
    mask: bool = True  # between paint and the bent target
    window: bool = True  # around the face, outside of which nothing is retouched
    norm: Literal["group", "batch"] = "group"
    sampling: Literal["bilinear", "bicubic"] = "bilinear"  # of the target's pixels
    initial: Literal["he", "small"] = "he"  # first weights
    ema: float = Field(0.999, ge=0, lt=1)  # of the averaged weights; 0 keeps the last
    jitter: float = Field(0.03, ge=0, lt=0.2)  # of the training faces, crop widths
    weight_ssim: float = Field(5.0, ge=0)
    weight_details: float = Field(20.0, ge=0)  # L1 in the boxes of mouth and eyes
    weight_identity: float = Field(0.0, ge=0)  # a recogniser's features
    choose_strength: bool = True  # validation people say how much of the changes is kept


class EvaluationSettings(Settings):
    """What is measured on the people who were not seen in training."""

    pairs: int = Field(240, ge=2)  # [21] at most; every pair when there are fewer
    same_person_pairs: int = Field(48, ge=0)  # [21] of a person with themselves, apart
    resamples: int = Field(2000, ge=100)
    ssim_window: Literal["gaussian", "uniform"] = "gaussian"  # [10]


class ComparisonSettings(Settings):
    """What the comparison of all methods trains and measures."""

    methods: str = "all"  # all, controls, rivals, ablations, steps or names; paper*3: three seeds
    beyond: str = "controls,pix2pix,paper,retouch,steps"  # the same, for chapter 08
    images: int | None = Field(None, ge=1)  # photos shown to each; none: those of transfer
    # faces shown to the rivals of stage 1 each; none: as many as to Φ, 0 leaves them out
    fusion_images: int | None = Field(None, ge=0)


class SyntheticSettings(Settings):
    """The drawn faces that a run makes when it is given no photos."""

    people: int = Field(48, ge=1)
    size: int = Field(256, ge=64, multiple_of=2)
    expressions: tuple[str, ...] = EXPRESSIONS

    @field_validator("expressions")
    @classmethod
    def _known_words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            if word not in EXPRESSIONS:
                raise ValueError(f"expression {word!r} is none of {', '.join(EXPRESSIONS)}")
        return words


CAMERAS = ("000", "045", "090", "135", "180")
"""RaFD's cameras, degrees around the sitter; 090 is frontal (Langner et al. 2010)."""
GAZES = ("left", "frontal", "right")
GROUPS = ("Caucasian", "Moroccan", "Kid")
"""RaFD's groups of people."""


class PhotoSettings(Settings):
    """Which photos of RaFD and CK+ are used; other sources have no such choice."""

    cameras: tuple[str, ...] = ("090",)  # RaFD [17]
    gazes: tuple[str, ...] = GAZES  # RaFD
    groups: tuple[str, ...] = GROUPS  # RaFD
    frames: str = "peak"  # CK+: peak, all, or a number: the last so many of each sequence

    @field_validator("cameras", "gazes", "groups")
    @classmethod
    def _known(cls, words: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        choice = LISTS[f"photos.{info.field_name}"]
        for word in words:
            if word not in choice:
                raise ValueError(f"{word!r} is none of {', '.join(choice)}")
        if not words:
            raise ValueError(f"give some of {', '.join(choice)}")
        return tuple(sorted(set(words), key=choice.index))

    @field_validator("frames")
    @classmethod
    def _some_frames(cls, frames: str) -> str:
        if frames in ("peak", "all") or (frames.isascii() and frames.isdigit() and int(frames)):
            return frames
        raise ValueError("give peak, all, or how many of the last frames, such as 3")


class RunSettings(Settings):
    """All settings of one run."""

    preset: str = "paper"
    size: int = Field(256, ge=32)
    seed: int = Field(0, ge=0, lt=2**31)
    split: str = "people"  # [8] people, images, or a CSV file with the columns person and part
    fold: int = Field(0, ge=0, le=4)
    source_gaze: Literal["frontal", "any"] = "frontal"  # [17]
    landmarks: Literal["dlib", "true"] = "dlib"
    grey: bool = False  # every photo is taken for a grey one [11]
    threads: int = Field(0, ge=0)
    processes: int = Field(1, ge=1)  # of this machine that share each batch
    checkpoint_seconds: float = Field(30.0, ge=0)
    checkpoints: int = Field(2, ge=1)  # how many are kept
    photos: PhotoSettings = PhotoSettings()
    synthetic: SyntheticSettings = SyntheticSettings()
    fusion: FusionSettings = FusionSettings()
    transfer: TransferSettings = TransferSettings()
    retouch: RetouchSettings = RetouchSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    comparison: ComparisonSettings = ComparisonSettings()

    @model_validator(mode="after")
    def _enough_for_all(self) -> "RunSettings":
        if self.processes > self.transfer.batch:
            raise ValueError(
                f"transfer.batch = {self.transfer.batch} cannot be shared by processes = "
                f"{self.processes}; raise the one or lower the other"
            )
        return self

    @field_validator("split")
    @classmethod
    def _path_of_split(cls, split: str) -> str:
        if split in ("people", "images"):
            return split
        return _whole_path(split)

    @field_validator("size")
    @classmethod
    def _power_of_two(cls, size: int) -> int:
        if size & (size - 1):
            raise ValueError("size must be a power of two: the U-Net halves it down to 2")
        return size


_SMALL_FUSION: dict[str, Any] = {
    # small and regularised beats big on few people; validation people may set ridge beside it
    "model": "blend",
    "epochs": None,
    "hidden": 128,
    "latent": 32,
    "dropout": 0.1,
    "batch": 64,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "weight_decay": 0.05,
    "ema": 0.995,
    "mixup": True,
    # an earlier state errs as little, but moves a face less
    "keep": "last",
}

_PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
        "size": 64,
        "threads": 1,
        "synthetic": {
            "people": 10,
            "size": 128,
            "expressions": ["neutral", "happy", "sad", "surprised"],
        },
        "fusion": _SMALL_FUSION | {"images": 6_400},
        "transfer": {
            "epochs": None,
            "images": 320,
            "filters": 16,
            "discriminator_filters": 8,
            "curve_points": 2,
            "curve_pairs": 4,
        },
        "evaluation": {"pairs": 12, "same_person_pairs": 6, "resamples": 200},
        "comparison": {
            "methods": "controls,rivals,paper,no_fusion",
            "beyond": "controls,paper,retouch,retouch_no_mask",
            "images": 160,
            "fusion_images": 800,
        },
    },
    "laptop": {
        "size": 128,
        "synthetic": {"people": 80},
        "fusion": _SMALL_FUSION | {"epochs": 120},
        "transfer": {
            "epochs": None,
            "images": 20_000,
            "filters": 32,
            "discriminator_filters": 16,
            "schedule": "linear",
        },
        "comparison": {
            "methods": "controls,cgan,pix2pix,paper,no_fusion",
            "beyond": "controls,pix2pix,paper,retouch",
            "images": 6_000,
            "fusion_images": 16_000,
        },
    },
    "colab": {
        "size": 256,
        "synthetic": {"people": 120},
        "fusion": _SMALL_FUSION | {"epochs": 120},
        "transfer": {"epochs": None, "images": 80_000, "schedule": "linear"},
        "evaluation": {"pairs": 480, "same_person_pairs": 96},
        "comparison": {
            "methods": "controls,rivals,paper,no_fusion",
            "beyond": "controls,pix2pix,paper,retouch",
            "images": 20_000,
        },
    },
    "paper": {
        "synthetic": {"people": 67},
        "transfer": {"precision": "float32"},
        "evaluation": {"pairs": 1_000, "same_person_pairs": 200},
    },
}

PRESETS = tuple(_PRESETS)

LISTS = {
    "synthetic.expressions": EXPRESSIONS,
    "photos.cameras": CAMERAS,
    "photos.gazes": GAZES,
    "photos.groups": GROUPS,
}
"""Settings that are lists, written with commas, and what all of them is."""


def load_settings(preset: str, overrides: Iterable[str] = ()) -> RunSettings:
    """The settings of a preset, changed by `name=value` texts such as `transfer.batch=16`.

    raises  UnknownPreset; BadSetting for an unknown name, a value of the wrong type or out of range
    """
    if preset not in _PRESETS:
        raise UnknownPreset(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    values: dict[str, Any] = {
        name: dict(value) if isinstance(value, dict) else value
        for name, value in _PRESETS[preset].items()
    }
    return _checked({"preset": preset, **values}, overrides)


def change_settings(settings: RunSettings, overrides: Iterable[str]) -> RunSettings:
    """Settings with some of them changed by `name=value` texts. Raises BadSetting."""
    return _checked(settings.model_dump(), overrides)


def _checked(values: dict[str, Any], overrides: Iterable[str]) -> RunSettings:
    for override in overrides:
        _apply(values, override)
    try:
        return RunSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        reason = str(first["msg"]).removeprefix("Value error, ")
        # a rule between settings has their whole group for its input: too much for one line
        value = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
        raise BadSetting(f"setting {where}{value}: {reason}") from None


def setting_names() -> tuple[str, ...]:
    """All names that an override may use, such as `size` and `transfer.batch`."""
    names = []
    for name, field in RunSettings.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            names += [f"{name}.{part}" for part in inner.model_fields]
        elif name != "preset":
            names.append(name)
    return tuple(names)


def _apply(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    name = name.strip()
    if not equals:
        raise BadSetting(f"{override!r} is no setting; write it as name=value, such as seed=1")
    if name not in setting_names():
        close = difflib.get_close_matches(name, setting_names(), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise BadSetting(f"unknown setting {name!r}{hint} (`expr-lib settings` lists all names)")
    value: Any = text.strip()
    if name in LISTS:
        value = LISTS[name] if value == "all" else tuple(value.split(","))
    group, dot, part = name.rpartition(".")
    chosen = values.setdefault(group, {}) if dot else values
    # the two budgets exclude each other: naming one takes the other back
    if part in ("epochs", "images") and group != "comparison":
        chosen["images" if part == "epochs" else "epochs"] = None
    chosen[part if dot else name] = None if value == "none" else value

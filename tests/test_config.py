"""Settings: the presets, overrides, and what a wrong one says."""

import pytest
from pydantic import ValidationError

from expr_lib.config import PRESETS, Budget, RunSettings, Settings, load_settings, setting_names
from expr_lib.errors import BadSetting, UnknownPreset
from expr_lib.photos import EXPRESSIONS


def _leaves(settings: Settings, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            found |= _leaves(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def test_there_are_four_presets_and_each_loads() -> None:
    assert PRESETS == ("smoke", "laptop", "colab", "paper")
    assert [load_settings(name).preset for name in PRESETS] == list(PRESETS)


def test_presets_grow_from_smoke_to_paper() -> None:
    presets = [load_settings(name) for name in PRESETS]
    for leaf in ("size", "transfer.filters", "evaluation.pairs", "fusion.hidden"):
        values = [_leaves(preset)[leaf] for preset in presets]
        assert values == sorted(values)  # type: ignore[type-var]
        assert values[0] != values[-1]


def test_paper_is_what_the_paper_prints() -> None:
    paper = load_settings("paper")
    assert paper.size == 256
    fusion, transfer = paper.fusion, paper.transfer
    assert (fusion.epochs, fusion.images, transfer.epochs, transfer.images) == (
        400,
        None,
        120,
        None,
    )
    for stage in (fusion, transfer):
        assert stage.batch == 8
        assert (stage.learning_rate, stage.discriminator_rate) == (2e-4, 1e-4)
        assert stage.schedule == "constant"
        assert stage.flips is True
    assert (fusion.weight_adversarial, fusion.weight_cycle, fusion.weight_l1) == (0.1, 10, 100)
    assert (transfer.weight_adversarial, transfer.weight_l1) == (1, 100)
    # Tables 1 and 2
    assert (transfer.filters, transfer.discriminator_filters) == (64, 64)
    # nothing is added that the paper does not name
    extras = (fusion.dropout, fusion.weight_decay, fusion.ema, fusion.mixup)
    assert extras == (0, 0, 0, False)
    assert transfer.precision == "float32"


def test_paper_takes_the_first_reading_of_every_open_choice() -> None:
    leaves = _leaves(load_settings("paper"))
    assert {
        "fusion.cycle": "source",
        "fusion.units": "standardised",
        "fusion.discriminator_sees_target": False,
        "transfer.landmarks": "fused",
        "transfer.landmark_style": "lines",
        "transfer.bottleneck": "pix2pix",
        "transfer.first_block": "plain",
        "transfer.upsampling": "transposed",
        "transfer.discriminator_activation": "table",
        "transfer.discriminator_sees_landmarks": False,
        "transfer.adversarial_loss": "logits",
        "transfer.generator_loss": "non_saturating",
        "evaluation.ssim_window": "gaussian",
    }.items() <= leaves.items()


def test_the_defaults_of_the_classes_are_the_papers() -> None:
    plain, paper = _leaves(RunSettings()), _leaves(load_settings("paper"))
    changed = {name for name in plain if plain[name] != paper[name]}
    measured = {"evaluation.pairs", "evaluation.same_person_pairs"}
    assert changed == {"synthetic.people", "transfer.precision", *measured}


def test_an_unknown_preset_names_all_four() -> None:
    with pytest.raises(UnknownPreset) as caught:
        load_settings("papper")
    assert all(word in str(caught.value) for word in (*PRESETS, "'papper'"))


# --- overrides


@pytest.mark.parametrize(
    ("override", "leaf", "value"),
    [
        ("seed=7", "seed", 7),
        (" seed = 7 ", "seed", 7),
        ("fusion.dropout=0.25", "fusion.dropout", 0.25),
        ("transfer.learning_rate=1e-4", "transfer.learning_rate", 1e-4),
        ("transfer.flips=false", "transfer.flips", False),
        ("transfer.bottleneck=stride1", "transfer.bottleneck", "stride1"),
        ("synthetic.expressions=happy,sad", "synthetic.expressions", ("happy", "sad")),
        ("synthetic.expressions=all", "synthetic.expressions", EXPRESSIONS),
    ],
)
@pytest.mark.parametrize("preset", ["smoke", "paper"])
def test_an_override_changes_one_setting_and_no_other(preset, override, leaf, value) -> None:
    before = _leaves(load_settings(preset))
    after = _leaves(load_settings(preset, [override]))
    assert after == before | {leaf: value}


def test_overrides_do_not_leak_into_the_next_run() -> None:
    before = load_settings("smoke")
    load_settings("smoke", ["fusion.hidden=7", "transfer.batch=3", "evaluation.pairs=5"])
    assert load_settings("smoke") == before


def test_the_last_of_two_overrides_wins() -> None:
    assert load_settings("smoke", ["seed=1", "seed=2"]).seed == 2


def test_every_leaf_can_be_overridden_and_is_listed() -> None:
    leaves = _leaves(load_settings("smoke"))
    assert sorted(setting_names()) == sorted(set(leaves) - {"preset"})
    for name in setting_names():
        value = leaves[name]
        if value is None:  # epochs, taken back by images
            continue
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        assert _leaves(load_settings("smoke", [f"{name}={text}"])) == leaves, name


@pytest.mark.parametrize("stage", ["fusion", "transfer"])
@pytest.mark.parametrize(
    ("preset", "named", "other"), [("paper", "images", "epochs"), ("smoke", "epochs", "images")]
)
def test_naming_one_budget_takes_back_the_other(stage, preset, named, other) -> None:
    changed = getattr(load_settings(preset, [f"{stage}.{named}=77"]), stage)
    assert (getattr(changed, named), getattr(changed, other)) == (77, None)


def test_exactly_one_budget() -> None:
    for budget in ({}, {"epochs": 1, "images": 1}):
        with pytest.raises(ValidationError, match="exactly one of epochs and images"):
            Budget(**budget)
    with pytest.raises(BadSetting, match="exactly one of epochs and images"):
        load_settings("paper", ["transfer.epochs=none"])


def test_a_budget_in_steps() -> None:
    assert Budget(epochs=3, batch=8).steps(triples=40) == 15
    assert Budget(images=800, batch=8).steps(triples=40) == 100
    assert Budget(images=800, batch=8).steps(triples=9999) == 100
    assert Budget(images=1, batch=64).steps(triples=40) == 1  # never nothing


# --- mistakes


@pytest.mark.parametrize(
    ("override", "essentials"),
    [
        ("transfer.batc=3", ("'transfer.batc'", "transfer.batch")),
        ("sed=3", ("'sed'", "seed")),
        ("batch=3", ("'batch'", "settings")),
        ("preset=paper", ("'preset'",)),
        ("transfer=3", ("'transfer'",)),
        ("seed", ("'seed'", "name=value")),
        ("seed=one", ("seed", "'one'", "integer")),
        ("seed=1.5", ("seed", "'1.5'", "integer")),
        ("seed=-1", ("seed", "greater than or equal to 0")),
        ("fold=5", ("fold", "less than or equal to 4")),
        ("fusion.dropout=1", ("fusion.dropout", "less than 1")),
        ("transfer.batch=0", ("transfer.batch", "greater than or equal to 1")),
        ("transfer.learning_rate=0", ("transfer.learning_rate", "greater than 0")),
        ("transfer.learning_rate=nan", ("transfer.learning_rate", "finite")),
        ("fusion.weight_l1=inf", ("fusion.weight_l1", "finite")),
        ("fusion.flips=maybe", ("fusion.flips", "boolean")),
        ("transfer.precision=fp8", ("transfer.precision", "bfloat16")),
        ("transfer.batch=none", ("transfer.batch", "integer")),
        ("size=100", ("size", "'100'", "power of two")),
        ("size=16", ("size", "32")),
        ("synthetic.expressions=happy,glad", ("synthetic.expressions", "'glad'", "surprised")),
        ("synthetic.expressions=", ("synthetic.expressions", "''")),
    ],
)
def test_a_wrong_override_is_one_line_that_names_it(override, essentials) -> None:
    with pytest.raises(BadSetting) as caught:
        load_settings("paper", [override])
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 250
    assert not [word for word in essentials if word not in message], message


def test_settings_are_frozen_and_know_no_other_names() -> None:
    settings = load_settings("smoke")
    for part, name in ((settings, "seed"), (settings.transfer, "batch")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, name, 3)
    for build in (RunSettings, Budget, type(settings.fusion), type(settings.evaluation)):
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            build(epochs_=3)


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_survive_json(preset) -> None:
    settings = load_settings(preset, ["seed=9"])
    assert RunSettings.model_validate_json(settings.model_dump_json()) == settings

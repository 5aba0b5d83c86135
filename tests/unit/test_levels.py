"""The factors of a configuration, and the set-ups that they make."""

import itertools
import json
import re

import pytest

from l2study.core.config import ConfigError, check, checked_before
from l2study.core.design import MOST_RUNS, Design, Setup

SGD = {"training": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9}}
FACTORS = {
    "training.batch_size": [32, 200, 128],
    "optimizer": {"sgd": SGD, "slow": {"training": {"learning_rate": 1e-4}}},
    "dataset.train_size": [1000, None],
}


def study(factors=FACTORS, design=None, **changes):
    return check({"factors": factors, "seeds": 2, "design": design} | changes)


def set_ups(config):
    return Design.of(config).setups


def names(config):
    return [setup.name for setup in set_ups(config)]


def refusal(factors, **changes):
    """Return the line with which a study with these factors is refused."""
    with pytest.raises(ConfigError) as caught:
        Design.of(study(factors, **changes))
    message = str(caught.value)
    assert message == message.strip() and len(message.splitlines()) == 1
    return message


def test_one_at_a_time_is_the_base_and_every_other_level_alone():
    assert Design.of(check({})).setups == (Setup("base", {}, check({}), {}),)
    config = study()
    found = {setup.name: setup for setup in Design.of(config).setups}
    assert list(found) == [
        "base",
        "batch_size~32",
        "batch_size~128",
        "optimizer~sgd",
        "optimizer~slow",
        "train_size~1000",
    ]
    base = {k: v for k, v in config.items() if k != "factors"}
    assert found["base"].config == base
    expected = json.loads(json.dumps(base))
    expected["training"] |= {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9}
    assert found["optimizer~sgd"].config == check(expected)
    assert found["base"].levels == {"batch_size": "200", "optimizer": "base", "train_size": "all"}
    assert found["optimizer~sgd"].levels == found["base"].levels | {"optimizer": "sgd"}
    assert [name for name, setup in found.items() if setup.data] == ["train_size~1000"]


def test_full_is_every_combination_named_by_the_levels_that_are_not_the_base_s():
    found = Design.of(study(design="full")).setups
    levels = [
        [("batch_size", level) for level in ("200", "32", "128")],
        [("optimizer", level) for level in ("base", "sgd", "slow")],
        [("train_size", level) for level in ("all", "1000")],
    ]
    assert [setup.levels for setup in found] == [dict(c) for c in itertools.product(*levels)]
    own = {"batch_size": "200", "optimizer": "base", "train_size": "all"}
    for setup in found:
        changed = [f"{f}~{level}" for f, level in setup.levels.items() if level != own[f]]
        assert setup.name == (",".join(changed) or "base")
        assert setup.config["training"]["batch_size"] == int(setup.levels["batch_size"])
    assert {setup.data for setup in found} == {"", "train_size~1000"}


def test_what_is_there_keeps_its_name_and_its_configuration_when_more_is_added():
    before = {setup.name: setup.config for setup in set_ups(study(design="full"))}
    more = FACTORS | {"training.batch_size": [32, 200, 128, 64], "model.hidden_units": [[64, 32]]}
    after = {setup.name: setup.config for setup in set_ups(study(more, design="full"))}
    assert before.items() <= after.items()
    assert len(after) == 4 * 3 * 2 * 2
    assert "batch_size~64,optimizer~sgd,train_size~1000,hidden_units~64x32" in after


def test_equal_values_have_one_name_however_they_are_written():
    written = [0.0001, "1e-4", 1.0e-4]
    found = [names(study({"training.learning_rate": [value]})) for value in written]
    assert found == [["base", "learning_rate~0.0001"]] * 3
    assert names(study({"model.regularize_output": ["true"]}))[1] == "regularize_output~true"


@pytest.fixture
def models(tmp_path):
    """A function: the name of a function in a file of its own."""

    def named(function):
        (tmp_path / f"{function}.py").write_text(f"def {function}(): ...")
        return f"{tmp_path}/{function}.py:{function}"

    return named


def test_functions_and_their_arguments_are_levels(models):
    base = {"build": models("net"), "arguments": {"dropout": 0.5, "units": [8]}}
    wide = {"build": models("wide"), "arguments": {"units": None}}
    factors = {"model.arguments.dropout": [0.0, 0.5], "build": {"wide": {"model": wide}}}
    own, dropout, other = set_ups(study(factors, model=base))
    assert [own.name, dropout.name, other.name] == ["base", "dropout~0", "build~wide"]
    assert own.levels == {"dropout": "0.5", "build": "base"}
    assert dropout.config["model"] == own.config["model"] | {
        "arguments": {"dropout": 0.0, "units": [8]}
    }
    assert other.config["model"]["arguments"] == {"dropout": 0.5, "units": None}
    assert other.config["model"]["build"] == wide["build"]
    assert other.config["model"]["code"] != own.config["model"]["code"]
    # an argument that the base leaves to the function, and a function beside the built-in network
    (own, _) = set_ups(study({"model.arguments.depth": [2]}, model=base))
    assert own.levels == {"depth": "default"}
    (own, other) = set_ups(study({"build": {"net": {"model": base}}}))
    assert own.config["model"]["hidden_units"] and "hidden_units" not in other.config["model"]


def test_what_changes_nothing_beside_a_function_is_refused(models):
    base = {"build": models("net")}
    for factors in (
        {"model.hidden_units": [[4]]},
        {"build": {"x": {"model": {"activation": "tanh"}}}},
    ):
        assert "is ignored where there is a model.build" in refusal(factors, model=base)
    message = refusal({"model.build": [models("wide")]}, model=base)
    assert "cannot be part of a folder's name" in message


def test_the_level_of_the_base_is_that_which_equals_it():
    absent = {"dataset.label_noise": [0, 0.2], "model.regularizer": ["l2", "decoupled"]}
    assert names(study(absent)) == ["base", "label_noise~0.2", "regularizer~decoupled"]
    assert set_ups(study(absent))[0].levels == {"label_noise": "0", "regularizer": "l2"}
    images = {"500": {"dataset": {"train_size": 500}}, "all": {"dataset": {"train_size": None}}}
    assert [one.levels["images"] for one in set_ups(study({"images": images}))] == ["all", "500"]


def test_a_configuration_found_good_before_gives_the_same_set_ups():
    config = study(design="full")
    assert Design.of(checked_before(config), checked=True) == Design.of(config)
    assert Design.of(check(json.loads(json.dumps(config)))).setups == Design.of(config).setups


def test_runs_are_shared_by_set_ups_that_differ_in_epochs_alone():
    factors = {"training.epochs": [8, 60], "training.batch_size": [32]}
    groups = [[setup.name for setup in group] for group in Design.of(study(factors)).sharing]
    assert groups == [["epochs~60", "base", "epochs~8"], ["batch_size~32"]]
    assert list(map(len, Design.of(study(factors, design="full")).sharing)) == [3, 3]


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ({"training.batch": [1]}, "factors.training.batch: level 1: training.batch: unknown key"),
        ({"training.momentum": [0.5]}, "level 0.5: training.momentum: 0.5 is given, but"),
        ({"seeds": [3]}, "factors.seeds: level 3: seeds changes nothing in what is trained"),
        ({"training.epochs": [3, 3]}, "level 3: is the same set-up as level 3"),
        (
            {"size": {"a": {"dataset": {"train_size": None}}, "b": {"model": {}}}},
            "factors.size: level b: is the same set-up as level a (both equal the base)",
        ),
        (
            {"a": {"x": {"training": {"epochs": 3}}}, "training.epochs": [4]},
            "factors.training.epochs: changes training.epochs, as the factor a does",
        ),
        ({"epochs": {"x": SGD}, "training.epochs": [4]}, "two factors with the name epochs"),
        ({"dataset.path": ["a/b.npz"]}, "'a/b.npz' cannot be part of a folder's name"),
        ({"optimizer": {"s,g~d": SGD}}, "'s,g~d' cannot be part of a folder's name"),
        ({"optimizer": {"sgd": {}}}, "gives no keys to change"),
        ({f"f{'x' * 50}{i}": {"y" * 50: {"training": {k: v}}} for i, (k, v) in enumerate(
            {"epochs": 3, "batch_size": 32, "learning_rate": 0.1}.items())},
         "the name of the set-up"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_fault_is_one_line_with_factor_and_level(factors, words):
    design = "full" if words == "the name of the set-up" else None
    assert words in refusal(factors, design=design)


@pytest.mark.parametrize(
    ("factors", "changes", "words"),
    [
        ({"validation.split": ["tail"]},
         {"validation": {"split": "stratified"}, "variation": ["split"]},
         "level tail: validation.split: tail keeps the same"),
        ({"dataset.train_size": [None]},
         {"dataset": {"train_size": 100}, "seeds": {"sample": 2}},
         "level null: dataset.train_size: missing"),
        ({"dataset.name": ["fashion_mnist"]}, {"dataset": {"path": "mine.npz"}},
         "dataset.name is ignored where there is a dataset.path"),
    ],
)  # fmt: skip
def test_the_rules_hold_in_every_set_up(factors, changes, words):
    assert words in refusal(factors, **changes)


def test_a_combination_that_is_not_valid_is_named():
    factors = {
        "training.optimizer": ["ftrl"],
        "decay": {"decoupled": {"model": {"regularizer": "decoupled"}}},
    }
    message = refusal(factors, design="full")
    assert message.startswith("factors: set-up optimizer~ftrl,decay~decoupled: model.regularizer")
    assert len(set_ups(study(factors))) == 3


def test_more_runs_than_anybody_means_need_a_word():
    many = {f"f{i}": {"x": {"training": {k: v}}} for i, (k, v) in enumerate(
        {"epochs": 3, "batch_size": 32, "learning_rate": 0.1}.items())}  # fmt: skip
    message = refusal(many, design="full", seeds=5000)
    runs = 8 * 5 * 5000
    assert re.search(rf"8 set-ups .* are {runs} runs; allowed: at most {MOST_RUNS}", message)
    assert "--config allow_large=true" in message
    assert len(set_ups(study(many, design="full", seeds=5000, allow_large=True))) == 8

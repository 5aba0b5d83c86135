import copy
import datetime
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from l2study.core.config import ConfigError, check, check_ledger, read_config
from l2study.core.config_faults import SCHEMA
from l2study.core.paths import ledger

ROOT = Path(__file__).resolve().parents[2]

# what the design of the study says, in the canonical form
DEFAULT = {
    "study": "mnist",
    "dataset": {"name": "mnist"},
    "validation": {"split": "tail", "fraction": 0.1},
    "model": {"hidden_units": [128], "activation": "relu", "regularize_output": False},
    "training": {
        "optimizer": "adam",
        "learning_rate": 0.001,
        "batch_size": 200,
        "epochs": 50,
        "evaluate_at": {"points": 18},
    },
    "lambdas": ["0", "1e-5", "0.0001", "0.001", "0.01"],
    "seeds": [0, 1, 2, 3, 4, 5, 6],
    "reference_lambda": "0",
    "confidence": 0.95,
}


def merged(base, changes):
    """Merge as Snakemake merges config files: mappings key by key, everything else replaced."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def file_of(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def refusal(config, **options):
    """Return the message with which a configuration is refused, which is one line."""
    with pytest.raises(ConfigError) as caught:
        check(config, **options)
    message = str(caught.value)
    assert message == message.strip() and len(message.splitlines()) == 1
    return message


# ---- what is accepted


def test_the_defaults_are_the_default_study():
    assert check({}) == DEFAULT
    assert read_config(ROOT / "config.yaml") == DEFAULT
    assert list(check(dict(reversed(DEFAULT.items())))) == list(DEFAULT)


def test_config_yaml_leaves_no_key_to_a_default():
    assert check(file_of("config.yaml"), defaults=False) == DEFAULT


def test_the_first_look_is_small():
    config = check(merged(file_of("config.yaml"), file_of("studies/quick.yaml")), defaults=False)
    assert config["study"] == "quick"
    assert "0" in config["lambdas"] and 2 <= len(config["lambdas"]) <= 3
    assert len(config["seeds"]) <= 3
    assert config["dataset"]["train_size"] <= 5000
    assert config["training"]["epochs"] <= 8


def test_the_exercise_is_followed():
    config = check(merged(file_of("config.yaml"), file_of("studies/exercise.yaml")), defaults=False)
    changes = {"study": "exercise", "lambdas": ["0.0001", "0.01"], "reference_lambda": "0.0001"}
    assert config == merged(DEFAULT, changes | {"training": {"epochs": 8, "evaluate_at": "all"}})


@pytest.mark.parametrize(
    ("change", "canonical"),
    [
        ({"lambdas": [0.01, "1e-4", 0]}, {"lambdas": ["0", "0.0001", "0.01"]}),
        ({"lambdas": ["1e-10", "2e-9", 10]}, {"lambdas": ["1e-10", "2e-9", "10"]}),
        ({"lambdas": [-0.0]}, {"lambdas": ["0"]}),
        ({"reference_lambda": "1.0e-4"}, {"reference_lambda": "0.0001"}),
        ({"reference_lambda": 5}, {"reference_lambda": "5"}),
        ({"seeds": 2}, {"seeds": [0, 1]}),
        ({"seeds": [7, 0, 4294967295]}, {"seeds": [0, 7, 4294967295]}),
        ({"training": {"learning_rate": "1e-2"}}, {"training": {"learning_rate": 0.01}}),
        ({"training": {"learning_rate": 1}}, {"training": {"learning_rate": 1.0}}),
        ({"validation": {"fraction": "2e-1"}}, {"validation": {"fraction": 0.2}}),
        ({"confidence": "9e-1"}, {"confidence": 0.9}),
        ({"model": {"hidden_units": [3, 3, 3]}}, {"model": {"hidden_units": [3, 3, 3]}}),
        ({"dataset": {"train_size": 100}}, {"dataset": {"train_size": 100}}),
        ({"dataset": {"train_size": None, "path": None}}, {}),
        ({"dataset": {"label_noise": "2e-1"}}, {"dataset": {"label_noise": 0.2}}),
        *(({"dataset": {"label_noise": none}}, {}) for none in (None, 0, -0.0, "0.0")),
        ({"model": {"regularizer": "decoupled"}}, {"model": {"regularizer": "decoupled"}}),
        *(({"model": {"regularizer": l2}}, {}) for l2 in (None, "l2")),
        ({"training": {"momentum": None}}, {}),
        ({"training": {"evaluate_at": "all"}}, {"training": {"evaluate_at": "all"}}),
        ({"training": {"evaluate_at": [20, 3, 1]}}, {"training": {"evaluate_at": [1, 3, 20]}}),
        *(
            ({"training": {"evaluate_at": p}}, {"training": {"evaluate_at": p}})
            for p in ({"points": 2}, {"points": 500}, [1])
        ),
        ({"study": "A-b_3"}, {"study": "A-b_3"}),
        ({"allow_missing": "true"}, {"allow_missing": True}),
        ({"allow_missing": False}, {"allow_missing": False}),
        ({"model": {"regularize_output": "false"}}, {"model": {"regularize_output": False}}),
        *(({"model": {"activation": a}}, {"model": {"activation": a}}) for a in ("tanh", "elu")),
        *(
            ({"training": {"optimizer": o}}, {"training": {"optimizer": o}})
            for o in ("adamw", "sgd")
        ),
    ],
)
@pytest.mark.parametrize("defaults", [True, False])
def test_what_is_allowed_gets_its_canonical_form(change, canonical, defaults):
    config = change if defaults else merged(file_of("config.yaml"), change)
    assert check(config, defaults=defaults) == merged(DEFAULT, canonical)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
@pytest.mark.parametrize(("momentum", "canonical"), [(0, 0.0), ("9e-1", 0.9)])
def test_momentum_goes_with_optimizers_that_have_one(optimizer, momentum, canonical):
    config = check({"training": {"optimizer": optimizer, "momentum": momentum}})
    assert config["training"]["momentum"] == canonical
    assert isinstance(config["training"]["momentum"], float)


@pytest.mark.parametrize("name", [{}, {"name": "mnist"}, {"name": "cifar10"}, {"name": None}])
def test_a_path_takes_the_place_of_a_name(name):
    config = check({"dataset": {**name, "path": "mine.npz", "train_size": 9}})
    assert config["dataset"] == {"path": "mine.npz", "train_size": 9}


def test_no_hidden_layer_is_allowed_where_the_output_is_regularised():
    model = {"hidden_units": [], "regularize_output": True}
    assert check({"model": model})["model"]["hidden_units"] == []


def test_the_input_is_left_as_it_is():
    config = {"dataset": {"name": "mnist", "path": "x"}, "lambdas": ["1e-4", 0], "seeds": 3}
    before = copy.deepcopy(config)
    first = check(config)
    assert config == before
    first["model"]["hidden_units"].append(1)
    first["lambdas"].clear()
    assert check({})["model"]["hidden_units"] == [128]
    assert check(config)["lambdas"] == ["0", "0.0001"]


# ---- what is refused

REFUSED = [
    # change, key, value, part of what is allowed
    ({"trainings": {}}, "trainings", "{}", "did you mean training?"),
    ({"Lambdas": [0]}, "Lambdas", "[0]", "did you mean lambdas?"),
    ({"threads": 4}, "threads", "4", "confidence"),
    ({1: 2}, "1", "2", "study"),
    ({None: 2}, "None", "2", "study"),
    ({"dataset": {"nam": "mnist"}}, "dataset.nam", '"mnist"', "did you mean name?"),
    ({"validation": {"frac": 0.2}}, "validation.frac", "0.2", "fraction"),
    ({"model": {"units": [1]}}, "model.units", "[1]", "hidden_units"),
    ({"training": {"lr": 0.1}}, "training.lr", "0.1", "learning_rate"),
    ({"training": {"learning_rat": 0.1}}, "training.learning_rat", "0.1", "mean learning_rate?"),
    ({"allow_missing": "perhaps"}, "allow_missing", '"perhaps"', "true or false"),
    ({"study": ""}, "study", '""', "letters, digits, - and _"),
    ({"study": "a b"}, "study", '"a b"', "letters, digits, - and _"),
    ({"study": "../a"}, "study", '"../a"', "letters, digits, - and _"),
    ({"study": "a/b"}, "study", '"a/b"', "letters, digits, - and _"),
    ({"study": "x; touch pwned"}, "study", '"x; touch pwned"', "letters, digits, - and _"),
    ({"study": "a\n"}, "study", r'"a\n"', "letters, digits, - and _"),
    ({"study": "étude"}, "study", '"étude"', "letters, digits, - and _"),
    ({"study": 2024}, "study", "2024", "in quotes"),
    ({"study": datetime.date(2024, 1, 2)}, "study", "2024-01-02", "in quotes"),
    ({"study": None}, "study", "no value", "letters, digits, - and _"),
    ({"dataset": "mnist"}, "dataset", '"mnist"', "a mapping with the keys name, path, train_size"),
    ({"dataset": {"name": "mnits"}}, "dataset.name", '"mnits"', "did you mean mnist?"),
    ({"dataset": {"name": "x", "path": "y"}}, "dataset.name", '"x"', "mnist, fashion_mnist"),
    ({"dataset": {"name": "imdb"}}, "dataset.name", '"imdb"', "mnist, fashion_mnist"),
    ({"dataset": {"name": "boston_housing"}}, "dataset.name", '"boston_housing"', "regression"),
    ({"dataset": {"name": 3}}, "dataset.name", "3", "mnist, fashion_mnist"),
    ({"dataset": {"path": ""}}, "dataset.path", '""', "not empty"),
    ({"dataset": {"path": ["a"]}}, "dataset.path", '["a"]', "text"),
    ({"dataset": {"train_size": 0}}, "dataset.train_size", "0", "of at least 1"),
    ({"dataset": {"train_size": 1e3}}, "dataset.train_size", "1000.0", "a whole number"),
    ({"dataset": {"train_size": "1000"}}, "dataset.train_size", '"1000"', "a whole number"),
    ({"dataset": {"label_noise": 1}}, "dataset.label_noise", "1", "at least 0 and below 1"),
    ({"dataset": {"label_noise": -0.1}}, "dataset.label_noise", "-0.1", "at least 0 and below 1"),
    ({"dataset": {"label_noise": True}}, "dataset.label_noise", "true", "a number"),
    ({"validation": {"split": "random"}}, "validation.split", '"random"', "tail, stratified"),
    ({"validation": {"split": True}}, "validation.split", "true", "tail, stratified"),
    ({"validation": {"fraction": 0}}, "validation.fraction", "0", "above 0 and below 1"),
    ({"validation": {"fraction": 1}}, "validation.fraction", "1", "above 0 and below 1"),
    ({"validation": {"fraction": -0.1}}, "validation.fraction", "-0.1", "above 0 and below 1"),
    ({"validation": {"fraction": "10%"}}, "validation.fraction", '"10%"', "above 0 and below 1"),
    ({"validation": {"fraction": math.nan}}, "validation.fraction", "NaN", "above 0 and below 1"),
    ({"validation": {"fraction": "nan"}}, "validation.fraction", '"nan"', "above 0 and below 1"),
    ({"validation": {"fraction": None}}, "validation.fraction", "no value", "above 0 and below 1"),
    ({"validation": None}, "validation", "no value", "a mapping with the keys split, fraction"),
    ({"model": {"hidden_units": 128}}, "model.hidden_units", "128", "a list"),
    ({"model": {"hidden_units": [0]}}, "model.hidden_units[0]", "0", "of at least 1"),
    ({"model": {"hidden_units": [8, 1.5]}}, "model.hidden_units[1]", "1.5", "a whole number"),
    ({"model": {"hidden_units": [True]}}, "model.hidden_units[0]", "true", "a whole number"),
    ({"model": {"hidden_units": []}}, "model.hidden_units", "[]", "at least one layer"),
    ({"model": {"activation": "rleu"}}, "model.activation", '"rleu"', "did you mean relu?"),
    ({"model": {"activation": None}}, "model.activation", "no value", "relu"),
    ({"model": {"regularize_output": 1}}, "model.regularize_output", "1", "true or false"),
    ({"model": {"regularize_output": "no"}}, "model.regularize_output", '"no"', "true or false"),
    ({"model": {"regularizer": "L2"}}, "model.regularizer", '"L2"', "l2, decoupled"),
    ({"model": {"regularizer": "decouple"}}, "model.regularizer", '"decouple"', "mean decoupled?"),
    (
        {"model": {"regularizer": "decoupled"}, "training": {"optimizer": "adamw"}},
        *("model.regularizer", '"decoupled"', "adam, sgd, rmsprop"),
    ),
    ({"training": [1]}, "training", "[1]", "a mapping"),
    ({"training": {"optimizer": "Adam"}}, "training.optimizer", '"Adam"', "adam, sgd, rmsprop"),
    ({"training": {"optimizer": "lion"}}, "training.optimizer", '"lion"', "adam, sgd, rmsprop"),
    ({"training": {"learning_rate": 0}}, "training.learning_rate", "0", "above 0"),
    ({"training": {"learning_rate": -1}}, "training.learning_rate", "-1", "above 0"),
    ({"training": {"learning_rate": True}}, "training.learning_rate", "true", "a number"),
    ({"training": {"learning_rate": math.inf}}, "training.learning_rate", "Infinity", "a number"),
    ({"training": {"momentum": 0.9}}, "training.momentum", "0.9", "sgd, rmsprop"),
    (
        {"training": {"optimizer": "adamw", "momentum": 0}},
        *("training.momentum", "0", "sgd, rmsprop"),
    ),
    ({"training": {"optimizer": "sgd", "momentum": 1}}, "training.momentum", "1", "below 1"),
    (
        {"training": {"optimizer": "sgd", "momentum": -0.1}},
        "training.momentum",
        "-0.1",
        "at least 0",
    ),
    ({"training": {"batch_size": 0}}, "training.batch_size", "0", "of at least 1"),
    ({"training": {"batch_size": 0.5}}, "training.batch_size", "0.5", "a whole number"),
    ({"training": {"epochs": 0}}, "training.epochs", "0", "of at least 1"),
    ({"training": {"epochs": -3}}, "training.epochs", "-3", "of at least 1"),
    ({"training": {"epochs": 2.0}}, "training.epochs", "2.0", "a whole number"),
    ({"training": {"epochs": "five"}}, "training.epochs", '"five"', "a whole number"),
    ({"training": {"epochs": True}}, "training.epochs", "true", "a whole number"),
    ({"training": {"evaluate_at": "some"}}, "training.evaluate_at", '"some"', "all, a list of 1"),
    (
        {"training": {"evaluate_at": "all\n"}},
        "training.evaluate_at",
        r'"all\n"',
        "all, a list of 1",
    ),
    ({"training": {"evaluate_at": 5}}, "training.evaluate_at", "5", "with the key points"),
    ({"training": {"evaluate_at": True}}, "training.evaluate_at", "true", "with the key points"),
    ({"training": {"evaluate_at": []}}, "training.evaluate_at", "[]", "whole numbers of at least"),
    ({"training": {"evaluate_at": [0, 5]}}, "training.evaluate_at[0]", "0", "of at least 1"),
    ({"training": {"evaluate_at": [5.0]}}, "training.evaluate_at[0]", "5.0", "a whole number"),
    ({"training": {"evaluate_at": ["5"]}}, "training.evaluate_at[0]", '"5"', "a whole number"),
    ({"training": {"evaluate_at": [3, 5, 3]}}, "training.evaluate_at", "3", "each once"),
    ({"training": {"evaluate_at": [51, 3]}}, "training.evaluate_at", "51", "at most 50"),
    (
        {"training": {"evaluate_at": {"point": 3}}},
        *("training.evaluate_at.point", "3", "did you mean points?"),
    ),
    (
        {"training": {"evaluate_at": {"points": 1}}},
        "training.evaluate_at.points",
        "1",
        "at least 2",
    ),
    (
        {"training": {"evaluate_at": {"points": "9"}}},
        *("training.evaluate_at.points", '"9"', "a whole number"),
    ),
    ({"lambdas": []}, "lambdas", "[]", "a list of 1 or more"),
    ({"lambdas": 0.1}, "lambdas", "0.1", "a list of 1 or more"),
    ({"lambdas": None}, "lambdas", "no value", "a list of 1 or more"),
    ({"lambdas": {"a": 1}}, "lambdas", '{"a": 1}', "a list of 1 or more"),
    ({"lambdas": [0, -1.0e-3]}, "lambdas[1]", "-0.001", "of at least 0"),
    ({"lambdas": ["-1e-3"]}, "lambdas[0]", '"-1e-3"', "of at least 0"),
    ({"lambdas": [0, "none"]}, "lambdas[1]", '"none"', "a number"),
    ({"lambdas": ["1_0"]}, "lambdas[0]", '"1_0"', "a number"),
    ({"lambdas": [False]}, "lambdas[0]", "false", "a number"),
    ({"lambdas": [None]}, "lambdas[0]", "no value", "a number"),
    ({"lambdas": [[0]]}, "lambdas[0]", "[0]", "a number"),
    ({"lambdas": [math.nan]}, "lambdas[0]", "NaN", "a number"),
    ({"lambdas": [10**400]}, "lambdas[0]", "1000", "a number"),
    ({"lambdas": ["1e400"]}, "lambdas[0]", '"1e400"', "a number"),
    ({"lambdas": [0.1, 0.1]}, "lambdas", "0.1", "each once"),
    ({"lambdas": [0, "1e-4", 0.0001]}, "lambdas", "0.0001", "each once"),
    ({"lambdas": [0, -0.0]}, "lambdas", "0", "each once"),
    ({"lambdas": ["1", 1, 1.0]}, "lambdas", "1", "each once"),
    ({"lambdas": [10**17, 10**17 + 1]}, "lambdas", "1e17", "each once"),
    ({"seeds": 1}, "seeds", "1", "of at least 2"),
    ({"seeds": 0}, "seeds", "0", "of at least 2"),
    ({"seeds": -5}, "seeds", "-5", "of at least 2"),
    ({"seeds": 10**9}, "seeds", "1000000000", "at most 10000"),
    ({"seeds": True}, "seeds", "true", "a count"),
    ({"seeds": 3.0}, "seeds", "3.0", "a count"),
    ({"seeds": "3"}, "seeds", '"3"', "a count"),
    ({"seeds": []}, "seeds", "[]", "a list of 2 or more"),
    ({"seeds": [4]}, "seeds", "[4]", "a list of 2 or more"),
    ({"seeds": [1, 2, 1]}, "seeds", "1", "each once"),
    ({"seeds": [0, -1]}, "seeds[1]", "-1", "of at least 0"),
    ({"seeds": [0, 2**32]}, "seeds[1]", "4294967296", "at most 4294967295"),
    ({"seeds": [0, 1.0]}, "seeds[1]", "1.0", "a whole number"),
    ({"seeds": [0, True]}, "seeds[1]", "true", "a whole number"),
    ({"seeds": ["a", "b"]}, "seeds[0]", '"a"', "a whole number"),
    ({"reference_lambda": -1}, "reference_lambda", "-1", "of at least 0"),
    ({"reference_lambda": "none"}, "reference_lambda", '"none"', "a number"),
    ({"reference_lambda": [0]}, "reference_lambda", "[0]", "a number"),
    ({"confidence": 95}, "confidence", "95", "above 0 and below 1"),
    ({"confidence": 1.0}, "confidence", "1.0", "above 0 and below 1"),
    ({"confidence": 0}, "confidence", "0", "above 0 and below 1"),
    ({"confidence": "high"}, "confidence", '"high"', "above 0 and below 1"),
]


@pytest.mark.parametrize("defaults", [True, False])
@pytest.mark.parametrize(("change", "key", "value", "allowed"), REFUSED)
def test_one_line_names_key_value_and_what_is_allowed(change, key, value, allowed, defaults):
    config = change if defaults else merged(file_of("config.yaml"), change)
    message = refusal(config, defaults=defaults)
    named, rest = message.split(": ", 1)
    assert named == key
    assert "allowed" in rest
    said, allowance = re.split(r"; (?=did you|allowed)", rest, maxsplit=1)
    assert value in said
    assert allowed in rest
    assert allowed in allowance or allowed == "regression"


def leaves(config, path=()):
    for key, value in config.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))


# `evaluate_at` has a default as a whole
REQUIRED = [path for path in leaves(DEFAULT) if path[-1] != "points"]


@pytest.mark.parametrize("path", REQUIRED, ids=".".join)
def test_a_missing_key_is_refused_where_defaults_are_not_wanted(path):
    config = copy.deepcopy(DEFAULT)
    parent = config
    for step in path[:-1]:
        parent = parent[step]
    del parent[path[-1]]
    assert check(config) == DEFAULT
    assert refusal(config, defaults=False).startswith(f"{'.'.join(path)}: missing; allowed: ")


def test_a_misspelt_key_is_reported_before_the_key_that_it_leaves_missing():
    config = copy.deepcopy(DEFAULT)
    config["training"]["epoch"] = config["training"].pop("epochs")
    message = refusal(config, defaults=False)
    assert message.startswith("training.epoch: unknown key (value 50); did you mean epochs?")


@pytest.mark.parametrize("config", [None, [], 3, "text", True, {1, 2}])
def test_only_a_mapping_is_a_configuration(config):
    assert "a mapping with the keys study" in refusal(config)


def test_a_long_value_is_shortened():
    message = refusal({"study": "a b" * 1000})
    assert len(message) < 200 and "..." in message


def test_a_value_that_cannot_be_shown_is_refused_all_the_same():
    endless = []
    endless.append(endless)
    assert refusal({"seeds": endless}).startswith("seeds: a list is not allowed")
    assert "too many digits" in refusal({"seeds": [10**5000, 1]})
    assert refusal({"lambdas": [10**5000]}).startswith("lambdas[0]: ")
    assert refusal({"study": "\ud800\u2028"}).startswith(r'study: "\ud800\u2028" is not')
    assert refusal({"\ud800\n": 1}).startswith(r"\ud800: unknown key")
    assert refusal({"study": object()}).startswith("study: ")


# ---- files and texts


@pytest.mark.parametrize("indent", [None, 2])
def test_the_canonical_form_can_be_passed_as_json_text(indent):
    config = merged(DEFAULT, {"dataset": {"path": "Ü 😀/a.npz"}, "validation": {"fraction": 1e-5}})
    del config["dataset"]["name"]
    assert read_config(json.dumps(config, indent=indent)) == config
    assert read_config(" " + json.dumps(config, ensure_ascii=False)) == config


def test_a_file_of_yaml_or_json_is_read(tmp_path):
    for name, text in {"a.yaml": "seeds: 3\n", "b.json": '{"seeds": 3}', "c": "{seeds: 3}"}.items():
        (tmp_path / name).write_text(text)
        assert read_config(tmp_path / name)["seeds"] == [0, 1, 2]
        assert read_config(str(tmp_path / name))["seeds"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("seeds: [1, 2", "not valid YAML in line"),
        ("a: b: c", "not valid YAML in line 1"),
        ("seeds: 2\n\tlambdas: 3", "not valid YAML in line 2"),
        ("seeds: 2\nlambdas: [0]\nseeds: 3", '"seeds" is given twice'),
        ("training:\n  epochs: 2\n  epochs: 2\n", '"epochs" is given twice'),
        ('{"seeds": 2, "seeds": 3}', '"seeds" is given twice'),
        ("{seeds: 2, seeds: 3}", '"seeds" is given twice'),
        ("seeds: !!python/object:os.system 1", "not valid YAML"),
        ("seeds: !!bool x", "not valid YAML"),
        ("seeds: !!int x", "not valid YAML"),
        ("? [a]\n: 1", "not valid YAML"),
        ("a: &a\n  b: *a", "not valid YAML"),
        ("a: *b", "not valid YAML"),
        ("seeds: 2\n---\nseeds: 3", "not valid YAML"),
        ("seeds: \x07", "not valid YAML"),
        ("a: " + "[" * 2000, "not valid YAML"),
        ("seeds: " + "1" * 5000, "not valid YAML"),
        ("seeds: 0x" + "f" * 5000, "too many digits"),
        ("", "the configuration is null"),
        ("- 1", "the configuration is [1]"),
        ("just text", 'the configuration is "just text"'),
        (b"study: \xff", "not UTF-8"),
    ],
)
def test_a_file_that_is_not_a_configuration_is_refused_in_one_line(tmp_path, content, part):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    message = str(caught.value)
    assert part in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("name", ["absent.yaml", ".", "a\0b", "x" * 300])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        read_config(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1


# ---- any configuration at all

COEFFICIENT = st.floats(min_value=0, allow_infinity=False, allow_nan=False)
SHARE = st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True)
COUNT = st.integers(min_value=1)


def spelt(numbers):
    return numbers | numbers.map(repr) | numbers.map("{:.17e}".format)


def one_of(*path):
    schema = yaml.safe_load(SCHEMA.read_text())
    for step in path:
        schema = schema["properties"][step]
    return st.sampled_from(schema["enum"])


def some_of(**keys):
    return st.fixed_dictionaries({}, optional=keys)


VALID = some_of(
    study=st.from_regex(r"[A-Za-z0-9_-]{1,100}", fullmatch=True),
    dataset=some_of(
        name=one_of("dataset", "name"),
        path=st.none() | st.text(min_size=1),
        train_size=COUNT,
        label_noise=spelt(st.floats(0, 1, exclude_max=True)),
    ),
    validation=some_of(split=one_of("validation", "split"), fraction=spelt(SHARE)),
    model=some_of(
        hidden_units=st.lists(COUNT, min_size=1),
        activation=one_of("model", "activation"),
        regularize_output=st.booleans(),
        regularizer=one_of("model", "regularizer"),
    ),
    training=some_of(
        optimizer=one_of("training", "optimizer"),
        learning_rate=spelt(st.floats(1e-9, 1e9)),
        batch_size=COUNT,
        epochs=COUNT,
        evaluate_at=st.just("all") | st.fixed_dictionaries({"points": st.integers(2)}),
    ),
    lambdas=st.lists(spelt(COEFFICIENT), min_size=1, unique_by=float),
    seeds=st.integers(2, 10000)
    | st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=50, unique=True),
    reference_lambda=spelt(COEFFICIENT),
    confidence=spelt(SHARE),
).filter(
    lambda config: (
        config.get("training", {}).get("optimizer") != "adamw"
        or config.get("model", {}).get("regularizer") != "decoupled"
    )
)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()
KEYS = st.text() | st.sampled_from(["name", "split", "epochs", "lambdas", "training"])
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20
)


@given(VALID)
@settings(deadline=None)
def test_any_valid_configuration_is_accepted_and_its_canonical_form_is_final(config):
    canonical = check(config)
    assert check(canonical) == canonical
    assert check(canonical, defaults=False) == canonical
    assert read_config(json.dumps(canonical)) == canonical
    assert [float(label) for label in canonical["lambdas"]] == sorted(
        float(number) for number in config.get("lambdas", DEFAULT["lambdas"])
    )


@given(VALID, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_and_spelling_make_no_other_study(config, random):
    if "lambdas" in config:
        random.shuffle(config["lambdas"])
        other = config | {"lambdas": [f"{float(x):.17e}" for x in config["lambdas"]]}
        assert check(other) == check(config)
    shuffled = list(config.items())
    random.shuffle(shuffled)
    assert json.dumps(check(dict(shuffled))) == json.dumps(check(config))


@given(VALID, st.sampled_from([*leaves(DEFAULT), ("training", "evaluate_at")]), JUNK)
@settings(max_examples=150, deadline=None)
def test_junk_is_refused_in_one_line_or_is_valid(config, path, junk):
    config = copy.deepcopy(config)
    parent = config
    for step in path[:-1]:
        if not isinstance(parent.get(step), dict):
            parent[step] = {}
        parent = parent[step]
    parent[path[-1]] = junk
    for candidate in (config, junk):
        try:
            canonical = check(candidate)
        except ConfigError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert check(canonical) == canonical


@given(st.text() | JUNK.map(yaml.safe_dump) | st.binary())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_file_is_valid_or_refused_in_one_line(tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    try:
        read_config(path)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1


# ---- the schema and what is said about it


def keys_of(schema, path=()):
    for name, key in schema["properties"].items():
        yield (*path, name), key
        if "properties" in key and key["type"] == "object":
            yield from keys_of(key, (*path, name))


def test_the_schema_describes_every_key_and_refuses_others():
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    optional = {"dataset.path", "dataset.train_size", "dataset.label_noise"}
    optional |= {"model.regularizer", "training.momentum"}
    optional |= {"training.evaluate_at.points", "claims", "allow_missing", "tensorboard"}
    optional |= {"factors", "design", "allow_large", "variation"}
    for path, key in keys_of(schema):
        name = ".".join(path)
        assert key["type"] and len(key["description"]) > 10, name
        assert ("default" in key) != (name in optional), name
        assert key["type"] != "object" or key["additionalProperties"] is False or name == "factors"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "exercise"),
        ({"training": {"epochs": 3}, "dataset": {"train_size": 100}}, "exercise"),
        ({"dataset": {"path": "mine.npz"}}, "general"),
        ({"dataset": {"name": "fashion_mnist"}}, "general"),
        ({"model": {"hidden_units": [64]}}, "general"),
        ({"model": {"regularize_output": True}}, "general"),
        ({"model": {"regularizer": "l2"}, "dataset": {"label_noise": 0}}, "exercise"),
        ({"model": {"regularizer": "decoupled"}}, "general"),
        ({"dataset": {"label_noise": 0.2}}, "general"),
        ({"claims": "general"}, "general"),
        ({"claims": "mine.yaml"}, "mine.yaml"),
    ],
    ids=str,
)
def test_the_exercise_s_claims_are_for_its_own_data_and_network(changes, name):
    assert ledger(check(merged(DEFAULT, changes))) == name


def test_a_ledger_that_is_not_there_is_refused(tmp_path):
    check_ledger(DEFAULT)
    (tmp_path / "mine.yaml").touch()
    check_ledger(DEFAULT | {"claims": str(tmp_path / "mine.yaml")})
    with pytest.raises(ConfigError) as refused:
        check_ledger(DEFAULT | {"claims": "generall"})
    assert str(refused.value) == (
        'claims: "generall" is not allowed; did you mean general? allowed: exercise, general, or'
        " the path of a file"
    )


def test_config_yaml_says_of_every_key_what_is_allowed():
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    comments = " ".join(re.findall(r"^ *# ?(.*)$", text, re.MULTILINE))
    lines = text.splitlines()
    for path, key in keys_of(yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))):
        place = next(i for i, line in enumerate(lines) if re.match(rf" *(# )?{path[-1]}:", line))
        if key["type"] != "object":
            assert lines[place - 1].lstrip().startswith("# "), path
        if path != ("validation", "split"):
            assert ", ".join(key.get("enum", [])) in comments, path


def test_reading_a_configuration_loads_nothing_heavy():
    code = (
        "import sys; from l2study.core.config import read_config; read_config('{}');"
        "print([m for m in ('numpy', 'pandas', 'scipy', 'keras') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "scripts", capture_output=True, text=True
    )
    assert result.stdout == "[]\n", result.stderr


@pytest.mark.slow  # starts programs
@pytest.mark.parametrize("program", ["check_config.py", "plan.py --configfile"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "mine.yaml: cannot be read: No such file or directory"),
        (b"study: caf\xe9", "mine.yaml: cannot be read: it is not UTF-8 text"),
        (b"study: a\nlambdas: [0, 1\nseeds: 3", "mine.yaml: not valid YAML in line 3"),
        (b"seeds: 2\nseeds: 3", 'mine.yaml: "seeds" is given twice'),
    ],
)
def test_a_file_of_no_use_is_named_before_snakemake_reads_it(tmp_path, program, content, words):
    if content is not None:
        (tmp_path / "mine.yaml").write_bytes(content)
    name, *options = program.split()
    done = subprocess.run(
        [sys.executable, str(SCHEMA.parents[1] / "scripts" / name), *options, "mine.yaml"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"config: {words}")

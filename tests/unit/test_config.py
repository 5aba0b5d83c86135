"""A configuration: what is accepted, its canonical form, and what is said of a fault."""

import copy
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import configuration
from l2study.core.config import (
    ConfigError,
    check,
    checked_before,
    read_config,
    read_schema,
)
from l2study.core.config_faults import RENAMED, inside
from l2study.core.measures import GAPS, names

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
        "predict_at": [4, 8, 12, 20],
    },
    "lambdas": ["0", "1e-5", "0.0001", "0.001", "0.01"],
    "seeds": [0, 1, 2, 3, 4, 5, 6],
    "reference_lambda": "0",
    "confidence": 0.95,
}
STRATIFIED = {"validation": {"split": "stratified"}}
RANGE = {"from": 0.001, "to": 0.01, "per_decade": 2}
IN_RANGE = ["0.001", "0.003", "0.01"]
UNTIL = {"measure": "gap_generalisation", "half_width": 0.001, "max_seeds": 60}


def merged(base, changes):
    """Merge as Snakemake merges config files: mappings key by key, everything else replaced."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def file_of(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def refusal(config):
    """Return the message with which a configuration is refused, which is one line."""
    with pytest.raises(ConfigError) as caught:
        check(config)
    message = str(caught.value)
    assert message == message.strip() and len(message.splitlines()) == 1
    return message


# ---- what is accepted


def test_the_defaults_are_the_default_study():
    assert check({}) == read_config(ROOT / "config.yaml") == DEFAULT
    assert list(check(dict(reversed(DEFAULT.items())))) == list(DEFAULT)


@pytest.mark.parametrize(
    ("change", "canonical"),
    [
        ({"lambdas": [0.01, "1e-4", 0]}, {"lambdas": ["0", "0.0001", "0.01"]}),
        (
            {"lambdas": {"from": "1e-6", "to": 1e-4, "per_decade": 2, "zero": "true"}},
            {"lambdas": ["0", "1e-6", "3e-6", "1e-5", "3e-5", "0.0001"]},
        ),
        (
            {"lambdas": RANGE | {"zero": False, "extend": True}},
            {"lambdas": RANGE | {"from": "0.001", "to": "0.01", "extend": True, "now": IN_RANGE}},
        ),
        ({"lambdas": RANGE | {"extend": False}}, {"lambdas": IN_RANGE}),
        ({"seeds": 2}, {"seeds": [0, 1]}),
        ({"seeds": [7, 0, 4294967295]}, {"seeds": [0, 7, 4294967295]}),
        (
            STRATIFIED | {"seeds": {"split": [7, 3], "order": 1, "weights": [99]}},
            STRATIFIED | {"seeds": {"weights": [99], "order": [0], "split": [3, 7]}},
        ),
        (
            {"seeds": {"until": UNTIL | {"max_seeds": 4, "half_width": "1e-3"}}},
            {"seeds": {"until": UNTIL | {"max_seeds": 4, "now": 4}}},
        ),
        (
            merged(STRATIFIED, {"variation": ["split", "order"]}),
            merged(STRATIFIED, {"variation": ["order", "split"]}),
        ),
        ({"training": {"learning_rate": 1}}, {"training": {"learning_rate": 1.0}}),
        ({"dataset": {"train_size": None, "path": None, "label_noise": 0}}, {}),
        ({"model": {"regularizer": "l2"}}, {}),
        (
            {"training": {"optimizer": "sgd", "momentum": 0}},
            {"training": {"optimizer": "sgd", "momentum": 0.0}},
        ),
        ({"training": {"evaluate_at": [20, 3, 1]}}, {"training": {"evaluate_at": [1, 3, 20]}}),
        ({"training": {"predict_at": [8, 4]}}, {"training": {"predict_at": [4, 8]}}),
        ({"factors": {}}, {}),
        ({"model": {"regularize_output": "false"}}, {}),
        ({"factors": {1: [2]}}, {"factors": {"1": [2]}}),
    ],
    ids=str,
)
def test_what_is_allowed_gets_its_canonical_form(change, canonical):
    for config in (change, merged(file_of("config.yaml"), change)):
        before = copy.deepcopy(config)
        found = check(config)
        assert config == before
        expected = merged(DEFAULT, canonical)
        # An int is equal to a float, and a record of a run is not.
        assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)
        assert found == check(found) == checked_before(config)


@pytest.mark.parametrize(
    "own", [{"path": "mine.npz", "train_size": 9}, {"load": "a.py:f"}], ids=str
)
def test_a_path_or_a_function_takes_the_place_of_a_name(own):
    assert check(DEFAULT | {"dataset": {"name": "cifar10"} | own})["dataset"] == own


# ---- what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trainings": {}}, "trainings: unknown key (value {}); did you mean training? allowed"),
        ({"seeds": {"wieghts": 2}}, "seeds.wieghts: unknown key (value 2); did you mean weights?"),
        (
            {"seeds": {"until": {**UNTIL, "at_most": 9}}},
            "seeds.until.at_most: was renamed in version 2.0; write seeds.until.max_seeds",
        ),
        ({"study": "a\n"}, r'study: "a\n" is not allowed; allowed: '),
        ({"dataset": {"name": "mnits"}}, 'dataset.name: "mnits" is not allowed; did you mean mn'),
        ({"dataset": {"name": "imdb"}}, 'dataset.name: "imdb" is word sequences of unequal leng'),
        (
            {"dataset": {"load": "a.py:f", "path": "a.npz"}},
            "dataset.load: given together with dataset.path; allowed: only one",
        ),
        ({"dataset": {"files": ["key.csv"]}}, "dataset.files: needs dataset.load"),
        ({"validation": {"fraction": math.nan}}, "validation.fraction: NaN is not allowed; allo"),
        ({"model": {"hidden_units": [8, True]}}, "model.hidden_units[1]: true is not allowed; al"),
        ({"model": {"hidden_units": []}}, "model.hidden_units: [] leaves no kernel to regularise"),
        (
            {"model": {"regularizer": "decoupled"}, "training": {"optimizer": "ftrl"}},
            'model.regularizer: "decoupled" has no effect with ftrl',
        ),
        ({"training": {"momentum": "9e-1"}}, "training.momentum: 0.9 is given, but the optimizer "),
        ({"training": {"evaluate_at": [51, 3]}}, "training.evaluate_at: epoch 51 is after the la"),
        ({"lambdas": [0, "1e-4", 0.0001]}, "lambdas: 0.0001 is given more than once; allowed: ea"),
        (
            {"lambdas": {"from": 0.1, "to": 1e-6, "per_decade": 2}},
            "lambdas.to: 1e-6 is not above lambdas.from, 0.1; allowed: a larger number",
        ),
        (
            {"lambdas": {"from": 1e-6, "to": 0.5, "per_decade": 2}},
            "lambdas.to: 0.5 is not among 2 per decade; allowed: 1 or 3 times a power of ten",
        ),
        (
            {"lambdas": {"from": 2e-6, "to": 0.1, "per_decade": 1}},
            "lambdas.from: 2e-6 is not among 1 per decade; allowed: a power of ten",
        ),
        ({"lambdas": {"from": 0, "to": 1, "per_decade": 1}}, "lambdas.from: 0 is not allowed; al"),
        ({"lambdas": {"from": 0.1, "to": 1, "per_decade": 0}}, "lambdas.per_decade: 0 is not all"),
        ({"lambdas": {"from": 0.1, "to": 1}}, "lambdas.per_decade: missing; allowed: a whole num"),
        (
            {"lambdas": RANGE | {"extend": True}, "seeds": {"until": UNTIL}},
            "lambdas.extend: given together with seeds.until; allowed: only one of them",
        ),
        ({"lambdas": RANGE | {"extend": 2}}, "lambdas.extend: 2 is not allowed; allowed: true or"),
        ({"lambdas": 0.1}, "lambdas: 0.1 is not allowed; allowed: a list"),
        ({"seeds": 1}, "seeds: 1 is not allowed; allowed: a count"),
        ({"seeds": [0, 2**32]}, "seeds[1]: 4294967296 is not allowed; allowed: "),
        ({"seeds": {"order": 1, "weights": [4]}}, "seeds: weights, order with one level each "),
        (
            {"seeds": {"weights": 2}, "variation": ["order"]},
            "variation: order is given, but a crossed",
        ),
        ({"seeds": {"until": UNTIL, "order": 2}}, "seeds: until is given with order; allowed: un"),
        ({"seeds": {"until": {"measure": "val_ce"}}}, "seeds.until.half_width: missing; allowed:"),
        ({"variation": ["split"]}, "validation.split: tail keeps the same images for every seed,"),
        ({"variation": ["sample"]}, "dataset.train_size: missing, but variation has sample;"),
    ],
    ids=str,
)
def test_one_line_names_key_value_and_what_is_allowed(change, message):
    assert refusal(change).startswith(message)
    assert refusal(merged(DEFAULT, change)).startswith(message)


def leaves(config, path=()):
    for key, value in config.items():
        yield (*path, key)
        if isinstance(value, dict) and key != "evaluate_at":
            yield from leaves(value, (*path, key))


@pytest.mark.parametrize("path", [*leaves(DEFAULT)], ids=".".join)
def test_a_missing_key_has_its_default_and_a_misspelt_one_is_refused(path):
    config = copy.deepcopy(DEFAULT)
    parent = config
    for step in path[:-1]:
        parent = parent[step]
    value = parent.pop(path[-1])
    assert check(config) == DEFAULT
    parent[f"{path[-1]}x"] = value
    assert f"{path[-1]}x: unknown key" in refusal(config)


@pytest.mark.parametrize("config", [None, "text"])
def test_only_a_mapping_is_a_configuration(config):
    assert "a mapping with the keys study" in refusal(config)


def test_a_value_that_cannot_be_shown_is_refused_all_the_same():
    endless = []
    endless.append(endless)
    assert refusal({"seeds": endless}).startswith("the configuration is nested too deeply")
    assert refusal({"seeds": [10**5000, 1]}).startswith("seeds[0]: a value of type int is not")
    assert refusal({"study": "\ud800\u2028"}).startswith(r'study: "\ud800\u2028" is not')
    assert len(refusal({"study": "a b" * 1000})) < 200


# ---- files and texts


def test_the_canonical_form_can_be_passed_as_json_text():
    config = merged(DEFAULT, {"dataset": {"path": "Ü 😀/a.npz"}, "validation": {"fraction": 1e-5}})
    del config["dataset"]["name"]
    assert read_config(json.dumps(config)) == config
    assert read_config(json.dumps({"training": config["training"]})) == DEFAULT
    with pytest.raises(ConfigError, match=r"^training\.epoch: unknown key"):
        read_config('{"training": {"epoch": 3}}')


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("seeds: [1, 2", "not valid YAML in line 1"),
        ("seeds: 2\nlambdas: [1]\nseeds: 3", '"seeds" is given twice'),
        ('{"training": {"epochs": 2, "epochs": 3}}', '"epochs" is given twice'),
        ("seeds: 010", "010 would be read as 8; allowed: plain decimal numbers"),
        ("training: {batch_size: 1_000}", "1_000 would be read as 1000"),
        ("lambdas: [0, 1:30.5]", "1:30.5 would be read as 90.5"),
        ("seeds: !!int x", "not valid YAML"),
        pytest.param("a: " + "[" * 2000, "not valid YAML", id="nested too deeply"),
        ("", "the configuration is null"),
        (b"study: \xff", "not UTF-8"),
    ],
)
def test_a_file_that_is_not_a_configuration_is_refused_in_one_line(tmp_path, content, part):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert part in str(caught.value) and len(str(caught.value).splitlines()) == 1


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()
KEYS = st.text() | st.sampled_from(["name", "split", "epochs", "lambdas", "training"])
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20
)
SPELT = st.sampled_from([float, repr, "{:.17e}".format])
COEFFICIENTS = st.lists(st.floats(0, 1e9), min_size=1, unique=True)


@pytest.mark.slow
@given(COEFFICIENTS, SPELT, st.sampled_from([*leaves(DEFAULT)]), JUNK)
@settings(max_examples=150, deadline=None)
def test_junk_is_refused_in_one_line_or_has_a_final_canonical_form(lambdas, spell, path, junk):
    config = copy.deepcopy(DEFAULT) | {"lambdas": [spell(number) for number in lambdas]}
    assert list(map(float, check(config)["lambdas"])) == sorted(lambdas)
    parent = config
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = junk
    for candidate in (config, junk):
        try:
            canonical = check(candidate)
        except ConfigError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert check(canonical) == canonical
            assert read_config(json.dumps(canonical)) == canonical


# ---- what is made from the keys


def test_the_files_that_are_made_from_the_keys_are_current():
    for path, content in configuration.files().items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name}: run make config"


def keys_of(schema, path=()):
    for mapping in (schema, *schema.get("anyOf", [])):
        for name, key in mapping.get("properties", {}).items():
            yield (*path, name), key
            yield from keys_of(key, (*path, name))


def test_the_schema_describes_every_key_and_takes_what_is_written():
    schema = read_schema()
    Draft202012Validator.check_schema(schema)
    for path, key in keys_of(schema):
        assert len(key.get("description", "")) > 10 or key.get("readOnly"), path
    for file in [ROOT / "config.yaml", *(ROOT / "studies").glob("*.yaml")]:
        Draft202012Validator(schema).validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    assert not Draft202012Validator(schema).is_valid({"seed": 3})
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert all(
        f"# {'.'.join(path)}\n" in page for path, key in keys_of(schema) if not key.get("readOnly")
    )


def test_a_former_name_leads_to_a_key():
    for new in RENAMED.values():
        here = read_schema()
        for step in new.split("."):
            here = inside(here, step)
        assert here["description"]


def test_the_measures_of_rounds_are_measures_of_the_last_epoch():
    allowed = dict(keys_of(read_schema()))["seeds", "until", "measure"]["enum"]
    assert set(allowed) <= set(names("history", "gap"))
    assert {f"gap_{kind}" for kind in GAPS} - set(allowed) == {
        "gap_exchangeable",
        "gap_lag_averaging",
        "gap_lag_mode",
    }


@pytest.mark.slow  # starts programs
@pytest.mark.parametrize("program", ["check_config.py", "plan.py --configfile"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "mine.yaml: cannot be read: No such file or directory"),
        (b"seeds: 2\nseeds: 3", 'mine.yaml: "seeds" is given twice'),
    ],
)
def test_a_file_of_no_use_is_named_before_snakemake_reads_it(tmp_path, program, content, words):
    if content is not None:
        (tmp_path / "mine.yaml").write_bytes(content)
    name, *options = program.split()
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *options, "mine.yaml"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"config: {words}")

"""Configurations drawn from the schema, a third of them broken: each is planned, or has one line.

The suite draws some. For more, and others: CONFIGS=200 CONFIGS_SEED=1 python -m pytest <this file>
"""

import json
import os
import random

import jsonschema
import pytest
import yaml

from l2study.core.config import ConfigError, check, read_keys, read_schema
from l2study.core.design import Design
from l2study.data.preparation import check_setups
from l2study.data.prepared import DataError
from l2study.workflow.study import Study

NUMBER = int(os.environ.get("CONFIGS", "60"))
SEED = int(os.environ.get("CONFIGS_SEED", "0"))

WRONG = [
    None, True, False, -1, 0, 1.5, -0.0, 1e-320, 1e400, -1e400, float("nan"), 10**30, "", " ", "x",
    "x" * 5000, "\n", "../..", "$(touch pwned)", "{seed}", "\u0130", "\x00", [], [[]], [None], {},
    {"x": 1}, [1, 1], {"name": []}, [{}], {"from": 1}, {"until": 3}, "models.py:net",
]  # fmt: skip
"""Values that are wrong somewhere, and right elsewhere."""


def drawn(schema, choose):
    """Return a value that a part of the schema allows, as far as one key says."""
    if "anyOf" in schema:
        return drawn(choose.choice(schema["anyOf"]), choose)
    if "enum" in schema:
        return choose.choice(schema["enum"])
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "boolean":
            return choose.random() < 0.5
        case "integer" | "number" as kind:
            low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
            high = schema.get("maximum", schema.get("exclusiveMaximum", 40))
            if kind == "integer":
                return choose.randint(low + ("exclusiveMinimum" in schema), min(high, 40))
            return choose.choice([low + 1e-9, high - 1e-9, choose.uniform(low, high)])
        case "array":
            number = max(schema.get("minItems", 0), choose.randrange(4))
            items = schema.get("items") or {"enum": [1, "x", 0.1]}
            found = [drawn(items, choose) for _ in range(number)]
            return [value for at, value in enumerate(found) if value not in found[:at]]
        case "object":
            return drawn_object(schema, choose)
    return "general"


def drawn_object(schema, choose):
    """Return a mapping with some of the keys."""
    required = schema.get("required", [])
    found = {
        key: drawn(part, choose)
        for key, part in schema.get("properties", {}).items()
        if not part.get("readOnly") and (key in required or choose.random() < 0.25)
    }
    if not schema.get("properties"):
        found = {choose.choice(["seed", "a", "units"]): choose.choice([1, "x", [1]])}
    return found


def factors(choose):
    """Return factors, most of them of keys that there are."""
    keys = ["training.epochs", "training.batch_size", "dataset.train_size", "model.hidden_units"]
    keys += ["validation.fraction", "dataset.name", "lambdas", "seeds", "nothing.here"]
    levels = [[1, 2], [0.1], ["iris"], [[8], [4, 4]], [3, 3], {"a": {"seeds": 3}, "b": {}}, WRONG]
    return {choose.choice(keys): choose.choice(levels) for _ in range(choose.randrange(1, 3))}


def broken(config, choose):
    """Put a wrong value in the place of some value, or give a key that there is not."""
    config = json.loads(json.dumps(config))
    place = config
    while inner := [value for value in place.values() if isinstance(value, dict) and value]:
        if choose.random() < 0.5:
            break
        place = choose.choice(inner)
    key = choose.choice([*place, "unknown"])
    place[key] = choose.choice(WRONG)
    return config


def configurations():
    """Yield `NUMBER` configurations."""
    choose, schema = random.Random(SEED), read_schema()
    for number in range(NUMBER):
        config = drawn_object(schema, choose)
        # of the data, what needs no file or network; a model of one's own has to be there as well
        few = {"name": "digits", "test_fraction": 0.2}
        config["dataset"] = choose.choice([few, {"name": "mnist"}, few | {"train_size": 90}])
        config["model"] = (
            {"hidden_units": [4]} if choose.random() < 0.8 else config.get("model", {})
        )
        if choose.random() < 0.8:
            config["validation"] = {"split": "stratified"}
        config.pop("factors", None)
        if choose.random() < 0.3:
            config["factors"] = factors(choose)
        yield broken(config, choose) if number % 3 == 0 else config


@pytest.mark.parametrize("config", list(configurations()), ids=map(str, range(NUMBER)))
def test_a_configuration_is_planned_or_refused_in_one_line(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    config = config if config.get("factors", {}) is not None else config | {"factors": {}}
    follows = jsonschema.Draft202012Validator(read_schema()).is_valid(config)
    try:
        canonical = check(read_keys("mine.yaml"))
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 1000
        return
    assert follows, "what the schema forbids was taken"
    text = json.dumps(canonical)  # in which NaN equals NaN, as among the levels of a factor
    assert json.dumps(check(json.loads(text))) == text
    try:
        design = Design.of(canonical)
        check_setups(design.setups)
    except (ConfigError, DataError) as error:
        assert len(str(error).splitlines()) == 1
        return
    study = Study(design)
    runs = [folder for folders in study.runs.values() for folder in folders]
    none = canonical.get("allow_missing")
    assert len(runs) == len(set(runs)) == (0 if none else design.runs)
    assert study.reports and study.tables

"""Reading and checking a study's configuration. Its keys are in `config_model`."""

import json
import math
import os
import re
from functools import cache
from pathlib import Path

import yaml

from l2study.core import user_code
from l2study.core.choose_by import CHOOSE_BY
from l2study.core.config_faults import fault, list_in, mapping_in, one_line, shown, value_in
from l2study.core.labels import as_number, l2_label
from l2study.core.lambda_grid import even_grid
from l2study.core.seeds import FIRST_ROUND, SOURCES, USUAL

SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "config.schema.json"
"""Made from `config_model`, which is slow to load."""


OF_BUILT_IN = ("hidden_units", "activation", "regularize_output")
"""The keys of the built-in network, which are of no use beside a function of one's own."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?e[+-]?\d+", re.IGNORECASE)


class ConfigError(ValueError):
    """The configuration is not valid. The message is one line: key, value and what is allowed."""


@cache
def read_schema() -> dict:
    """Return the schema of a configuration."""
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


def read_config(source: str | os.PathLike) -> dict:
    """Return the canonical configuration in a YAML file, or in JSON text, which begins with `{`;
    ConfigError as of `read_keys` and `check`."""
    text = str(source)
    if not text.lstrip().startswith("{"):
        return check(read_keys(source))
    try:
        return check(json.loads(text))
    except json.JSONDecodeError as error:
        raise ConfigError(f"the configuration: not valid JSON: {error}") from None


def read_keys(path: str | os.PathLike) -> object:
    """Return a configuration file as it is written; ConfigError where it is not YAML, or repeats a
    key."""
    where = one_line(path)
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: cannot be read: it is not UTF-8 text") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{where}: not valid YAML{line}: {one_line(error.problem)}") from None
    except Exception as error:  # PyYAML lets through what int() raises for `!!int x`, and others
        raise ConfigError(f"{where}: not valid YAML: {one_line(error)}") from None


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice is an error instead of the last one winning, and so is a
    number that is read as another one than a reader sees: 010 as 8, 1_000 as 1000, 1:30 as 90.
    """


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict:
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"{shown(key)} is given twice")
    return loader.construct_mapping(node, deep=True)


def _plain_number(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    of_kind = loader.construct_yaml_int if node.tag.endswith("int") else loader.construct_yaml_float
    value = of_kind(node)
    if re.search(r"[_:]|^[-+]?0[0-9bxo]", node.value):
        raise ConfigError(
            f"{node.value} would be read as {value:g}; allowed: plain decimal numbers"
        )
    return value


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _plain_number)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def check(config: dict) -> dict:
    """Return the canonical form of a configuration; `config` itself is left as it is.

    Canonical: keys in the order of the models, defaults for missing ones; `lambdas` and
    `reference_lambda` labels of `l2_label`, other numbers of type float; lists in ascending order,
    those of sources in the order of `SOURCES`; `seeds` never a count, `lambdas` a range only if
    that is extended in rounds; optional keys absent where they say no more than that. `factors` are
    as given: `Design.of` checks them. The canonical form of a canonical form is itself. The first
    fault found is a ConfigError.
    """
    # Imported late: the Snakemake within a job of a cluster checks nothing.
    from pydantic import ValidationError

    from l2study.core.config_model import Config

    try:
        normal = _normal(config, read_schema())
        Config.model_validate(normal)
    except ValidationError as error:
        # An unknown key first: a misspelt key is also a missing one.
        unknown = ("extra_forbidden", "invalid_key")
        first = min(error.errors(), key=lambda one: one["type"] not in unknown)
        raise ConfigError(fault(first, config, read_schema())) from None
    except (RecursionError, ValueError):
        message = "the configuration is nested too deeply or has a number of too many digits"
        raise ConfigError(message) from None
    return _canonical(normal)


def checked_before(config: dict) -> dict:
    """Return what `check` returns for a configuration that it has accepted in another process."""
    return _canonical(_normal(config, read_schema()))


def _canonical(normal: dict) -> dict:
    if {"path", "load"} & normal["dataset"].keys():
        normal["dataset"].pop("name", None)
    model = normal["model"]
    if "build" in model:
        for key in OF_BUILT_IN:
            model.pop(key, None)
        if "code" not in model:
            try:
                model["code"] = user_code.fingerprint(model["build"])
            except user_code.UserCodeError as error:
                raise ConfigError(f"model.build: {error}") from None
    else:
        model.pop("code", None)
    # Records of runs from before these keys were there have none of them.
    plain_values = {
        ("dataset", "label_noise"): 0,
        ("model", "regularizer"): "l2",
        ("model", "l1"): 0,
    }
    for (part, key), plain in plain_values.items():
        if normal[part].get(key) == plain:
            del normal[part][key]
    if normal.get("choose_by") == CHOOSE_BY[0]:
        del normal["choose_by"]
    normal["seeds"] = _seeds(normal["seeds"])
    normal["variation"] = sorted(normal.get("variation", USUAL), key=SOURCES.index)
    if normal["variation"] == list(USUAL):
        del normal["variation"]
    normal["lambdas"] = _lambdas(normal["lambdas"])
    normal["reference_lambda"] = l2_label(normal["reference_lambda"])
    training = normal["training"]
    if isinstance(training["evaluate_at"], list):
        training["evaluate_at"].sort()
    training.get("predict_at", []).sort()
    if not normal.get("factors", True):
        del normal["factors"]
    elif "factors" in normal:
        normal["factors"] = {str(key): levels for key, levels in normal["factors"].items()}
    return normal


def _seeds(seeds: int | list | dict) -> list | dict:
    if isinstance(seeds, dict) and "until" in seeds:
        until = seeds["until"]
        return {"until": until | {"now": until.get("now", min(FIRST_ROUND, until["max_seeds"]))}}
    if isinstance(seeds, dict):
        return {source: _seeds(seeds[source]) for source in SOURCES if source in seeds}
    return list(range(seeds)) if isinstance(seeds, int) else sorted(seeds)


def _lambdas(lambdas: list | dict) -> list | dict:
    if not isinstance(lambdas, dict):
        return [l2_label(number) for number in sorted(lambdas)]
    zero = [0.0] if lambdas.get("zero") else []
    first = zero + even_grid(lambdas["from"], lambdas["to"], lambdas["per_decade"])
    if not lambdas.get("extend"):
        return _lambdas(first)
    if not zero:
        lambdas.pop("zero", None)
    ends = {end: l2_label(lambdas[end]) for end in ("from", "to")}
    return lambdas | ends | {"now": _lambdas(lambdas.get("now", first))}


def _normal(value: object, schema: dict) -> object:
    """Return `value` with numbers as floats, defaults for missing keys, and no optional nulls."""
    kind = schema.get("type") or value_in(schema).get("type")
    if schema == {} and isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)  # YAML takes 1e-3 for text
    if isinstance(value, dict):
        return _normal_mapping(value, mapping_in(schema))
    if isinstance(value, list):
        return [_normal(item, list_in(schema)) for item in value]
    if kind == "number":
        try:
            return as_number(value)
        except ValueError:
            too_large = isinstance(value, int) and not isinstance(value, bool)
            return math.inf if too_large else value
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"  # Snakemake's --config gives text
    return value


def _normal_mapping(value: dict, schema: dict) -> dict:
    known = schema.get("properties", {})
    given = {key: own["default"] for key, own in known.items() if "default" in own}
    for key, item in value.items():
        if item is not None or not known.get(key, {}).get("optional"):
            given[key] = item
    order = [key for key in known if key in given] + [key for key in given if key not in known]
    return {key: _normal(given[key], known.get(key, {})) for key in order}

"""Reading and checking a study's configuration. The schema is `schemas/config.schema.yaml`."""

import difflib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from l2study.core.config_faults import allowed, at, fault, one_line, read_schema, shown
from l2study.core.labels import as_number, l2_label
from l2study.core.paths import LEDGERS, ledger
from l2study.core.variation import FIRST_ROUND, SOURCES, USUAL, faults, is_crossed

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

TAKES_MOMENTUM = ("sgd", "rmsprop")
"""The optimisers that have a momentum."""


class ConfigError(ValueError):
    """The configuration is not valid. The message is one line: key, value and what is allowed."""


def read_config(source: str | os.PathLike) -> dict:
    """Return the canonical configuration (see `check`) in a file or a text.

    Args:
        source: path of a YAML or JSON file, or the JSON text itself, which begins with `{`.

    Raises:
        ConfigError: the file cannot be read, is not YAML, repeats a key, or is not valid.
    """
    text = str(source)
    if text.lstrip().startswith("{"):
        return check(_parsed(text, "the configuration"))
    return check(read_keys(source))


def read_keys(path: str | os.PathLike) -> object:
    """Return the content of a configuration file as it is written.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or repeats a key.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{one_line(path)}: cannot be read: {reason}") from None
    return _parsed(text, one_line(path))


def check(config: dict, *, defaults: bool = True) -> dict:
    """Return the canonical form of a configuration; `config` itself is left as it is.

    Canonical: every key in the schema's order; `lambdas` a list of labels (see `l2_label`) in
    ascending order, `reference_lambda` a label, `seeds` a sorted list, or for a crossed design
    such a list for every source in the order of `SOURCES`, other numbers of type float; optional
    keys without a value absent; no `dataset.name` where there is a `dataset.path`; no
    `model.regularizer` of `l2` and no `dataset.label_noise` of 0; `variation` in the order of
    `SOURCES`, absent where it is `USUAL`; a list of `training.evaluate_at` sorted. `factors` are as
    given: `setups` reads and checks them. The canonical form of a canonical form is itself.

    Args:
        config: as read from YAML or JSON, for instance Snakemake's merged `config`.
        defaults: whether a missing key gets the schema's default; otherwise it is an error.

    Raises:
        ConfigError: the first fault found, in one line.
    """
    try:
        normal = _normal(config, read_schema(), defaults)
        # an unknown key first: a misspelt key is also a missing one
        errors = sorted(
            _validator().iter_errors(normal), key=lambda e: e.validator != "additionalProperties"
        )
    except (RecursionError, ValueError):
        message = "the configuration is nested too deeply or has a number of too many digits"
        raise ConfigError(message) from None
    if errors:
        raise ConfigError(fault(errors[0], config))
    for message in _conflicts(normal):
        raise ConfigError(message)
    return _canonical(normal)


def check_ledger(config: dict) -> None:
    """Check that the ledger of claims that a canonical configuration names is there.

    Raises:
        ConfigError: it is neither a ledger of this project nor a file.
    """
    name = ledger(config)
    if name not in LEDGERS and not Path(name).is_file():
        near = difflib.get_close_matches(name, LEDGERS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"claims: {shown(name)} is not allowed; {hint}allowed: {', '.join(LEDGERS)}, or the"
            " path of a file"
        )


def checked_before(config: dict, *, defaults: bool = True) -> dict:
    """Return what `check` returns for a configuration that it has accepted in another process."""
    return _canonical(_normal(config, read_schema(), defaults))


def _canonical(normal: dict) -> dict:
    if "path" in normal["dataset"]:
        normal["dataset"].pop("name", None)
    # Records of runs from before these keys were there have none of them.
    for part, key, plain in (("dataset", "label_noise", 0), ("model", "regularizer", "l2")):
        if normal[part].get(key) == plain:
            del normal[part][key]
    normal["seeds"] = _seeds(normal["seeds"])
    normal["variation"] = sorted(normal.get("variation", USUAL), key=SOURCES.index)
    if normal["variation"] == list(USUAL):
        del normal["variation"]
    normal["lambdas"] = [l2_label(number) for number in sorted(normal["lambdas"])]
    normal["reference_lambda"] = l2_label(normal["reference_lambda"])
    training = normal["training"]
    if isinstance(training["evaluate_at"], list):
        training["evaluate_at"].sort()
    if "factors" in normal:
        normal["factors"] = {str(key): levels for key, levels in normal["factors"].items()}
    return normal


def _seeds(seeds: int | list | dict) -> list | dict:
    if isinstance(seeds, dict) and "until" in seeds:
        until = seeds["until"]
        return {"until": until | {"now": until.get("now", min(FIRST_ROUND, until["at_most"]))}}
    if isinstance(seeds, dict):
        return {source: _seeds(seeds[source]) for source in SOURCES if source in seeds}
    return list(range(seeds)) if isinstance(seeds, int) else sorted(seeds)


_NOT_YAML = (
    yaml.YAMLError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What PyYAML raises for text that it cannot turn into values, such as `!!bool x`."""


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice is an error instead of the last one winning."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict:
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"{shown(key)} is given twice")
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _parsed(text: str, where: str) -> object:
    """Return the content of JSON or YAML text; `where` names it in errors."""
    try:
        if text.lstrip().startswith("{"):
            try:
                return json.loads(text, object_pairs_hook=_object)
            except json.JSONDecodeError:
                pass
        return yaml.load(text, _Loader)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{where}: not valid YAML{line}: {one_line(error.problem)}") from None
    except _NOT_YAML as error:
        raise ConfigError(f"{where}: not valid YAML: {one_line(error)}") from None


def _object(pairs: list[tuple[str, object]]) -> dict:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"{shown(key)} is given twice")
    return dict(pairs)


@cache
def _validator() -> "Draft202012Validator":
    """Return the schema's validator; a number is finite, and 1.0 is not a whole number."""
    # Imported late: a job of a cluster reads the configuration and has no need to check it.
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    def is_integer(_, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    def is_number(_, value: object) -> bool:
        return is_integer(_, value) or (isinstance(value, float) and math.isfinite(value))

    checker = Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": is_integer, "number": is_number}
    )
    return extend(Draft202012Validator, type_checker=checker)(read_schema())


def _normal(value: object, schema: dict, defaults: bool) -> object:
    """Return `value` with numbers as floats, optional nulls left out and, if wanted, defaults."""
    kind = schema["type"]
    if kind == "object" and isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        given = {
            key: item
            for key, item in value.items()
            if item is not None or key not in known or key in schema["required"]
        }
        if defaults:
            given = {key: p["default"] for key, p in known.items() if "default" in p} | given
        order = [key for key in known if key in given] + [key for key in given if key not in known]
        return {
            key: _normal(given[key], known[key], defaults) if key in known else given[key]
            for key in order
        }
    if "array" in kind and isinstance(value, list):
        return [_normal(item, schema["items"], defaults) for item in value]
    if kind == "number":
        try:
            return as_number(value)
        except ValueError:
            too_large = isinstance(value, int) and not isinstance(value, bool)
            return math.inf if too_large else value
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"  # Snakemake's --config gives text
    return value


def _conflicts(config: dict) -> Iterator[str]:
    """Yield a message for each fault that lies between keys or between entries of a list."""
    if not {"name", "path"} & set(config["dataset"]):
        yield f"dataset.name: missing; allowed: {allowed(at(('dataset', 'name')))}"
    training = config["training"]
    if "momentum" in training and training["optimizer"] not in TAKES_MOMENTUM:
        yield (
            f"training.momentum: {training['momentum']!r} is given, but the optimizer"
            f" {training['optimizer']} takes none; allowed with: {', '.join(TAKES_MOMENTUM)}"
        )
    if config["model"].get("regularizer") == "decoupled" and training["optimizer"] == "adamw":
        yield (
            'model.regularizer: "decoupled" is given, but the optimizer adamw decays all weights'
            " already; allowed with: adam, sgd, rmsprop"
        )
    chosen = training.get("evaluate_at")
    chosen = chosen if isinstance(chosen, list) else []
    if chosen and max(chosen) > training["epochs"]:
        yield (
            f"training.evaluate_at: epoch {max(chosen)} is after the last;"
            f" allowed: at most {training['epochs']}, the number of epochs"
        )
    if not config["model"]["hidden_units"] and not config["model"]["regularize_output"]:
        yield (
            "model.hidden_units: [] leaves no kernel to regularise;"
            " allowed: at least one layer, or regularize_output: true"
        )
    labels = [l2_label(number) for number in config["lambdas"]]
    seeds, each_once = config["seeds"], {"training.evaluate_at": chosen, "lambdas": labels}
    each_once |= {"variation": config.get("variation")}
    each_once |= (
        {f"seeds.{source}": levels for source, levels in seeds.items()}
        if is_crossed(config)
        else {"seeds": seeds}
    )
    for key, entries in each_once.items():
        for entry, count in Counter(entries if isinstance(entries, list) else []).items():
            if count > 1:
                yield f"{key}: {entry} is given more than once; allowed: each once"
    yield from faults(config)

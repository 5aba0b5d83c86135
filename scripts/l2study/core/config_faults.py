"""What is said of a fault in a configuration: the key, its value as written, what is allowed.

What is allowed is in `schemas/config.schema.yaml`.
"""

import difflib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from l2study.core.files import read_yaml
from l2study.core.variation import SOURCES

if TYPE_CHECKING:
    from jsonschema import ValidationError

SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "config.schema.yaml"

_UNSUITABLE = {
    "imdb": "word sequences of unequal length, not images",
    "reuters": "word sequences of unequal length, not images",
    "boston_housing": "a regression, without classes",
    "california_housing": "a regression, without classes",
}


@cache
def read_schema() -> dict:
    """Return the schema of a configuration."""
    return read_yaml(SCHEMA)


def fault(error: "ValidationError", config: object) -> str:
    """Return one line for a schema error: the key, the value as it was written, what is allowed."""
    path = tuple(error.absolute_path)
    key = _dotted(path)
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        name = next(name for name in error.instance if name not in known)
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return (
            f"{_dotted((*path, name))}: unknown key (value {shown(error.instance[name])});"
            f" {hint}allowed here: {', '.join(known)}"
        )
    if error.validator == "required":
        name = next(name for name in error.validator_value if name not in error.instance)
        return f"{_dotted((*path, name))}: missing; allowed: {allowed(at((*path, name)))}"
    value = error.instance if error.instance is None else _written(config, path, error.instance)
    may_be = allowed(error.schema)
    if not path:
        return f"the configuration is {shown(value)}; allowed: {may_be}"
    if value is None:
        return f"{key}: no value is given; allowed: {may_be}"
    if isinstance(value, str) and key == "dataset.name" and value in _UNSUITABLE:
        return f"{key}: {shown(value)} is {_UNSUITABLE[value]}; allowed: {may_be}"
    choices = error.schema.get("enum", []) if isinstance(value, str) else []
    near = difflib.get_close_matches(str(value), choices, n=1) if choices else []
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{key}: {shown(value)} is not allowed; {hint}allowed: {may_be}"


def _written(config: object, path: Iterable, value: object) -> object:
    """Return the entry at `path` as the user wrote it, or `value` where it is a default."""
    for step in path:
        try:
            config = config[step]
        except (KeyError, IndexError, TypeError):
            return value
    return config


def at(path: Iterable[str]) -> dict:
    """Return the schema of the key at `path`."""
    schema = read_schema()
    for step in path:
        schema = schema["properties"][step]
    return schema


def allowed(schema: dict) -> str:
    """Return in words what a schema allows."""
    if "enum" in schema:
        return ", ".join(schema["enum"])
    match schema["type"]:
        case "object" if "properties" not in schema:
            return "a mapping of one factor or more, each with its levels"
        case "object":
            keys = [key for key in schema["properties"] if key != "now"]
            return f"a mapping with the keys {', '.join(keys)}"
        case "array":
            return _list(schema)
        case ["integer", "array"]:
            return f"{_bounded('a count', schema)}, or {_list(schema)}"
        case ["integer", "array", "object"]:
            sources = ", ".join(SOURCES)
            return (
                f"{_bounded('a count', schema)}, {_list(schema)}, a mapping of one or more of"
                f" {sources}, each with its levels, or of until alone"
            )
        case ["array", "object"]:
            return "a list of values, or a mapping of levels with the keys that each changes"
        case ["string", "array", "object"]:
            keys = ", ".join(schema["properties"])
            return f"all, {_list(schema)}, or a mapping with the key {keys}"
        case "boolean":
            return "true or false"
        case "integer":
            return _bounded("a whole number", schema)
        case "number":
            return _bounded("a number", schema)
        case "string" if "pattern" in schema:
            return (
                "text of 1 to 100 letters, digits, - and _ (in quotes where it looks like a number)"
            )
    return "text that is not empty"


def _bounded(noun: str, schema: dict) -> str:
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    bounds = [f"{word} {schema[name]}" for name, word in words.items() if name in schema]
    return " ".join([noun, " and ".join(bounds)]).strip()


def _list(schema: dict) -> str:
    nouns = {"integer": "whole numbers", "number": "numbers"}
    items = schema["items"]
    entries = f"of {allowed(items)}" if "enum" in items else _bounded(nouns[items["type"]], items)
    return f"a list of {schema.get('minItems', 0)} or more {entries}"


def _dotted(path: Iterable) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) and text else f".{one_line(step)}"
    return text.lstrip(".")


def one_line(value: object) -> str:
    """Return text in one line, whatever is in it."""
    return _printable(" ".join(str(value).split()))


def shown(value: object) -> str:
    """Return a value much as it would be written in YAML, in one line and shortened."""
    try:
        text = _printable(json.dumps(value, ensure_ascii=False, default=str))
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)

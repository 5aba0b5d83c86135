"""What is said of a fault in a configuration: the key, its value as written, what is allowed."""

import difflib
import json
from collections.abc import Iterable, Mapping

RENAMED = {"seeds.until.at_most": "seeds.until.max_seeds"}
"""Keys that had another name before: the former name, and the one of today."""

_UNSUITABLE = {
    **dict.fromkeys(["imdb", "reuters"], "word sequences of unequal length, not images"),
    **dict.fromkeys(["boston_housing", "california_housing"], "a regression, without classes"),
}


def fault(error: Mapping, config: object, schema: dict) -> str:
    """Return one line for an error of pydantic in a configuration, which is as it was written."""
    path, value, here = _followed(error, config, schema)
    key = _dotted(path)
    may_be = allowed(here)
    match error["type"]:
        case "value_error" if path:
            return f"{key}: {error['ctx']['error']}"
        case "value_error":
            return str(error["ctx"]["error"])
        case "extra_forbidden" | "invalid_key" if key in RENAMED:
            return f"{key}: was renamed in version 2.0; write {RENAMED[key]}"
        case "extra_forbidden" | "invalid_key":
            known = [name for name, own in here["properties"].items() if not own.get("readOnly")]
            hint = f"{near(path[-1], known)}allowed here: {', '.join(known)}"
            return f"{key}: unknown key (value {shown(value)}); {hint}"
        case "missing":
            return f"{key}: missing; allowed: {may_be}"
    if not path:
        return f"the configuration is {shown(value)}; allowed: {may_be}"
    if value is None:
        return f"{key}: no value is given; allowed: {may_be}"
    if key == "dataset.name" and isinstance(value, str) and value in _UNSUITABLE:
        return f"{key}: {shown(value)} is {_UNSUITABLE[value]}; allowed: {may_be}"
    known = (value_in(here) or here).get("enum", [])
    hint = near(value, known) if isinstance(value, str) else ""
    return f"{key}: {shown(value)} is not allowed; {hint}allowed: {may_be}"


def _followed(error: Mapping, config: object, schema: dict) -> tuple[list, object, dict]:
    """Return the path of a key without the kinds of values, its value, and its schema: of an
    unknown key that of the mapping that it is in."""
    path, value, here, in_kind = [], config, schema, False
    for step in error["loc"]:
        if "anyOf" in here and not in_kind and step in ("value", "list", "mapping"):
            in_kind = True
            continue
        path.append(step)
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            value = error.get("input")  # a default, or what is missing
        inner = inside(here, step)
        here, in_kind = inner or mapping_in(here), False
    return path, value, here


def mapping_in(schema: dict) -> dict:
    """Return what a schema says of a mapping, or of nothing: the schema itself."""
    return next((one for one in schema.get("anyOf", []) if "properties" in one), schema)


def list_in(schema: dict) -> dict:
    """Return what a schema says of the entries of a list; nothing where it has none."""
    return next((one["items"] for one in (schema, *schema.get("anyOf", [])) if "items" in one), {})


def value_in(schema: dict) -> dict:
    """Return what a schema says of text, a number or a truth value; nothing where it is one."""
    kinds = (one for one in schema.get("anyOf", []) if one.get("type") not in ("object", "array"))
    return next(kinds, {})


def inside(schema: dict, step: object) -> dict | None:
    """Return the schema of a key of a mapping, or of an entry of a list."""
    for one in (schema, *schema.get("anyOf", [])):
        inner = one.get("items") if isinstance(step, int) else one.get("properties", {}).get(step)
        inner = inner or one.get("additionalProperties")
        if inner:
            return inner
    return None


def allowed(schema: dict) -> str:
    """Return in words what a schema allows."""
    if "allowed" in schema:
        return schema["allowed"]
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if schema["type"] == "object":
        return f"a mapping with the keys {', '.join(schema['properties'])}"
    if schema["type"] == "boolean":
        return "true or false"
    noun = {"integer": "a whole number", "number": "a number", "string": "text"}[schema["type"]]
    if "minimum" in schema and "maximum" in schema:
        return f"{noun} from {schema['minimum']} to {schema['maximum']}"
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "exclusiveMaximum": "below",
    }
    bounds = [f"{word} {schema[name]}" for name, word in words.items() if name in schema]
    return f"{noun} {' and '.join(bounds)}".strip()


def near(name: object, known: Iterable[str]) -> str:
    """Return a question about the known name that another is close to; empty if there is none."""
    found = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {found[0]}? " if found else ""


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
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)

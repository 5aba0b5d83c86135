"""Write what is made from the keys in l2study/core/config_model.py: three files.

config.yaml has every key with its default, and says what it means. schemas/config.schema.json lets
an editor complete and check a configuration. docs/configuration.md is the reference of all keys.

Example:
    python scripts/configuration.py
"""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

import yaml

from l2study.core.config_faults import allowed
from l2study.core.config_model import Config
from l2study.core.program import parser

PROJECT = Path(__file__).resolve().parents[1]

BEGIN_YAML = """\
# yaml-language-server: $schema=schemas/config.schema.json
#
# The default study: what does L2 regularisation do to a small network on MNIST?
# Leave this file as it is. Write the keys that differ, and another `study` name, into your own:
#     snakemake --cores 4 --configfile mine.yaml

# 0.0001, 1.0e-4 and 1e-4 are the same. Unknown keys are refused. A relative path starts from the
# folder in which you start the study. Made by `make config`.
"""

BEGIN_PAGE = """\
# Every key of a configuration

A configuration is a YAML file with the keys that differ from [config.yaml](../config.yaml).
`0.0001`, `1.0e-4` and `1e-4` are the same. Unknown keys are refused. A relative path starts from
the folder in which you start the study. Settings of a machine, such as cores and memory, are in
`profiles/`.

Made by `make config` from `scripts/l2study/core/config_model.py`.
"""


def schema() -> dict:
    """Return the JSON schema of a configuration, simplified.

    Definitions are where they are used, and a key that may be null is `optional`. Beside the words
    of JSON schema there are `allowed` and `absent`, as `config_model.key` explains them.
    """
    full = Config.model_json_schema()
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Configuration"}
    return about | _simple(full, full["$defs"])


def _simple(part: object, defs: dict) -> object:
    if isinstance(part, list):
        return [_simple(one, defs) for one in part]
    if not isinstance(part, dict):
        return part
    part = {
        word: _simple(value, defs)
        for word, value in part.items()
        if word not in ("title", "$defs") and value is not None
    }
    if "$ref" in part:
        part = _simple(defs[part.pop("$ref").rpartition("/")[2]], defs) | part
    kinds = part.pop("oneOf", part.pop("anyOf", []))
    if {"type": "null"} in kinds:
        (kind,) = (kind for kind in kinds if kind != {"type": "null"})
        return kind | part | {"optional": True}
    return part | ({"anyOf": kinds} if kinds else {})


def written(key: str, value: object) -> str:
    """Return a key with its value as YAML, in one line unless it is a mapping of mappings."""
    deep = isinstance(value, dict) and any(isinstance(own, dict) for own in value.values())
    style = None if deep else True
    text = yaml.safe_dump({key: value}, default_flow_style=style, width=1000).strip()
    return text if deep else text.removeprefix("{").removesuffix("}")


def config_yaml(whole: dict) -> str:
    """Return config.yaml: every key but those within a value, with what it means."""
    keys = (f"\n{_yaml_of(key, own)}" for key, own in whole["properties"].items())
    return BEGIN_YAML + "".join(keys)


def _yaml_of(key: str, own: dict, indent: str = "") -> str:
    if own.get("default") == {}:
        inner = (
            _yaml_of(name, one, "  ")
            for name, one in own["properties"].items()
            if not one.get("readOnly")
        )
        return f"{key}:\n{''.join(inner)}"
    words = f"{own['description']} {allowed_words(own)}".strip().split("\n\n")
    width = 98 - len(indent)
    lines = [line for text in words for line in textwrap.wrap(text, width, break_on_hyphens=False)]
    if "default" not in own:
        lines += written(key, own["examples"][0]).splitlines()
    lines = [f"# {line}" for line in lines]
    if "default" in own:
        lines.append(written(key, own["default"]))
    return textwrap.indent("\n".join(lines) + "\n", indent)


def allowed_words(own: dict) -> str:
    """Return what a key allows, unless its description does, and its default if not a value."""
    values = own.get("enum", [None])
    told = own.get("type") == "boolean" or all(f"{it}:" in own["description"] for it in values)
    words = [] if told else [f"Allowed: {allowed(own)}."]
    return " ".join(words + ([f"Default: {own['absent']}."] if "absent" in own else []))


def _page_of(part: dict, above: str = "") -> Iterator[str]:
    """Yield what docs/configuration.md says of each key."""
    for key, own in part.get("properties", {}).items():
        name = f"{above}{key}"
        if own.get("readOnly"):
            continue
        if own.get("default") == {}:
            yield f"\n## {name}\n\n{own['description']}\n"
        else:
            level = "###" if above else "##"
            default = written(key, own.get("default")).removeprefix(f"{key}: ")
            about = [allowed_words(own), f"Default: `{default}`." if "default" in own else ""]
            about = " ".join(filter(None, about))
            yield f"\n{level} {name}\n\n{own['description']}\n" + (f"\n{about}\n" if about else "")
        for one in (own, *own.get("anyOf", [])):
            yield from _page_of(one, f"{name}.")


def files() -> dict[Path, str]:
    """Return the content of the files by their paths."""
    whole = schema()
    return {
        PROJECT / "config.yaml": config_yaml(whole),
        PROJECT / "schemas" / "config.schema.json": json.dumps(whole, indent=2) + "\n",
        PROJECT / "docs" / "configuration.md": BEGIN_PAGE + "".join(_page_of(whole)),
    }


def main() -> None:
    """Write the files."""
    parser(__doc__).parse_args()
    for path, content in files().items():
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()

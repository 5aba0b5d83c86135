"""What a person should know before a study starts."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress

from l2study.core.code import fingerprint
from l2study.core.config import check
from l2study.core.files import read_json
from l2study.workflow.estimate import Expected

_OF_RUNS = ("dataset", "validation", "model", "training")
"""The parts of a configuration that a run depends on."""


def replaced(count: int, runs: Iterable[Expected]) -> str | None:
    """Return in words that `count` of the runs that are there will be trained again, and why; None
    if none will."""
    if not count:
        return None
    differences, code = {}, fingerprint("train")
    for run in runs:
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = read_json(f"{run.folder}/run.json")
            differences |= dict.fromkeys(_differences(record["config"], run.setup.config))
            if record["code"] != code:
                differences["the code of training has changed"] = None
    why = "; ".join(differences) or "their data have changed"
    one = count == 1
    words = f"{count} finished run{' is' if one else 's are'} trained again and replaced: {why}"
    if any(" was " in difference for difference in differences):
        words += f". To keep {'it' if one else 'them'}, give this configuration another study name"
    return words


def _differences(before: Mapping, now: Mapping) -> Iterable[str]:
    """Yield in words each key of the record `before` that has another value `now`."""
    for part, settings in before.items():
        for key in {**settings, **now[part]}:
            old, new = (_shown(one.get(key)) for one in (settings, now[part]))
            if old != new:
                yield f"{part}.{key} was {old} and is {new}"


def _shown(value: object) -> str:
    return "not given" if value is None else json.dumps(value).replace('"', "")


def unnamed(study: Mapping) -> str | None:
    """Return in words that a canonical configuration has the default study's name by mistake."""
    default, name = check({}), study["study"]
    if name != default["study"] or all(study[part] == default[part] for part in _OF_RUNS):
        return None
    return (
        f"this study differs from config.yaml but has the same name, so its results go to"
        f" results/{name}. For a folder of its own, give it another name, such as study: mine"
    )

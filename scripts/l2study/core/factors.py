"""The factors of a configuration: what is varied besides lambda and seed, level by level."""

import copy
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from l2study.core.config import OF_BUILT_IN, ConfigError
from l2study.core.labels import l2_label
from l2study.core.paths import BASE

STUDIED = ("dataset", "validation", "model", "training")
"""The parts of a configuration that a factor may change: what is trained, and on which data."""

_KEPT = (("training", "evaluate_at"), ("training", "predict_at"))
"""Keys of these parts that say what is kept of a training, and change nothing in it."""

_ABSENT = {
    "train_size": "all",
    "label_noise": "0",
    "scale": "usual",
    "color": "rgb",
    "regularizer": "l2",
    "momentum": "0",
    "l1": "0",
}
"""The label of an optional key that a configuration does not have."""

_MERGED = (*STUDIED, "arguments")
"""Mappings of which a level gives the keys that differ; it gives any other mapping whole."""

_TAKEN = ("setup", "runs", "completed", "diverged", "missing", "matches_exercise", "l2", "against")
"""Columns of the tables, where a factor has a column of its name; so have all that end in _l2."""

_NAME = re.compile(r"[A-Za-z0-9_.+-]{1,60}")


class Level(NamedTuple):
    """A level of a factor: its label, the keys that it changes, and the base with these changes."""

    label: str
    changes: dict
    config: dict

    @property
    def parts(self) -> set[str]:
        """The parts of a configuration that are changed, of `STUDIED`."""
        return {path[0] for path in _paths(self.changes)}


class Factor(NamedTuple):
    """A factor: its name, the label of the base's level, and its other levels."""

    name: str
    own: str
    levels: list[Level]


def read_factors(given: Mapping, base: dict, read: Callable[[dict], dict]) -> list[Factor]:
    """Return the factors `given` in a configuration, whose other parts are `base`, canonical.

    `read` returns the canonical form of a configuration. ConfigError where a factor cannot be
    varied, a level is not valid or is there twice, or a name cannot be part of that of a folder.
    """
    found, touched = [], {}
    for key, levels in given.items():
        name = key.rpartition(".")[2] if isinstance(levels, list) else key
        _check_name(name, f"factors.{key}")
        if name in _TAKEN or name.endswith("_l2"):
            raise ConfigError(
                f"factors.{key}: {name} is the name of another column of the tables; allowed: any"
                f" name but {', '.join(_TAKEN)} and those that end in _l2"
            )
        if name in [factor.name for factor in found]:
            raise ConfigError(
                f"factors.{key}: there are two factors with the name {name}; allowed: each once,"
                " by a name of its own"
            )
        all_levels = list(_levels(key, levels, base, read))
        for path in {path for level in all_levels for path in _paths(level.changes)}:
            if touched.setdefault(path, key) != key:
                raise ConfigError(
                    f"factors.{key}: changes {'.'.join(path)}, as the factor {touched[path]} does;"
                    " allowed: a key in one factor"
                )
        if isinstance(levels, list):
            own = _label(_at(base, key))
        else:
            own = next((level.label for level in all_levels if level.config == base), BASE)
        found.append(Factor(name, own, [level for level in all_levels if level.config != base]))
    return found


def number_of_setups(factors: list[Factor], full: bool) -> int:
    """Return how many set-ups `combinations` gives."""
    counts = [len(factor.levels) for factor in factors]
    return math.prod(1 + count for count in counts) if full else 1 + sum(counts)


def combinations(factors: list[Factor], full: bool) -> Iterator[dict[str, Level]]:
    """Yield the levels of every set-up by factor, those of the base left out; the base first.

    `full` combines the levels of all factors; else every level has the base's of all others.
    """
    if full:
        for levels in itertools.product(*([None, *factor.levels] for factor in factors)):
            yield {f.name: level for f, level in zip(factors, levels, strict=True) if level}
        return
    yield {}
    for factor in factors:
        yield from ({factor.name: level} for level in factor.levels)


def _levels(key: str, given: list | dict, base: dict, read: Callable) -> Iterator[Level]:
    """Yield the levels of a factor, as given: values of its key, or a mapping of changes each."""
    seen = {}
    named = given.items() if isinstance(given, dict) else ((None, value) for value in given)
    for name, value in named:
        changes = value
        if name is None:
            for step in reversed(key.split(".")):
                changes = {step: changes}
        where = f"factors.{key}: level {_label(value) if name is None else name}"
        for fault in _faults(changes, base):
            raise ConfigError(f"{where}: {fault}")
        try:
            config = read(changed(base, changes))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        label = _label(_at(config, key, value)) if name is None else str(name)
        _check_name(label, where, ", as the name of a level that has its changes below it")
        text = json.dumps(config, sort_keys=True)
        if text in seen:
            same = " (both equal the base)" if config == base else ""
            raise ConfigError(
                f"{where}: is the same set-up as level {seen[text]}{same}; allowed: each once"
            )
        seen[text] = label
        yield Level(label, changes, config)


def _check_name(name: str, where: str, how: str = "") -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: {name!r} cannot be part of a folder's name; allowed: up to 60 letters,"
            f" digits and any of _ . + -{how}"
        )


def _faults(changes: object, base: dict) -> Iterator[str]:
    """Yield where a level changes what training does not depend on."""
    if not isinstance(changes, dict) or not changes:
        yield "gives no keys to change; allowed: a mapping, such as {training: {batch_size: 32}}"
    for path in _paths(changes):
        if path[0] not in STUDIED or path in _KEPT:
            yield (
                f"{'.'.join(map(str, path))} changes nothing in what is trained; allowed: keys of"
                f" {', '.join(STUDIED)}, but not {' or '.join(map('.'.join, _KEPT))}"
            )
    config = changed(base, changes)
    others = [key for key in ("path", "load") if key in config["dataset"]]
    if others and ("dataset", "name") in _paths(changes):
        other = f"dataset.{others[0]}"
        yield f"dataset.name is ignored where there is a {other}; allowed: {other}"
    ignored = [key for key in OF_BUILT_IN if ("model", key) in _paths(changes)]
    if ignored and config["model"].get("build"):
        where = "is ignored where there is a model.build"
        yield f"model.{ignored[0]} {where}; allowed: model.arguments"


def _paths(changes: Mapping, above: tuple = ()) -> list[tuple]:
    """Return the path of every key that `changes` gives a value."""
    found = []
    for key, value in changes.items():
        here = (*above, key)
        nested = isinstance(value, dict) and value and key in _MERGED
        found += _paths(value, here) if nested else [here]
    return found


def changed(config: Mapping, changes: Mapping) -> dict:
    """Return `config` with the keys of `changes` in place of its own; None takes a key away."""
    result = copy.deepcopy(dict(config))
    if "build" in changes:
        result.pop("code", None)  # the checksum of another function
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict) and key in _MERGED
        result[key] = changed(result[key], value) if both else copy.deepcopy(value)
    return result


def _at(config: Mapping, key: str, default: object = None) -> object:
    for step in key.split("."):
        if not isinstance(config, Mapping) or step not in config:
            if key.startswith("model.arguments."):
                return "default"  # the function's own
            return _ABSENT.get(key.rpartition(".")[2], default)
        config = config[step]
    return config


def _label(value: object) -> str:
    """Return the label of a level that is a value: 0.1, 256x64, true, adam."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        return l2_label(value)
    if isinstance(value, list):
        return "x".join(map(_label, value)) or "none"
    return str(value)

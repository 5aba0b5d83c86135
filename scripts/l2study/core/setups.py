"""The set-ups of a study: the base, and what its factors make of it.

A factor is something besides lambda and seed that is varied. It has levels, and each of them
changes keys of the configuration. A set-up is one level of every factor; the base set-up is the
configuration as it stands.
"""

import copy
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from l2study.core.config import ConfigError, check, checked_before
from l2study.core.labels import l2_label
from l2study.core.paths import BASE
from l2study.core.variation import number_of_seeds

STUDIED = ("dataset", "validation", "model", "training")
"""The parts of a configuration that a factor may change: what is trained, and on which data."""

MOST_RUNS = 100_000
"""A study of more runs needs `allow_large: true`."""

_OF_THE_STUDY = ("factors", "design", "allow_missing", "allow_large", "tensorboard")
"""Keys that no set-up has."""

_ABSENT = {"train_size": "all", "label_noise": "0", "regularizer": "l2", "momentum": "0"}
"""What is said of an optional key that a configuration does not have."""

_TAKEN = ("setup", "runs", "completed", "diverged", "missing", "close_to_given", "l2", "against")
"""Columns of the tables, where a factor has a column of its name; so have all that end in _l2."""

_NAME = re.compile(r"[A-Za-z0-9_.+-]{1,60}")
_LONGEST_NAME = 200


class Setup(NamedTuple):
    """A set-up: its name, the level that it has of every factor, and its configuration.

    `config` is canonical, and has no factors. `changes` are the parts of a configuration, of
    `STUDIED`, that each level which is not the base's changes, by the name of the factor.
    """

    name: str
    levels: dict[str, str]
    config: dict
    changes: dict[str, set[str]]

    @property
    def data(self) -> str:
        """The name of the prepared data: of the levels that change them; empty for the base's."""
        return _name(
            {
                factor: self.levels[factor]
                for factor, parts in self.changes.items()
                if parts & {"dataset", "validation"}
            }
        )


def sharing_runs(found: Iterable[Setup]) -> list[list[Setup]]:
    """Return the set-ups in groups that differ in their epochs alone, the longest first.

    The first epochs of a run do not depend on how many there are, so the runs of the longest have
    those of the others in them.
    """
    groups = {}
    for setup in found:
        training = {k: v for k, v in setup.config["training"].items() if k != "epochs"}
        alike = json.dumps(setup.config | {"training": training}, sort_keys=True)
        groups.setdefault(alike, []).append(setup)
    return [
        sorted(group, key=lambda setup: -setup.config["training"]["epochs"])
        for group in groups.values()
    ]


class _Level(NamedTuple):
    label: str
    changes: dict
    config: dict


def setups(config: dict, *, checked: bool = False) -> list[Setup]:
    """Return the set-ups of a study, the base first, then in the order of the configuration.

    With `design: one_at_a_time`, every level is combined with the base's levels of all other
    factors; with `full`, the levels of all factors are combined, the base's included. A level that
    equals the base is the base.

    Args:
        config: a canonical configuration.
        checked: whether another process has found no fault in this configuration.

    Raises:
        ConfigError: a factor cannot be varied, a level is not valid or is there twice, a name
            cannot be that of a folder, or there would be too many runs.
    """
    factors = config.get("factors", {})
    base = {key: value for key, value in config.items() if key not in _OF_THE_STUDY}
    read = checked_before if checked else check
    levels, own, touched = {}, {}, {}
    for key, given in factors.items():
        factor = _factor(key, given)
        if factor in levels:
            raise ConfigError(
                f"factors.{key}: there are two factors with the name {factor}; allowed: each once,"
                " by a name of its own"
            )
        levels[factor] = list(_levels(key, given, base, read))
        own[factor] = _own_label(key, given, base, levels[factor])
        for path in {path for level in levels[factor] for path in _paths(level.changes)}:
            if path in touched:
                raise ConfigError(
                    f"factors.{key}: changes {'.'.join(path)}, as the factor {touched[path]} does;"
                    " allowed: a key in one factor"
                )
            touched[path] = key
    others = {
        factor: [level for level in of_one if level.config != base]
        for factor, of_one in levels.items()
    }
    combinations = _combinations(others, config.get("design", "one_at_a_time"))
    if not checked:
        _check_size(config, others)
    found = []
    for chosen in combinations:
        labels = {factor: level.label for factor, level in chosen.items()}
        name = _name(labels) or BASE
        if len(name) > _LONGEST_NAME:
            raise ConfigError(
                f"factors: the name of the set-up {name[:60]}... has {len(name)} characters;"
                f" allowed: at most {_LONGEST_NAME}, by shorter names of levels"
            )
        changed = base
        for level in chosen.values():
            changed = _changed(changed, level.changes)
        if len(chosen) == 1:
            (changed,) = (level.config for level in chosen.values())
        elif chosen:
            changed = _read(read, changed, f"factors: set-up {name}")
        parts = {
            factor: {path[0] for path in _paths(level.changes)} for factor, level in chosen.items()
        }
        found.append(Setup(name, own | labels, changed, parts))
    return found


def _combinations(others: Mapping[str, list[_Level]], design: str) -> Iterator[dict[str, _Level]]:
    """Yield the levels of every set-up, those of the base left out; the base itself first."""
    if design == "full":
        for levels in itertools.product(*([None, *of_one] for of_one in others.values())):
            yield {f: level for f, level in zip(others, levels, strict=True) if level is not None}
        return
    yield {}
    for factor, of_one in others.items():
        yield from ({factor: level} for level in of_one)


def _check_size(config: dict, others: Mapping[str, list[_Level]]) -> None:
    counts = [len(of_one) for of_one in others.values()]
    number = 1 + sum(counts)
    if config.get("design") == "full":
        number = 1
        for count in counts:
            number *= 1 + count
    lambdas, seeds = len(config["lambdas"]), number_of_seeds(config)
    runs = number * lambdas * seeds
    if runs > MOST_RUNS and not config.get("allow_large"):
        raise ConfigError(
            f"{'factors' if others else 'seeds'}: {number} set-ups with"
            f" {lambdas} lambdas and {seeds} seeds are {runs} runs;"
            f" allowed: at most {MOST_RUNS}, or any number with --config allow_large=true"
        )


def _factor(key: str, given: object) -> str:
    """Return the name of a factor: the last part of its key, or the name that it was given."""
    name = key.rpartition(".")[2] if isinstance(given, list) else key
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"factors.{key}: {name!r} cannot be part of a folder's name; allowed: up to 60 letters,"
            " digits and any of _ . + -"
        )
    if name in _TAKEN or name.endswith("_l2"):
        raise ConfigError(
            f"factors.{key}: {name} is the name of another column of the tables; allowed: any name"
            f" but {', '.join(_TAKEN)} and those that end in _l2"
        )
    return name


def _levels(key: str, given: list | dict, base: dict, read: Callable) -> Iterator[_Level]:
    """Yield the levels of a factor, as given: values of its key, or a mapping of changes each."""
    seen = {}
    named = given.items() if isinstance(given, dict) else ((None, value) for value in given)
    for name, value in named:
        changes = value
        if name is None:
            for step in reversed(key.split(".")):
                changes = {step: changes}
        where = f"factors.{key}: level {_label(value) if name is None else name}"
        _check_parts(changes, base, where)
        config = _read(read, _changed(base, changes), where)
        label = str(name) if name is not None else _label(_at(config, key, value))
        if not _NAME.fullmatch(label):
            raise ConfigError(
                f"{where}: {label!r} cannot be part of a folder's name; allowed: up to 60 letters,"
                " digits and any of _ . + -, as the name of a level that has its changes below it"
            )
        text = json.dumps(config, sort_keys=True)
        if text in seen:
            same = " (both equal the base)" if config == base else ""
            raise ConfigError(
                f"{where}: is the same set-up as level {seen[text]}{same}; allowed: each once"
            )
        seen[text] = label
        yield _Level(label, changes, config)


def _check_parts(changes: object, base: dict, where: str) -> None:
    """Check that a level changes only what training depends on."""
    if not isinstance(changes, dict) or not changes:
        raise ConfigError(
            f"{where}: gives no keys to change; allowed: a mapping, such as"
            " {training: {batch_size: 32}}"
        )
    for path in _paths(changes):
        if path[0] not in STUDIED or path == ("training", "evaluate_at"):
            raise ConfigError(
                f"{where}: {'.'.join(map(str, path))} changes nothing in what is trained; allowed:"
                f" keys of {', '.join(STUDIED)}, but not training.evaluate_at"
            )
    if ("dataset", "name") in _paths(changes) and "path" in _changed(base, changes)["dataset"]:
        raise ConfigError(
            f"{where}: dataset.name is ignored where there is a dataset.path; allowed: dataset.path"
        )


def _paths(changes: Mapping, above: tuple = ()) -> list[tuple]:
    """Return the path of every key that `changes` gives a value."""
    found = []
    for key, value in changes.items():
        here = (*above, key)
        nested = isinstance(value, dict) and value and len(here) < 2
        found += _paths(value, here) if nested else [here]
    return found


def _changed(config: Mapping, changes: Mapping) -> dict:
    """Return `config` with the keys of `changes` in place of its own; None takes a key away."""
    result = copy.deepcopy(dict(config))
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict) and key in STUDIED
        result[key] = _changed(result[key], value) if both else copy.deepcopy(value)
    return result


def _read(read: Callable, config: dict, where: str) -> dict:
    try:
        return read(config)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _at(config: Mapping, key: str, default: object = None) -> object:
    for step in key.split("."):
        if not isinstance(config, Mapping) or step not in config:
            return _ABSENT.get(key.rpartition(".")[2], default)
        config = config[step]
    return config


def _own_label(key: str, given: list | dict, base: dict, levels: list[_Level]) -> str:
    """Return the label of the level that the base has."""
    if isinstance(given, list):
        return _label(_at(base, key))
    return next((level.label for level in levels if level.config == base), BASE)


def _label(value: object) -> str:
    """Return the label of a level that is a value: 0.1, 256x64, true, adam."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        return l2_label(value)
    if isinstance(value, list):
        return "x".join(map(_label, value)) or "none"
    return str(value)


def _name(labels: Mapping[str, str]) -> str:
    """Return the name of the set-up that has these levels and otherwise the base's."""
    return ",".join(f"{factor}~{label}" for factor, label in labels.items())

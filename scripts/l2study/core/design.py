"""What a configuration means, resolved once: a study's design, and its set-ups.

A factor is something besides lambda and seed that is varied. It has levels, and each of them
changes keys of the configuration. A set-up is one level of every factor; the base set-up is the
configuration as it stands.
"""

import copy
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

from l2study.core.config import ConfigError, check, checked_before
from l2study.core.epochs import evaluated_epochs
from l2study.core.labels import l2_label
from l2study.core.paths import BASE, data_place, ledger, place
from l2study.core.seeds import SOURCES, USUAL, label_of, level_in

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
_ALLOWED_NAME = (
    "cannot be part of a folder's name; allowed: up to 60 letters, digits and any of _ . + -"
)
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Setup:
    """A set-up: its name, the level that it has of every factor, and its configuration.

    `config` is canonical, and has no factors. `changes` are the parts of a configuration, of
    `STUDIED`, that each level which is not the base's changes, by the name of the factor.
    """

    name: str
    levels: dict[str, str]
    config: dict
    changes: dict[str, set[str]]

    @property
    def lambdas(self) -> list[str]:
        """The labels of the lambdas, ascending."""
        return self.config["lambdas"]

    @property
    def reference(self) -> float:
        """The lambda that the others are compared with."""
        return float(self.config["reference_lambda"])

    @property
    def confidence(self) -> float:
        """The confidence level of every interval."""
        return self.config["confidence"]

    @cached_property
    def epochs(self) -> list[int]:
        """The epochs after which a run is evaluated, ascending."""
        return evaluated_epochs(self.config["training"])

    @property
    def until(self) -> dict | None:
        """Until when seeds are added in rounds; None where they are not.

        The keys are those of the configuration, and `now`: how many seeds there are in this round.
        """
        seeds = self.config["seeds"]
        return seeds.get("until") if isinstance(seeds, Mapping) else None

    @property
    def is_crossed(self) -> bool:
        """Whether `seeds` has levels for the sources, in any number."""
        return isinstance(self.config["seeds"], Mapping) and not self.until

    @property
    def varied(self) -> list[str]:
        """What a seed changes, of `SOURCES` and in their order."""
        if self.is_crossed:
            return [source for source in SOURCES if source in self.config["seeds"]]
        return list(self.config.get("variation", USUAL))

    @property
    def differing(self) -> list[str]:
        """What differs between seeds: of `varied`, the sources that have more than one level."""
        levels = self.config["seeds"]
        return [s for s in self.varied if not self.is_crossed or len(levels[s]) > 1]

    @property
    def crossed(self) -> list[str]:
        """The sources of a crossed design that differ, if there are two or more; else none."""
        return self.differing if self.is_crossed and len(self.differing) > 1 else []

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds of the runs of every lambda, ascending."""
        levels = self.config["seeds"]
        if self.is_crossed:
            rows = itertools.product(*levels.values())
            return sorted(label_of(dict(zip(levels, row, strict=True))) for row in rows)
        return list(range(self.until["now"])) if self.until else levels

    @property
    def seed_count(self) -> int:
        """How many runs every lambda has, which may be too many to list them."""
        if self.is_crossed:
            return math.prod(map(len, self.config["seeds"].values()))
        return len(self.seeds)

    @cached_property
    def independent_seeds(self) -> list[int]:
        """The seeds of the most runs that share no source with each other.

        Those are all runs, but in a crossed design: there they are the runs at the first level of
        every source, at the second of every source, and so on until a source has no more. A source
        with one level does not vary, so that all runs may share it.
        """
        if not self.is_crossed:
            return self.seeds
        levels = self.config["seeds"]
        number = min(len(own) for own in levels.values() if len(own) > 1)
        rows = (
            {source: own[i if len(own) > 1 else 0] for source, own in levels.items()}
            for i in range(number)
        )
        return [label_of(row) for row in rows]

    def sources(self, seed: int) -> dict[str, int]:
        """Return the seed of every source that varies, in the run with this seed."""
        return {
            source: level_in(seed, source) if self.is_crossed else seed for source in self.varied
        }

    @cached_property
    def data(self) -> str:
        """The name of the prepared data: of the levels that change them; empty for the base's."""
        return _name(
            {
                factor: self.levels[factor]
                for factor, parts in self.changes.items()
                if parts & {"dataset", "validation"}
            }
        )

    @property
    def place(self) -> str:
        """What follows the study's results folder in every path; empty for the base."""
        return place(self.name)

    @property
    def data_place(self) -> str:
        """What follows the study's results folder in the paths of the prepared data."""
        return data_place(self.data)

    @property
    def promised(self) -> dict:
        """What the record of every run must say of its configuration."""
        return {"config": {part: self.config[part] for part in ("model", "training")}}


@dataclass(frozen=True)
class Design:
    """A study: its canonical configuration, and its set-ups, the base first."""

    config: dict
    setups: tuple[Setup, ...]

    @classmethod
    def of(cls, config: dict, checked: bool = False) -> Self:
        """Return the design of a canonical configuration.

        Args:
            config: what `config.check` returned.
            checked: whether another process has found no fault in this configuration.

        Raises:
            ConfigError: a factor cannot be varied, a level is not valid or is there twice, a name
                cannot be that of a folder, or there would be too many runs.
        """
        return cls(config, tuple(_setups(config, checked)))

    def in_round(self, seeds: int) -> Self:
        """Return this design, whose seeds come in rounds, with so many seeds."""
        rounds = {"seeds": {"until": self.base.until | {"now": seeds}}}
        found = (Setup(s.name, s.levels, s.config | rounds, s.changes) for s in self.setups)
        return type(self)(self.config | rounds, tuple(found))

    @property
    def study(self) -> str:
        """The name of the study."""
        return self.config["study"]

    @property
    def base(self) -> Setup:
        """The set-up that is the configuration itself."""
        return self.setups[0]

    def setup(self, name: str) -> Setup:
        """Return a set-up by its name.

        Raises:
            KeyError: there is no such set-up.
        """
        return {setup.name: setup for setup in self.setups}[name]

    @property
    def factors(self) -> list[str]:
        """The names of the factors."""
        return list(self.base.levels)

    @property
    def runs(self) -> int:
        """How many runs the study has."""
        return len(self.setups) * len(self.base.lambdas) * self.base.seed_count

    @cached_property
    def data(self) -> dict[str, Setup]:
        """A set-up for each prepared data set, by `Setup.data_place`."""
        return {setup.data_place: setup for setup in reversed(self.setups)}

    @cached_property
    def sharing(self) -> list[list[Setup]]:
        """The set-ups in groups that differ in their epochs alone, the longest first.

        The first epochs of a run do not depend on how many there are, so the runs of the longest
        have those of the others in them.
        """
        groups = {}
        for setup in self.setups:
            training = {k: v for k, v in setup.config["training"].items() if k != "epochs"}
            alike = json.dumps(setup.config | {"training": training}, sort_keys=True)
            groups.setdefault(alike, []).append(setup)
        return [
            sorted(group, key=lambda setup: -setup.config["training"]["epochs"])
            for group in groups.values()
        ]

    @property
    def ledger(self) -> str:
        """The ledger of claims: one of `LEDGERS`, or the path of another file."""
        return ledger(self.config)


class _Level(NamedTuple):
    label: str
    changes: dict
    config: dict


def _setups(config: dict, checked: bool) -> list[Setup]:
    """Return the set-ups of a study, the base first, then in the order of the configuration.

    With `design: one_at_a_time`, every level is combined with the base's levels of all other
    factors; with `full`, the levels of all factors are combined, the base's included. A level that
    equals the base is the base.
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
    lambdas, seeds = len(config["lambdas"]), Setup(BASE, {}, config, {}).seed_count
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
        raise ConfigError(f"factors.{key}: {name!r} {_ALLOWED_NAME}")
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
                f"{where}: {label!r} {_ALLOWED_NAME}, as the name of a level that has its changes"
                " below it"
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

"""What a configuration means, resolved once: a study's design, and its set-ups.

A set-up is one level of every factor. The base set-up is the configuration as it stands. With
`design: one_at_a_time`, every level is combined with the base's levels of all other factors; with
`full`, the levels of all factors are combined. A level that equals the base is the base.
"""

import itertools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from l2study.core.choose_by import CHOOSE_BY
from l2study.core.config import ConfigError, check, checked_before
from l2study.core.config_faults import near, shown
from l2study.core.epochs import evaluated_epochs
from l2study.core.factors import Level, changed, combinations, number_of_setups, read_factors
from l2study.core.labels import l2_label
from l2study.core.lambda_grid import reach
from l2study.core.paths import BASE, LEDGERS, place
from l2study.core.seeds import SOURCES, USUAL, label_of, level_in

_EXERCISE = {"hidden_units": [128], "activation": "relu", "regularize_output": False}
"""The network of the exercise."""

MOST_RUNS = 100_000
"""A study of more runs needs `allow_large: true`."""

NOT_OF_MODEL = ("epochs", "evaluate_at", "predict_at", "batch_size")
"""Keys of `training` that say nothing of the model or its optimizer."""

_OF_THE_STUDY = ("factors", "design", "allow_missing", "allow_large", "tensorboard")
"""Keys that no set-up has."""

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

    @classmethod
    def of(cls, config: dict) -> Self:
        """Return the set-up of a canonical configuration without factors, or of parts of one."""
        return cls(BASE, {}, config, {})

    @property
    def lambdas(self) -> list[str]:
        """The labels of the lambdas, ascending; of those that come in rounds, these of now."""
        return self.config["lambdas"]["now"] if self.extends else self.config["lambdas"]

    @property
    def extends(self) -> bool:
        """Whether lambdas are added in rounds, beyond the ends of a range."""
        return isinstance(self.config["lambdas"], Mapping)

    @property
    def reach(self) -> list[str]:
        """The labels of the lambdas that there may be, ascending: more than now in rounds alone."""
        if not self.extends:
            return self.lambdas
        own = self.config["lambdas"]
        most = reach(float(own["from"]), float(own["to"]), own["per_decade"])
        return ["0"] * bool(own.get("zero")) + [l2_label(l2) for l2 in most]

    @property
    def reference(self) -> float:
        """The lambda that the others are compared with."""
        return float(self.config["reference_lambda"])

    @property
    def confidence(self) -> float:
        """The confidence level of every interval."""
        return self.config["confidence"]

    @property
    def choose_by(self) -> str:
        """The metric of validation by which lambda is chosen."""
        return self.config.get("choose_by", CHOOSE_BY[0])

    @cached_property
    def epochs(self) -> list[int]:
        """The epochs after which a run is evaluated, ascending."""
        return evaluated_epochs(self.config["training"])

    @property
    def rate(self) -> float:
        """The learning rate, NaN if it is a schedule."""
        rate = self.config["training"]["learning_rate"]
        return rate if isinstance(rate, float) else math.nan

    def steps(self, training_rows: int | None) -> float:
        """Return the number of training steps of a run, NaN if it is not known on how many rows."""
        if training_rows is None:
            return math.nan
        training = self.config["training"]
        return training["epochs"] * math.ceil(training_rows / training["batch_size"])

    @property
    def until(self) -> dict | None:
        """Until when seeds are added in rounds, and `now`, the seeds of this one; else None."""
        seeds = self.config["seeds"]
        return seeds.get("until") if isinstance(seeds, Mapping) else None

    @property
    def in_rounds(self) -> bool:
        """Whether seeds or lambdas are added in rounds."""
        return bool(self.until) or self.extends

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
        """The seeds of the most runs that share no source with each other, which are all but in a
        crossed design: there those at the first level of every source, at the second, and so on
        until a source has no more. A source with one level does not vary."""
        if not self.is_crossed:
            return self.seeds
        levels = self.config["seeds"].values()
        each = (itertools.repeat(own[0]) if len(own) == 1 else own for own in levels)
        return [
            label_of(dict(zip(self.varied, row, strict=True))) for row in zip(*each, strict=False)
        ]

    def sources(self, seed: int) -> dict[str, int]:
        """Return the seed of every source that varies, in the run with this seed."""
        return {
            source: level_in(seed, source) if self.is_crossed else seed for source in self.varied
        }

    @cached_property
    def data(self) -> str:
        """The name of the prepared data: of the levels that change them; empty for the base's."""
        own = {"dataset", "validation"}
        return _name({f: self.levels[f] for f, parts in self.changes.items() if parts & own})

    @property
    def place(self) -> str:
        """What follows the study's results folder in every path; empty for the base."""
        return place(self.name)

    @property
    def data_place(self) -> str:
        """What follows the study's results folder in the paths of the prepared data."""
        return f"/data/{self.data}" if self.data else ""

    @property
    def ledger(self) -> str:
        """The ledger of claims that judges this: one of `LEDGERS`, or the path of another file.

        That of the exercise has figures and bounds for its own data and network alone.
        """
        dataset = self.config["dataset"]
        changed_data = {"label_noise", "scale"} & dataset.keys()
        same_data = dataset.get("name") == "mnist" and not changed_data
        same = same_data and self.config["model"] == _EXERCISE
        return self.config.get("claims", "exercise" if same else "general")

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

        If it is `checked`, another process has found no fault in it. Else faults of factors (see
        `read_factors`), too many runs, and a ledger of claims that is not there are a ConfigError.
        """
        read = checked_before if checked else check
        base = {key: value for key, value in config.items() if key not in _OF_THE_STUDY}
        factors = read_factors(config.get("factors", {}), base, read)
        full = config.get("design") == "full"
        if not checked:
            _check_ledger(Setup.of(config).ledger)
            _check_size(config, number_of_setups(factors, full))
        own = {factor.name: factor.own for factor in factors}
        chosen = combinations(factors, full)
        return cls(config, tuple(_setup(base, own, levels, read) for levels in chosen))

    def in_round(self, now: int | list[str]) -> Self:
        """Return this design in another round: with so many seeds, or with these lambdas."""
        if self.base.until:
            rounds = {"seeds": {"until": self.base.until | {"now": now}}}
        else:
            rounds = {"lambdas": self.config["lambdas"] | {"now": now}}
        found = (replace(setup, config=setup.config | rounds) for setup in self.setups)
        return Design(self.config | rounds, tuple(found))

    @property
    def study(self) -> str:
        """The name of the study."""
        return self.config["study"]

    @property
    def base(self) -> Setup:
        """The set-up that is the configuration itself."""
        return self.setups[0]

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
        """The set-ups in groups that differ in their epochs alone, the longest first, whose runs
        begin with those of the others."""
        groups = {}
        for setup in self.setups:
            training = {k: v for k, v in setup.config["training"].items() if k != "epochs"}
            alike = json.dumps(setup.config | {"training": training}, sort_keys=True)
            groups.setdefault(alike, []).append(setup)
        return [
            sorted(group, key=lambda setup: -setup.config["training"]["epochs"])
            for group in groups.values()
        ]


def _check_ledger(name: str) -> None:
    if name not in LEDGERS and not Path(name).is_file():
        raise ConfigError(
            f"claims: {shown(name)} is not allowed; {near(name, LEDGERS)}allowed:"
            f" {', '.join(LEDGERS)}, or the path of a file"
        )


def _check_size(config: dict, setups: int) -> None:
    lambdas, seeds = len(Setup.of(config).lambdas), Setup.of(config).seed_count
    runs = setups * lambdas * seeds
    if runs > MOST_RUNS and not config.get("allow_large"):
        raise ConfigError(
            f"{'factors' if setups > 1 else 'seeds'}: {setups} set-ups with {lambdas} lambdas and"
            f" {seeds} seeds are {runs} runs; allowed: at most {MOST_RUNS}, or any number with"
            " --config allow_large=true"
        )


def _setup(base: dict, own: dict[str, str], chosen: dict[str, Level], read: Callable) -> Setup:
    labels = {factor: level.label for factor, level in chosen.items()}
    name = _name(labels) or BASE
    if len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"factors: the name of the set-up {name[:60]}... has {len(name)} characters;"
            f" allowed: at most {_LONGEST_NAME}, by shorter names of levels"
        )
    config = base
    for level in chosen.values():
        config = changed(config, level.changes)
    try:
        config = read(config) if chosen else base
    except ConfigError as error:
        raise ConfigError(f"factors: set-up {name}: {error}") from None
    parts = {factor: level.parts for factor, level in chosen.items()}
    return Setup(name, own | labels, config, parts)


def _name(labels: Mapping[str, str]) -> str:
    """Return the name of the set-up that has these levels and otherwise the base's."""
    return ",".join(f"{factor}~{label}" for factor, label in labels.items())

"""What a seed changes: the sources of variation, and the seed that each of them has in a run.

A study has seeds, and its configuration says in `variation` what a seed changes. In a crossed
design, `seeds` has levels for every source, and every combination of levels is a run. Then the seed
of a run is a label: two digits for each source, the first of `SOURCES` at the right end. So 10203
is split 1, order 2, weights 3, whatever other levels and sources there are.
"""

import itertools
import math
from collections.abc import Mapping

from l2study.core.seeds import (
    FIRST_ROUND,
    MOST_LEVELS,
    REST,
    SOURCES,
    TOTAL,
    USUAL,
    WORDS,
    read_sources,
    write_sources,
)

__all__ = ["FIRST_ROUND", "REST", "TOTAL", "WORDS", "read_sources", "write_sources"]


def is_crossed(config: Mapping) -> bool:
    """Return whether `seeds` has levels for the sources."""
    return isinstance(config["seeds"], Mapping) and "until" not in config["seeds"]


def until(config: Mapping) -> dict | None:
    """Return until when seeds are added in rounds, by a canonical configuration; None if not so.

    `measure`, `half_width` and `max_seeds` are as the configuration has them; `now` is how many
    seeds there are in this round.
    """
    return config["seeds"].get("until") if isinstance(config["seeds"], Mapping) else None


def in_round(study: Mapping, now: int) -> dict:
    """Return the canonical configuration `study`, whose seeds come in rounds, with `now` seeds."""
    return {**study, "seeds": {"until": until(study) | {"now": now}}}


def _plain(config: Mapping) -> list[int] | None:
    """Return the seeds of a design that is not crossed."""
    rounds = until(config)
    if rounds:
        return list(range(rounds["now"]))
    return None if is_crossed(config) else config["seeds"]


def varied(config: dict) -> list[str]:
    """Return what a seed changes, of `SOURCES` and in their order, by a canonical configuration."""
    if is_crossed(config):
        return [source for source in SOURCES if source in config["seeds"]]
    return list(config.get("variation", USUAL))


def differing(config: dict) -> list[str]:
    """Return what differs between seeds: of `varied`, the sources that have more than one level."""
    crossed = is_crossed(config)
    return [s for s in varied(config) if not crossed or len(config["seeds"][s]) > 1]


def crossed_sources(config: dict) -> list[str]:
    """Return the sources of a crossed design, by a canonical configuration; none of a plain study.

    Those of two levels or more, if there are two such sources at least.
    """
    seeds = config["seeds"]
    several = [s for s in seeds if len(seeds[s]) > 1] if is_crossed(config) else []
    return several if len(several) > 1 else []


def run_seeds(config: dict) -> list[int]:
    """Return the seeds of the runs of every lambda, ascending, by a canonical configuration."""
    seeds = _plain(config)
    return sorted(map(_label, _crossed(config["seeds"]))) if seeds is None else seeds


def number_of_seeds(config: dict) -> int:
    """Return how many runs every lambda has, which may be too many to list them."""
    seeds = _plain(config)
    return math.prod(map(len, config["seeds"].values())) if seeds is None else len(seeds)


def independent_seeds(config: dict) -> list[int]:
    """Return the seeds of the most runs that share no source with each other.

    Those are all runs, but in a crossed design: there they are the runs at the first level of every
    source, at the second of every source, and so on until a source has no more. A source with one
    level does not vary, so that all runs may share it.
    """
    if (seeds := _plain(config)) is not None:
        return seeds
    levels = config["seeds"]
    number = min(len(own) for own in levels.values() if len(own) > 1)
    rows = zip(*(own if len(own) > 1 else own * number for own in levels.values()), strict=False)
    return [_label(dict(zip(levels, row, strict=True))) for row in rows]


def source_seeds(config: dict, seed: int) -> dict[str, int]:
    """Return the seed of every source that varies, for a run of a canonical configuration."""
    if not is_crossed(config):
        return dict.fromkeys(varied(config), seed)
    return {
        source: seed // MOST_LEVELS ** SOURCES.index(source) % MOST_LEVELS
        for source in config["seeds"]
    }


def _crossed(levels: dict[str, list[int]]) -> list[dict[str, int]]:
    return [dict(zip(levels, row, strict=True)) for row in itertools.product(*levels.values())]


def _label(row: dict[str, int]) -> int:
    return sum(level * MOST_LEVELS ** SOURCES.index(source) for source, level in row.items())

"""What a seed changes: the sources of variation, and the seed that each of them has in a run.

A study has seeds, and its configuration says in `variation` what a seed changes. In a crossed
design, `seeds` has levels for every source, and every combination of levels is a run. Then the seed
of a run is a label: two digits for each source, the first of `SOURCES` at the right end. So 10203
is split 1, order 2, weights 3, whatever other levels and sources there are.
"""

import itertools

SOURCES = ("weights", "order", "split", "sample")
"""The initial weights; the order of the batches; which rows of the training file are validation;
which of the others are trained on, if `dataset.train_size` leaves some out. Append, never reorder:
the place of a source is in the seeds of crossed designs."""

USUAL = ("weights", "order")
"""What a seed changes where a configuration does not say."""

MOST_LEVELS = 100
"""The levels of a source in a crossed design are whole numbers below this."""


def varied(config: dict) -> list[str]:
    """Return what a seed changes, of `SOURCES` and in their order, by a canonical configuration."""
    if isinstance(config["seeds"], dict):
        return list(config["seeds"])
    return list(config.get("variation", USUAL))


def run_seeds(config: dict) -> list[int]:
    """Return the seeds of the runs of every lambda, ascending, by a canonical configuration."""
    if isinstance(config["seeds"], list):
        return config["seeds"]
    return sorted(map(_label, _crossed(config["seeds"])))


def independent_seeds(config: dict) -> list[int]:
    """Return the seeds of the most runs that share no source with each other.

    Those are all runs, but in a crossed design: there they are the runs at the first level of every
    source, at the second of every source, and so on until a source has no more.
    """
    if isinstance(config["seeds"], list):
        return config["seeds"]
    levels = config["seeds"]
    rows = zip(*levels.values(), strict=False)
    return [_label(dict(zip(levels, row, strict=True))) for row in rows]


def source_seeds(config: dict, seed: int) -> dict[str, int]:
    """Return the seed of every source that varies, for a run of a canonical configuration."""
    if isinstance(config["seeds"], list):
        return dict.fromkeys(varied(config), seed)
    return {
        source: seed // MOST_LEVELS ** SOURCES.index(source) % MOST_LEVELS
        for source in config["seeds"]
    }


def _crossed(levels: dict[str, list[int]]) -> list[dict[str, int]]:
    return [dict(zip(levels, row, strict=True)) for row in itertools.product(*levels.values())]


def _label(row: dict[str, int]) -> int:
    return sum(level * MOST_LEVELS ** SOURCES.index(source) for source, level in row.items())

"""What a seed changes: the sources of variation, and the seed that each of them has in a run.

In a crossed design, `seeds` has levels for every source, and every combination of levels is a run.
Then the seed of a run is a label: two digits for each source, the first of `SOURCES` at the right
end. So 10203 is split 1, order 2, weights 3, whatever other levels and sources there are.
"""

from collections.abc import Mapping

SOURCES = ("weights", "order", "split", "sample")
"""The initial weights; the order of the batches; which rows of the training file are validation;
which of the others are trained on, if `dataset.train_size` leaves some out. Append, never reorder:
the place of a source is in the seeds of crossed designs."""

REST, TOTAL = "rest", "total"
"""What tables call the variance that no source explains, and that of all sources together."""

USUAL = ("weights", "order")
"""What a seed changes where a configuration does not say."""

WORDS = {
    "weights": "the initial weights",
    "order": "the batch order",
    "split": "the validation split",
    "sample": "the choice of training images",
}
"""What a reader is told that each source is."""

FIRST_ROUND = 10
"""Seeds of the first round of a study whose seeds come in rounds."""

MOST_LEVELS = 100
"""The levels of a source in a crossed design are whole numbers below this."""


def label_of(levels: Mapping[str, int]) -> int:
    """Return the seed of a run of a crossed design, by its level of every source."""
    return sum(level * MOST_LEVELS ** SOURCES.index(source) for source, level in levels.items())


def level_in(label: int, source: str) -> int:
    """Return the level of a source in a label of `label_of`."""
    return label // MOST_LEVELS ** SOURCES.index(source) % MOST_LEVELS


def write_sources(sources: Mapping[str, int]) -> str:
    """Return seeds of sources as text that `read_sources` reads, such as `weights=3,order=2`."""
    return ",".join(f"{source}={seed}" for source, seed in sources.items())


def read_sources(text: str) -> dict[str, int]:
    """Return the seeds of sources in a text of `write_sources`, in the order of `SOURCES`; a
    ValueError of one line where it is no such text."""
    found = {}
    for part in text.split(","):
        source, _, seed = part.partition("=")
        if source not in SOURCES or source in found or not (seed.isascii() and seed.isdigit()):
            raise ValueError(
                f"--sources: {part!r} is not allowed; allowed: each of {', '.join(SOURCES)} at most"
                " once, with its seed, such as weights=3,order=2"
            )
        found[source] = int(seed)
    return {source: found[source] for source in SOURCES if source in found}

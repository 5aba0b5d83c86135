"""Random streams: one per purpose, none of which depends on lambda.

Two runs with the same seed and different lambdas therefore draw the same initial weights and the
same batch order (common random numbers), which is what makes their differences paired. Every source
of variation has its own stream, so another seed of one leaves the draws of the others as they are.
"""

from collections.abc import Mapping

import numpy as np

# A stream is found by its number: append, never renumber.
_STREAMS = {
    "weights": 0,
    "order": 1,
    "input noise": 2,
    "split": 3,
    "sample": 4,
    "label noise": 5,
    "test part": 6,
    "layer noise": 7,
}


def source_seed(source: str, sources: Mapping[str, int]) -> int:
    """Return the seed of a source of variation, which is 0 where it does not vary."""
    return sources.get(source, 0)


def source_stream(source: str, sources: Mapping[str, int], *keys: int) -> np.random.Generator:
    """Return the generator for a source of variation.

    Args:
        source: one of `l2study.core.seeds.SOURCES`.
        sources: the seeds of those that vary.
        keys: further keys of the stream, see `stream`.
    """
    return stream(source, source_seed(source, sources), *keys)


def stream(purpose: str, *keys: int) -> np.random.Generator:
    """Return the generator for `purpose`, one of its own for every combination of `keys`.

    Args:
        purpose: a source of variation (keyed by its seed; `order` by that and the epoch), "layer
            noise" (keyed by the seed of `order`), "input noise", "label noise" or "test part" (no
            key: the same for every run).
        keys: non-negative integers. NumPy fills what it is seeded with up with zeros, so a last
            key of 0 is as none.

    Raises:
        KeyError: no such purpose.
    """
    return np.random.default_rng([_STREAMS[purpose], *keys])

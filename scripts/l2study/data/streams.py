"""Random streams: one per purpose, none of which depends on lambda.

Two runs with the same seed and different lambdas therefore draw the same initial weights and the
same batch order (common random numbers), which is what makes their differences paired.
"""

import numpy as np

# A stream is found by its number: append, never renumber.
_STREAMS = {
    "initial weights": 0,
    "batch order": 1,
    "input noise": 2,
    "split": 3,
    "subset": 4,
    "label noise": 5,
}


def stream(purpose: str, *keys: int) -> np.random.Generator:
    """Return the generator for `purpose`, one of its own for every combination of `keys`.

    Args:
        purpose: one of "initial weights" (keyed by seed), "batch order" (seed, epoch), "input
            noise" (no key: the same for every run), "split", "subset" and "label noise" (no key).
        keys: non-negative integers.

    Raises:
        KeyError: no such purpose.
    """
    return np.random.default_rng([_STREAMS[purpose], *keys])

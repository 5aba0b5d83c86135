"""Made-up runs of a study whose sources of variation are crossed, for tests only."""

import itertools

import numpy as np
import pandas as pd

from l2study.core import seeds
from l2study.core.design import Setup
from l2study.core.measures import names

MEASURES = [*names("gap"), "val_accuracy", "test_accuracy", "val_ce"]


def setup(confidence=0.9, **levels) -> Setup:
    """Return a set-up with so many levels, or these levels, of each source."""
    own = {
        source: list(range(count)) if isinstance(count, int) else count
        for source, count in levels.items()
    }
    return Setup("base", {}, {"seeds": own, "confidence": confidence}, {})


def runs(setup: Setup, deviations: dict, lambdas=(0.0, 1e-4, 1e-2), random_state=0) -> pd.DataFrame:
    """Return completed runs of a crossed design, with every measure that variance is shown of.

    Args:
        setup: see `setup`.
        deviations: the standard deviations of main effects by source, and of `rest`.
        lambdas: of the study.
        random_state: of the made-up effects.
    """
    rng = np.random.default_rng(random_state)
    rows = []
    for (rank, l2), measure in itertools.product(enumerate(lambdas), MEASURES):
        effects = {
            source: deviations.get(source, 0) * (1 + rank) * rng.normal(size=seeds.MOST_LEVELS)
            for source in setup.varied
        }
        for seed in setup.seeds:
            levels = setup.sources(seed)
            value = 0.02 + sum(effects[source][level] for source, level in levels.items())
            rows.append((l2, seed, measure, value + deviations["rest"] * rng.normal()))
    table = pd.DataFrame(rows, columns=["l2", "seed", "measure", "value"])
    table = table.pivot(index=["l2", "seed"], columns="measure", values="value").reset_index()
    return table.rename_axis(columns=None).assign(status="completed", epochs=20)

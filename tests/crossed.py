"""Made-up runs of a study whose sources of variation are crossed, for tests only."""

import itertools

import numpy as np
import pandas as pd

from l2study.core import variation
from l2study.core.measures import names

MEASURES = [*names("gap"), "val_accuracy", "test_accuracy", "val_ce"]


def config(**levels) -> dict:
    """Return what the table of variance reads of a configuration: so many levels of each source."""
    return {"seeds": {source: list(range(count)) for source, count in levels.items()}}


def runs(config: dict, deviations: dict, lambdas=(0.0, 1e-4, 1e-2), random_state=0) -> pd.DataFrame:
    """Return completed runs of a crossed design, with every measure that variance is shown of.

    Args:
        config: see `config`.
        deviations: the standard deviations of main effects by source, and of `rest`.
        lambdas: of the study.
        random_state: of the made-up effects.
    """
    rng = np.random.default_rng(random_state)
    rows = []
    for (rank, l2), measure in itertools.product(enumerate(lambdas), MEASURES):
        effects = {
            source: deviations.get(source, 0) * (1 + rank) * rng.normal(size=variation.MOST_LEVELS)
            for source in config["seeds"]
        }
        for seed in variation.run_seeds(config):
            levels = variation.source_seeds(config, seed)
            value = 0.02 + sum(effects[source][level] for source, level in levels.items())
            rows.append((l2, seed, measure, value + deviations["rest"] * rng.normal()))
    table = pd.DataFrame(rows, columns=["l2", "seed", "measure", "value"])
    table = table.pivot(index=["l2", "seed"], columns="measure", values="value").reset_index()
    return table.rename_axis(columns=None).assign(status="completed", epochs=20)

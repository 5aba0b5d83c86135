"""The tables that follow from the histories and the runs of a reference study alone.

That is what is for other seeds, on the same images: predictions do not travel with the project.
"""

from pathlib import Path

import pandas as pd

from l2study.core.design import Design, Setup
from l2study.core.files import read_json
from l2study.core.measures import RUN_MEASURES
from l2study.tables import build
from l2study.tables.crossed import with_all_runs
from l2study.tables.derived import DERIVED_MEASURES
from l2study.tables.power import power_table
from l2study.tables.spread import spread_table
from l2study.tables.variance import variance_table


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return gap, means, contrasts, power and variance of every set-up, as aggregate makes them."""
    config = read_json(folder / "datapackage.json")["config"]
    all_histories = pd.read_parquet(folder / "histories.parquet")
    all_runs = pd.read_csv(folder / "runs.csv")
    found = {}
    for setup in Design.of(config, checked=True).setups:
        histories, runs = (
            table[table["setup"] == setup.name].drop(columns="setup").reset_index(drop=True)
            for table in (all_histories, all_runs)
        )
        for name, table in _of_setup(setup, histories, runs).items():
            found.setdefault(name, []).append(table.assign(setup=setup.name))
    return {name: pd.concat(of_all) for name, of_all in found.items()}


def _of_setup(setup: Setup, histories: pd.DataFrame, runs: pd.DataFrame) -> dict:
    reference, confidence = setup.reference, setup.confidence
    absent = build.absent_measures(setup, runs)
    absent |= {name for name in DERIVED_MEASURES if name not in runs}  # of before it was there
    measures = [name for name in (*RUN_MEASURES, *DERIVED_MEASURES) if name not in absent]
    crossed = variance_table(setup, runs)
    every = histories, runs
    histories, runs = (build.independent(table, setup) for table in every)
    means = {
        "gap": build.gap_table(histories, runs, setup.epochs, confidence, absent).drop(
            columns="variance_images"  # of predictions
        ),
        "contrasts": build.contrasts_table(runs, reference, confidence, absent),
        "means": build.means_table(runs, measures, confidence),
    }
    return {
        **(with_all_runs(means, setup, *every) if setup.crossed else means),
        "spread": spread_table(runs, confidence, absent),
        "power": power_table(runs, reference, confidence),
        **({"variance": crossed} if setup.is_crossed else {}),
    }

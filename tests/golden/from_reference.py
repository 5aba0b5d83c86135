"""The tables that follow from the histories and the runs of a reference study alone.

That is what is for other seeds, on the same images: predictions do not travel with the project.
"""

from pathlib import Path

import pandas as pd

from l2study.core.epochs import evaluated_epochs
from l2study.core.files import read_json
from l2study.core.measures import RUN_MEASURES
from l2study.core.setups import setups
from l2study.core.variation import is_crossed
from l2study.tables import build, decision_tables, variance
from l2study.tables.derived import DERIVED_MEASURES


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return gap, means, contrasts, power and variance of every set-up, as aggregate makes them."""
    config = read_json(folder / "datapackage.json")["config"]
    all_histories = pd.read_parquet(folder / "histories.parquet")
    all_runs = pd.read_csv(folder / "runs.csv")
    found = {}
    for setup in setups(config, checked=True):
        histories, runs = (
            table[table["setup"] == setup.name].drop(columns="setup").reset_index(drop=True)
            for table in (all_histories, all_runs)
        )
        for name, table in _of_setup(setup.config, histories, runs).items():
            found.setdefault(name, []).append(table.assign(setup=setup.name))
    return {name: pd.concat(of_all) for name, of_all in found.items()}


def _of_setup(config: dict, histories: pd.DataFrame, runs: pd.DataFrame) -> dict:
    epochs, confidence = evaluated_epochs(config["training"]), config["confidence"]
    reference, absent = float(config["reference_lambda"]), build.without_value(config)
    measures = [name for name in (*RUN_MEASURES, *DERIVED_MEASURES) if name not in absent]
    crossed = variance.variance_table(config, runs, confidence)
    histories, runs = (build.independent(table, config) for table in (histories, runs))
    return {
        "gap": build.gap_table(histories, runs, epochs, confidence, absent).drop(
            columns="variance_images"  # of predictions
        ),
        "contrasts": build.contrasts_table(runs, reference, confidence, absent),
        "means": build.means_table(runs, measures, confidence),
        "power": decision_tables.power_table(runs, reference, confidence),
        **({"variance": crossed} if is_crossed(config) else {}),
    }

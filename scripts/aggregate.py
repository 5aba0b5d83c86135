"""Turn the runs of a study into its tables: gaps, contrasts, choice of lambda, claims, set-ups.

This writes to RESULTS/tables. Every table is a CSV file; those of all histories and of all runs
are Parquet files too. datapackage.json says what every column is, and its type and unit.

First, every run that the config promises is checked: it must be complete, and of this config and
these data. If one is not, nothing is written. Other runs in the folder are ignored.

Example:
    python scripts/aggregate.py --config config.yaml --claims reports/claims/exercise.yaml \\
        --results results/mnist
"""

import argparse
import gc
import sys
from pathlib import Path

import pandas as pd

from l2study.core.config import ConfigError, read_config
from l2study.core.design import Design
from l2study.core.epochs import evaluated_epochs
from l2study.core.files import read_json, write_json
from l2study.core.measures import RUN_MEASURES, names
from l2study.core.predictions import Predicted
from l2study.core.runs import DamagedRunError, Run, read_runs, weights_checksum
from l2study.core.table_files import write_table
from l2study.core.variation import number_of_seeds, until
from l2study.tables import across, build, datapackage, decision_tables, variance
from l2study.tables.claims import claims_table
from l2study.tables.derived import DERIVED_MEASURES, with_derived
from l2study.tables.image_means import images_of
from l2study.tables.ledger import LedgerError, read_ledger
from l2study.tables.one_seed import one_seed_table
from l2study.tables.rounds import rounds_table


def write_tables(config: dict, ledger: Path, results: Path, *, allow_missing: bool = False) -> None:
    """Write every table of the study to `results`/tables, and datapackage.json beside them.

    Args:
        config: a canonical config; `dataset` and `validation` are only written down.
        ledger: the claims and the rules that judge them, YAML.
        results: the study's results folder, with its runs and those of its set-ups.
        allow_missing: leave out promised runs that are not there, and use the others.

    Raises:
        DamagedRunError: a promised run is missing or damaged.
        LedgerError: the ledger is not as it should be.
        DescriptionError: the tables are not as schemas/tables.yaml describes them.
    """
    claims, studied, data, weights, faults = read_ledger(ledger), {}, {}, {}, []
    found = Design.of(config, checked=True).setups
    for setup in found:
        manifest = Path(f"{results}{setup.data_place}") / "data.json"
        data[setup.name] = read_json(manifest) if manifest.exists() else {}
        folder = Path(f"{results}{setup.place}")
        try:
            runs = read_runs(
                folder, setup, data[setup.name], names("weights"), allow_missing=allow_missing
            )
        except DamagedRunError as fault:
            faults.append(str(fault))
            continue
        if runs:
            studied[setup.name] = tables_of(setup.config, claims, runs)
            weights[setup.name] = weights_checksum(run.record for run in runs)
            # They take most of the memory, and writing the tables takes more.
            del runs
    if faults:
        raise DamagedRunError("\n".join(faults))
    if not studied:
        raise DamagedRunError(f"{results}: has none of the runs of the study")
    tables = {
        name: pd.concat([of_one[name].assign(setup=setup) for setup, of_one in studied.items()])
        for name in next(iter(studied.values()))
    }
    tables = {name: table[["setup", *table.columns[:-1]]] for name, table in tables.items()}
    runs_of_each = len(config["lambdas"]) * number_of_seeds(config)
    tables |= {
        "setups": across.setups_table(found, studied, runs_of_each, claims),
        "verdicts": across.verdicts_table(studied),
        "interactions": across.interactions_table(found, studied, config["confidence"]),
        "best": across.best_table(studied),
        "rounds": rounds_table(until(config), config["confidence"], studied),
    }
    folder, factors = results / "tables", list(found[0].levels)
    descriptions = datapackage.read_descriptions(factors)
    for name, table in datapackage.with_types(tables, factors).items():
        write_table(table, folder / f"{name}.csv")
        if descriptions[name]["parquet"]:
            fields = descriptions[name]["schema"]["fields"]
            datapackage.write_parquet(table, fields, folder / f"{name}.parquet")
    package = datapackage.data_package(config, data, weights, folder, factors)
    write_json(folder / "datapackage.json", package)


def tables_of(config: dict, claims: dict, found: list[Run]) -> dict[str, pd.DataFrame]:
    """Return every table of one set-up by its name.

    The tables `histories`, `runs` and `weight_histogram` have all runs. The others are of the
    independent runs alone, which are all but in a crossed design. There, runs share initial
    weights, an order or a split, and are alike for that reason. Counted as if they were
    independent, they would make every interval too narrow.

    Args:
        config: of the set-up, canonical.
        claims: the content of the ledger.
        found: the runs of the set-up.
    """
    epochs, confidence = evaluated_epochs(config["training"]), config["confidence"]
    reference = float(config["reference_lambda"])
    absent = build.without_value(config)
    all_histories = build.histories_table(found)
    all_runs = build.runs_table(found, absent)
    all_runs = with_derived(all_histories, all_runs, build.regularised_kernels(found))
    histories, runs = (build.independent(table, config) for table in (all_histories, all_runs))
    measures = [name for name in (*RUN_MEASURES, *DERIVED_MEASURES) if name not in absent]
    images = images_of(config, predictions_of(found))
    choice = decision_tables.choice_table(runs, reference, confidence, images)
    return {
        "histories": all_histories,
        "runs": all_runs,
        "gap": build.gap_table(histories, runs, epochs, confidence, absent, images),
        "contrasts": build.contrasts_table(runs, reference, confidence, absent, images),
        "choice": choice,
        "power": decision_tables.power_table(runs, reference, confidence),
        "weight_histogram": build.histogram_table(found),
        "claims": claims_table(claims, histories, runs, choice, epochs, confidence, images),
        "means": build.means_table(runs, measures, confidence, images),
        "variance": variance.variance_table(config, all_runs, confidence),
        "answer": decision_tables.answer_table(runs, choice, reference, confidence, images),
        "one_seed": one_seed_table(runs, choice, reference, confidence),
    }


def predictions_of(found: list[Run]) -> dict[tuple[float, int], dict[str, Predicted]]:
    """Return what every completed run predicts, by its lambda and seed."""
    return {(float(run.l2), run.seed): run.predictions for run in found if run.predictions}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit with one line for each thing that is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="YAML or JSON file, or the JSON itself")
    parser.add_argument("--claims", required=True, type=Path, help="the claims ledger, YAML")
    parser.add_argument(
        "--results", required=True, type=Path, help="the study's folder: holds runs/, gets tables/"
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="leave out runs that are missing"
    )
    options = parser.parse_args(arguments)
    try:
        write_tables(
            read_config(options.config),
            options.claims,
            options.results,
            allow_missing=options.allow_missing,
        )
    except (
        ConfigError,
        DamagedRunError,
        LedgerError,
        datapackage.DescriptionError,
    ) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    gc.disable()  # what garbage there is fits into memory, and the search for it takes a tenth
    main()

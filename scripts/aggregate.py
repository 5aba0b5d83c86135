"""Turn the runs of a study into its tables: gaps, contrasts, choice of lambda, claims.

This writes to RESULTS/tables. Every table is a CSV file; those of all histories and of all runs
are Parquet files too. datapackage.json says what every column is, and its type and unit.

First, every run that the config promises is checked: it must be complete, and of this config and
these data. If one is not, nothing is written. Other runs in the folder are ignored.

Example:
    python scripts/aggregate.py --config config.yaml --claims reports/claims/exercise.yaml \\
        --results results/mnist
"""

import argparse
import sys
from pathlib import Path

from l2study.core.config import ConfigError, read_config
from l2study.core.epochs import evaluated_epochs
from l2study.core.files import read_json, write_json
from l2study.core.measures import RUN_MEASURES, names
from l2study.core.runs import DamagedRunError, read_runs
from l2study.core.table_files import write_table
from l2study.tables import build, datapackage, decision_tables
from l2study.tables.claims import claims_table
from l2study.tables.derived import DERIVED_MEASURES, with_derived
from l2study.tables.ledger import LedgerError, read_ledger


def write_tables(config: dict, ledger: Path, results: Path, *, allow_missing: bool = False) -> None:
    """Write every table of the study to `results`/tables, and datapackage.json beside them.

    Args:
        config: a canonical config; `dataset` and `validation` are only written down.
        ledger: the claims and the rules that judge them, YAML.
        results: the study's results folder, with its runs.
        allow_missing: leave out promised runs that are not there, and use the others.

    Raises:
        DamagedRunError: a promised run is missing or damaged.
        LedgerError: the ledger is not as it should be.
        DescriptionError: the tables are not as schemas/tables.yaml describes them.
    """
    epochs, confidence = evaluated_epochs(config["training"]), config["confidence"]
    reference = float(config["reference_lambda"])
    claims = read_ledger(ledger)
    promised = {"config": {part: config[part] for part in ("model", "training")}}
    manifest = results / "data.json"
    data = read_json(manifest) if manifest.exists() else {}
    if data:
        promised["data_sha256"] = data["sha256"]
    found = read_runs(
        results,
        config["lambdas"],
        config["seeds"],
        epochs,
        promised=promised,
        measures=names("weights"),
        allow_missing=allow_missing,
    )
    histories = build.histories_table(found)
    runs = with_derived(histories, build.runs_table(found), build.regularised_kernels(found))
    measures = [*RUN_MEASURES, *DERIVED_MEASURES]
    choice = decision_tables.choice_table(runs, reference, confidence)
    tables = {
        "histories": histories,
        "runs": runs,
        "gap": build.gap_table(histories, runs, epochs, confidence),
        "contrasts": build.contrasts_table(runs, reference, confidence),
        "choice": choice,
        "power": decision_tables.power_table(runs, reference, confidence),
        "weight_histogram": build.histogram_table(found),
        "claims": claims_table(claims, histories, runs, choice, epochs, confidence),
        "means": build.means_table(runs, measures, confidence),
        "answer": decision_tables.answer_table(runs, choice, reference, confidence),
    }
    folder, descriptions = results / "tables", datapackage.read_descriptions()
    for name, table in datapackage.with_types(tables).items():
        write_table(table, folder / f"{name}.csv")
        if descriptions[name]["parquet"]:
            fields = descriptions[name]["schema"]["fields"]
            datapackage.write_parquet(table, fields, folder / f"{name}.parquet")
    write_json(folder / "datapackage.json", datapackage.data_package(config, data, folder))


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
    main()

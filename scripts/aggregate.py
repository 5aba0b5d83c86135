"""Turn the runs of a study into its tables: gaps, contrasts, choice of lambda, claims.

Writes to RESULTS/tables: every table as CSV, those of all histories and of all runs as Parquet
too, and datapackage.json, which says of every column what it is, its type and its unit.

Every run that the config promises is checked first. Runs on disk that it does not promise are
ignored. Nothing is written unless all of them are sound, and of this config and these data.

Example:
    python scripts/aggregate.py --config config.yaml --claims reports/claims.yaml \\
        --results results/mnist
"""

import argparse
import sys
from pathlib import Path

from l2study import aggregate, claims, datapackage
from l2study.config import ConfigError, read_config
from l2study.files import read_json, write_json
from l2study.tables import write_table


def write_tables(config: dict, ledger: Path, results: Path, *, allow_missing: bool = False) -> None:
    """Write every table of the study under `results`/tables, and datapackage.json, which says what
    they hold.

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
    epochs, confidence = config["training"]["epochs"], config["confidence"]
    reference = float(config["reference_lambda"])
    judged = claims.read_ledger(ledger)
    promised = {"config": {part: config[part] for part in ("model", "training")}}
    manifest = results / "data.json"
    data = read_json(manifest) if manifest.exists() else {}
    if data:
        promised["data_sha256"] = data["sha256"]
    found = aggregate.read_runs(
        results,
        config["lambdas"],
        config["seeds"],
        epochs,
        promised=promised,
        allow_missing=allow_missing,
    )
    histories, runs = aggregate.histories_table(found), aggregate.runs_table(found)
    kernels = aggregate.regularised_kernels(found)
    tables = {
        "histories": histories,
        "runs": runs,
        "gap": aggregate.gap_table(histories, runs, epochs, confidence),
        "contrasts": aggregate.contrasts_table(runs, reference, confidence),
        "choice": aggregate.choice_table(runs, reference, confidence),
        "power": aggregate.power_table(runs, reference, confidence),
        "weight_histogram": aggregate.histogram_table(found),
        "claims": claims.claims_table(judged, histories, runs, kernels, epochs, confidence),
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
        "--allow-missing", action="store_true", help="use the runs that are there, if some are not"
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
        aggregate.DamagedRunError,
        claims.LedgerError,
        datapackage.DescriptionError,
    ) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

"""Turn the runs of a study into its tables: gaps, contrasts, choice of lambda, claims, set-ups.

This writes to RESULTS/tables. Every table is a CSV file; those of all histories and of all runs
are Parquet files too. datapackage.json says what every column is, and its type and unit.

First, every run that the config promises is checked: it must be complete, and of this config and
these data. If one is not, nothing is written. Other runs in the folder are ignored.

Example:
    python scripts/aggregate.py --config config.yaml --claims reports/claims/exercise.yaml \\
        --results results/mnist
"""

import gc
import sys
from pathlib import Path

from l2study.core.config import ConfigError, read_config
from l2study.core.program import add_config, parser
from l2study.core.runs import DamagedRunError
from l2study.tables.datapackage import DescriptionError
from l2study.tables.ledger import LedgerError
from l2study.tables.study_tables import write_tables


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit with one line for each thing that is wrong."""
    command = parser(__doc__)
    add_config(command)
    command.add_argument("--claims", required=True, type=Path, help="the claims ledger, YAML")
    words = "the study's folder: holds runs/, gets tables/"
    command.add_argument("--results", required=True, type=Path, help=words)
    words = "leave out runs that are missing"
    command.add_argument("--allow-missing", action="store_true", help=words)
    given = command.parse_args(arguments)
    try:
        config = read_config(given.config)
        write_tables(config, given.claims, given.results, allow_missing=given.allow_missing)
    except (ConfigError, DamagedRunError, LedgerError, DescriptionError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    gc.disable()  # what garbage there is fits into memory, and the search for it takes a tenth
    main()

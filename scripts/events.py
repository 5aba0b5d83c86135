"""Write the histories of one lambda's runs as TensorBoard reads them, one event file per run.

Reads history.csv and run.json of the runs and writes to OUTPUT/seed~SEED. Accuracies,
cross-entropies, losses and norms are there by epoch, named as the columns of history.csv. Nothing
is trained. Promised runs that are not there are left out.

Example:
    python scripts/events.py --config config.yaml --l2 1e-4 --results results/mnist \\
        --output results/mnist/tensorboard/l2~0.0001
    tensorboard --logdir results/mnist/tensorboard
"""

import argparse
import sys
from pathlib import Path

from l2study.core.config import ConfigError, read_config
from l2study.core.labels import l2_label
from l2study.core.paths import run_folder
from l2study.core.runs import DamagedRunError, read_run
from l2study.core.variation import run_seeds
from l2study.tables.tensorboard import write_events


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit with one line for each thing that is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config",
        required=True,
        help="YAML or JSON file, or the JSON itself; its seeds and training are used",
    )
    parser.add_argument("--l2", required=True, help="the regularisation coefficient of the runs")
    parser.add_argument(
        "--results", required=True, type=Path, help="the study's folder, which holds runs/"
    )
    parser.add_argument("--output", required=True, type=Path, help="folder to write to")
    options = parser.parse_args(arguments)
    try:
        config, l2 = read_config(options.config), l2_label(options.l2)
        folders = {seed: run_folder(options.results, l2, seed) for seed in run_seeds(config)}
        there = {seed: run for seed, run in folders.items() if (run / "run.json").exists()}
        for seed, folder in there.items():
            write_events(read_run(folder, l2, seed), options.output / f"seed~{seed}")
        if not there:
            sys.exit(f"{options.results}: has none of the runs of lambda {l2}")
    except (ConfigError, DamagedRunError) as error:
        sys.exit(str(error))
    except ValueError as error:
        sys.exit(f"--l2: {error}")


if __name__ == "__main__":
    main()

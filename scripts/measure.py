"""Measure the runs of one lambda from their final weights: sensitivity, calibration, norms.

Reads the prepared data and, of every run, run.json and weights.npz. Writes two files for the
lambda: RESULTS/measures/l2~<l2>.json, and l2~<l2>.predictions.npz beside it, with what every run
predicts for each validation and test image. Runs that these files already have are kept as they
are, unless their weights, the data or this program have changed. Nothing is trained.
"""

import argparse
import sys
from pathlib import Path

from l2study.training import preload


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the command line, checked as far as it can be without loading anything."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python scripts/measure.py --config config.yaml --data "
        "results/mnist/data.json \\\n      --l2 1e-4 --results results/mnist",
    )
    parser.add_argument(
        "--config",
        required=True,
        help="a study's configuration (YAML or JSON file, or the JSON itself); "
        "its keys model, training and seeds are used",
    )
    parser.add_argument("--data", required=True, type=Path, help="data.json of prepare.py")
    parser.add_argument("--l2", required=True, help="the regularisation coefficient, 0 or more")
    parser.add_argument("--threads", type=int, default=1, help="threads to compute with (1)")
    parser.add_argument(
        "--results",
        required=True,
        type=Path,
        help="the study's folder: holds runs/, gets measures/",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Run the program in this process; on bad input, end with one line that says what to change."""
    options = parse_arguments(arguments)
    # Imported late: a job that only asks the preloaded process never needs these.
    from l2study.core.config import read_config
    from l2study.core.design import Setup
    from l2study.core.labels import l2_label
    from l2study.measuring.one_lambda import measure_lambda

    try:
        config, l2 = read_config(options.config), l2_label(options.l2)
        measure_lambda(
            config,
            options.data,
            l2,
            Setup.of(config).seeds,
            options.results,
            options.threads,
        )
    except ValueError as error:
        sys.exit(f"measure.py: {error}")
    except OSError as error:  # above all, a full disk
        sys.exit(f"measure.py: {options.results}: {' '.join(str(error).split())}")


if __name__ == "__main__":
    asked = parse_arguments(sys.argv[1:])
    kind = ["measure", str(asked.data), asked.threads]
    status = preload.request("measure", sys.argv[1:], kind)
    sys.exit(main(sys.argv[1:]) if status is None else status)

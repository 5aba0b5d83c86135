"""Measure the runs of one lambda from their final weights: sensitivity, calibration, norms.

Reads the prepared data and, of every run, run.json and weights.npz. Writes two files for the
lambda: RESULTS/measures/l2~<l2>.json, and l2~<l2>.predictions.npz beside it, with what every run
predicts for each validation and test image. Runs that these files already have are kept as they
are, unless their weights, the data or the code that measures have changed. Nothing is trained.

Example:
    python scripts/measure.py --config config.yaml --data results/mnist/data.json \\
        --l2 1e-4 --results results/mnist
"""

import sys
from argparse import Namespace
from pathlib import Path

from l2study.core.program import add_lambda, faults_in_one_line, parser_of_stage
from l2study.training import preload


def parse_arguments(arguments: list[str]) -> Namespace:
    """Return the command line, checked as far as it can be without loading anything."""
    parser = parser_of_stage(__doc__, "model, training and seeds")
    add_lambda(parser)
    words = "the study's folder: holds runs/, gets measures/"
    parser.add_argument("--results", required=True, type=Path, help=words)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Run the program in this process; on bad input, end with one line that says what to change."""
    options = parse_arguments(arguments)
    # Imported late: a job that only asks the preloaded process never needs these.
    from l2study.core.config import read_config
    from l2study.core.design import Setup
    from l2study.core.labels import l2_label
    from l2study.measuring.one_lambda import measure_lambda

    with faults_in_one_line("measure.py", options.results):
        setup = Setup.of(read_config(options.config))
        l2 = l2_label(options.l2)
        measure_lambda(setup, options.data, l2, options.results, options.threads)


if __name__ == "__main__":
    asked = parse_arguments(sys.argv[1:])
    kind = ["measure", str(asked.data), asked.threads]
    status = preload.request("measure", sys.argv[1:], kind)
    sys.exit(main(sys.argv[1:]) if status is None else status)

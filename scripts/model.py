"""Build the model of a study once, before any run, and refuse one that cannot be studied.

Reads the prepared data and the keys `model` and `training` of the configuration. Writes what the
model is to OUTPUT, as JSON: its layers, the weights that L2 acts on, how it is compiled, and for a
function of your own the text of its files. Nothing is trained.

Example:
    python scripts/model.py --config config.yaml --data results/mnist/data.json --output model.json
"""

import sys
from argparse import Namespace
from pathlib import Path

from l2study.core.program import faults_in_one_line, parser_of_stage
from l2study.training import preload


def parse_arguments(arguments: list[str]) -> Namespace:
    """Return the command line, checked as far as it can be without loading anything."""
    options = parser_of_stage(__doc__, "model and training")
    options.add_argument("--output", required=True, type=Path, help="file to write, model.json")
    return options.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Run the program in this process; on bad input, end with one line that says what to change."""
    options = parse_arguments(arguments)
    # Imported late: a job that only asks the preloaded process never needs these.
    from l2study.core.config import read_config
    from l2study.core.files import write_json
    from l2study.training.backend import configure
    from l2study.training.model_check import checked_model

    with faults_in_one_line("model.py", options.output):
        configure(options.threads)
        found = checked_model(read_config(options.config), options.data)
        write_json(options.output, found)
    print(
        f"{len(found['layers'])} layers, {found['parameters']:,} parameters,"
        f" {len(found['regularised'])} regularised weights; compiled as {found['program']}"
    )


if __name__ == "__main__":
    asked = parse_arguments(sys.argv[1:])
    kind = ["model", asked.config, str(asked.data), asked.threads]
    status = preload.request("model", sys.argv[1:], kind)
    sys.exit(main(sys.argv[1:]) if status is None else status)

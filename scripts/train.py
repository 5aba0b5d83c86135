"""Train one run of the study: one lambda, one seed.

Reads the prepared data and writes four files to the output folder: history.csv, one row per
evaluated epoch with epoch 0 the model before any step; weights.npz, the final weights;
predictions.npz, what was predicted after the epochs of predict_at and after the best one; and
run.json, the record of what ran, where, how long it took and how it ended. A line is printed after
every epoch.

Example:
    python scripts/train.py --config config.yaml --data results/mnist/data.json \\
        --l2 1e-4 --seed 0 --output one-run
"""

import sys
from argparse import Namespace
from pathlib import Path

from l2study.core.program import add_lambda, faults_in_one_line, parser_of_stage
from l2study.training import preload


def parse_arguments(arguments: list[str]) -> Namespace:
    """Return the command line, checked as far as it can be without loading anything."""
    parser = parser_of_stage(__doc__, "model and training")
    add_lambda(parser)
    parser.add_argument("--seed", required=True, type=int, help="the seed of the run, its name")
    words = "the seed of every source that varies, such as weights=3,order=2,split=1 (left out:"
    words += " weights and order have the seed of the run)"
    parser.add_argument("--sources", help=words)
    parser.add_argument("--output", required=True, type=Path, help="folder to write to")
    words = "also leave what runs of so many epochs write, which are the beginning of this one"
    parser.add_argument("--leave", type=int, nargs="+", default=[], metavar="EPOCHS", help=words)
    words = "the folder of a longer run: if that has left this run, it is taken, not trained"
    parser.add_argument("--take-from", type=Path, metavar="RUN", help=words)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Run the program in this process; on bad input, end with one line that says what to change."""
    options = parse_arguments(arguments)
    # Imported late: a job that only asks the preloaded process never needs these.
    from l2study.core.config import read_config
    from l2study.core.labels import l2_label
    from l2study.training.one_run import train

    with faults_in_one_line("train.py", options.output):
        train(
            read_config(options.config),
            options.data,
            l2_label(options.l2),
            options.seed,
            sources_of(options),
            options.output,
            threads=options.threads,
            shorter=options.leave,
        )


def sources_of(options: Namespace) -> dict[str, int]:
    """Return the seed of every source that varies; ValueError for a faulty `--sources`."""
    from l2study.core.seeds import USUAL, read_sources

    if options.sources is None:
        return dict.fromkeys(USUAL, options.seed)
    return read_sources(options.sources)


def take(options: Namespace) -> bool:
    """Take the run that a longer one has left, and return whether there was one."""
    from l2study.core.code import fingerprint
    from l2study.core.config import read_config
    from l2study.core.design import Setup
    from l2study.core.files import read_json
    from l2study.core.labels import l2_label
    from l2study.core.runs import take_left

    try:
        promised = Setup.of(read_config(options.config)).promised | {
            "sources": sources_of(options),
            "data_sha256": read_json(options.data)["sha256"],
            "code": fingerprint("train"),
        }
        l2 = l2_label(options.l2)
    except (OSError, ValueError, KeyError):
        return False  # training says what is wrong
    taken = take_left(options.take_from, options.output, l2, options.seed, promised)
    if taken:
        print(f"taken from the longer run in {options.take_from}, of which it is the beginning")
    return taken


if __name__ == "__main__":
    asked = parse_arguments(sys.argv[1:])
    if asked.take_from and take(asked):
        sys.exit()
    kind = [asked.config, str(asked.data), asked.threads]
    status = preload.request("train", sys.argv[1:], kind)
    sys.exit(main(sys.argv[1:]) if status is None else status)

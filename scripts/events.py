"""Write the histories of one lambda's runs as TensorBoard reads them, one event file per run.

Reads history.csv and run.json of the runs and writes to OUTPUT/seed~SEED. Accuracies,
cross-entropies, losses and norms are there by epoch, named as the columns of history.csv. Nothing
is trained. Promised runs that are not there are left out.

Example:
    python scripts/events.py --config config.yaml --l2 1e-4 --results results/mnist \\
        --output results/mnist/tensorboard/l2~0.0001
    tensorboard --logdir results/mnist/tensorboard
"""

import shutil
import sys
from datetime import datetime
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from l2study.core.columns import ALL_COLUMNS
from l2study.core.config import ConfigError, read_config
from l2study.core.design import Design
from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES, names
from l2study.core.paths import run_folder
from l2study.core.program import add_config, add_lambda, parser
from l2study.core.runs import DamagedRunError, Run, read_run

SECTIONS = {name: MEASURES[name].section for name in names("history")} | {"seconds": "cost"}
"""The section that TensorBoard shows a column of a history in."""


def write_events(run: Run, folder: Path) -> None:
    """Write the event file of a run to `folder`, in place of an earlier one.

    One event per evaluated epoch, whose step is the epoch and whose time is the start of the run
    plus the `seconds` so far. A value is tagged `section/column`, see `SECTIONS`; where the history
    has none, there is none. The lambda and the seed are TensorBoard's hyperparameters of the run.
    """
    time = datetime.fromisoformat(run.record["started"]).timestamp()
    hyperparameters = hparams_pb(
        {"l2": float(run.l2), "seed": run.seed},
        trial_id=f"l2~{run.l2}/seed~{run.seed}",
        start_time_secs=time,
    )
    shutil.rmtree(folder, ignore_errors=True)
    writer = EventFileWriter(str(folder))
    writer.add_event(Event(wall_time=time, summary=hyperparameters))
    for values in run.history:
        row = dict(zip(ALL_COLUMNS, values.tolist(), strict=False))
        there = {column: value for column, value in row.items() if value == value}
        time += there.get("seconds", 0.0)
        scalars = [
            Summary.Value(tag=f"{section}/{column}", simple_value=there[column])
            for column, section in SECTIONS.items()
            if column in there
        ]
        summary = Summary(value=scalars)
        writer.add_event(Event(wall_time=time, step=int(row["epoch"]), summary=summary))
    writer.close()


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit with one line for each thing that is wrong."""
    command = parser(__doc__)
    add_config(command, "; its seeds are used")
    add_lambda(command)
    words = "the study's folder, which holds runs/"
    command.add_argument("--results", required=True, type=Path, help=words)
    command.add_argument("--output", required=True, type=Path, help="folder to write to")
    options = command.parse_args(arguments)
    try:
        seeds = Design.of(read_config(options.config)).base.seeds
        l2 = l2_label(options.l2)
        folders = {seed: run_folder(options.results, l2, seed) for seed in seeds}
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

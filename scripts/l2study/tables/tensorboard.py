"""The history of a run as TensorBoard reads it: an event file, written without TensorFlow."""

import io
from datetime import datetime, timedelta
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from l2study.core.columns import HISTORY_COLUMNS
from l2study.core.files import replacing
from l2study.core.runs import Run

GROUPS = {
    "accuracy": [
        "train_accuracy_running",
        "train_accuracy",
        "val_accuracy",
        "test_accuracy",
    ],
    "cross-entropy": ["train_ce", "val_ce", "test_ce"],
    "loss": ["train_loss_running", "train_loss", "val_loss", "penalty"],
    "weights": ["weight_norm", "weight_max_abs", "spectral_norm"],
    "cost": ["seconds"],
}
"""The columns of a history by the section that TensorBoard shows them in."""


def events(run: Run) -> list[Event]:
    """Return the events of a run, the first of which is the version of the format.

    One event per evaluated epoch, whose step is the epoch and whose time is the start of the run
    plus the `seconds` so far. A value is tagged `section/column`, see `GROUPS`; where the history
    has none, there is none. The lambda and the seed are TensorBoard's hyperparameters of the run.
    """
    started = datetime.fromisoformat(run.record["started"])
    start = started.timestamp()
    hyperparameters = hparams_pb(
        {"l2": float(run.l2), "seed": run.seed},
        trial_id=f"l2~{run.l2}/seed~{run.seed}",
        start_time_secs=start,
    )
    found = [
        Event(wall_time=start, file_version="brain.Event:2"),
        Event(wall_time=start, summary=hyperparameters),
    ]
    passed = timedelta()
    for values in run.history:
        row = dict(zip(HISTORY_COLUMNS, values.tolist(), strict=True))
        there = {column: value for column, value in row.items() if value == value}
        passed += timedelta(seconds=there.get("seconds", 0.0))
        summary = Summary(
            value=[
                Summary.Value(tag=f"{group}/{column}", simple_value=there[column])
                for group, columns in GROUPS.items()
                for column in columns
                if column in there
            ]
        )
        time = (started + passed).timestamp()
        found.append(Event(wall_time=time, step=int(row["epoch"]), summary=summary))
    return found


def write_events(run: Run, folder: Path) -> None:
    """Write the event file of a run to `folder`, whole or not at all, as equal bytes every time."""
    file = io.BytesIO()
    writer = RecordWriter(file)
    found = events(run)
    for event in found:
        writer.write(event.SerializeToString(deterministic=True))
    with replacing(folder / f"events.out.tfevents.{int(found[0].wall_time)}") as unfinished:
        unfinished.write_bytes(file.getvalue())

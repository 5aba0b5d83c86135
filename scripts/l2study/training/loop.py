"""The epochs of a run, and the rows of its history: all that decides the numbers of a run.

This module and those that it imports are what a finished run depends on: a change in one of them
trains every run again. So nothing else belongs here; `one_run` writes files and keeps the record.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from l2study.core.columns import HISTORY_COLUMNS, TRAINING_MODE_COLUMN
from l2study.core.epochs import evaluated_epochs, predicted_epochs
from l2study.core.predictions import BEST, Predicted, part_at
from l2study.data.prepared import Prepared
from l2study.data.streams import source_stream
from l2study.training.engine import Data, Engine, kind
from l2study.training.model import Task, build_model

_OF_EPOCHS = ("epochs", "evaluate_at", "predict_at")
"""Keys of `training` that say what epochs there are, and what is done after which."""

_compiled = {}
"""The engine of the last run in this process, by what its programs depend on."""


class Epoch(NamedTuple):
    """An epoch that is over.

    `running` are the means while the weights changed, None at epoch 0; `evaluation` is empty unless
    the epoch was evaluated. Seconds are wall time.
    """

    number: int
    running: dict[str, float | None]
    evaluation: dict[str, float]
    seconds_train: float
    seconds_evaluate: float


class History:
    """The rows of history.csv of a run of some number of epochs, taken in epoch by epoch.

    `best` is the evaluated epoch with the lowest validation cross-entropy so far. `predictions` are
    those of a completed run that is over, after the epochs that they are kept of and after the
    best one, by the names of `part_at`.
    """

    def __init__(self, l2: str, seed: int, training: Mapping):
        """Begin the history of the run (`l2`, `seed`) with a configuration's part `training`."""
        self.epochs = training["epochs"]
        self.evaluated = set(evaluated_epochs(training))
        self.diverged_epoch: int | None = None
        self.best: int | None = None
        self.predictions: dict[str, Predicted] = {}
        self.columns = list(HISTORY_COLUMNS)
        self.rows: list[list] = []
        self._predicted, self._lowest = predicted_epochs(training), np.inf
        self._about, self._since_row = {"l2": l2, "seed": seed}, 0.0

    def take(self, epoch: Epoch) -> None:
        """Take in the next epoch; the first one with a number that is not finite ends the run."""
        values = epoch.running | (epoch.evaluation if epoch.number in self.evaluated else {})
        self._since_row += epoch.seconds_train + epoch.seconds_evaluate
        if not np.isfinite([value for value in values.values() if value is not None]).all():
            self.diverged_epoch = epoch.number
        elif epoch.number in self.evaluated:
            values |= self._about | {"epoch": epoch.number, "seconds": round(self._since_row, 6)}
            if TRAINING_MODE_COLUMN in values:
                self.columns = [*HISTORY_COLUMNS, TRAINING_MODE_COLUMN]
            self.rows.append([values[column] for column in self.columns])
            self._since_row = 0.0
            if values["val_ce"] < self._lowest:
                self.best, self._lowest = epoch.number, values["val_ce"]

    @property
    def kept(self) -> dict[int | str, int]:
        """The epochs so far that predictions are kept of, by what these are called after."""
        if self.diverged_epoch is not None:
            return {}
        over = {row[self.columns.index("epoch")] for row in self.rows}
        return {epoch: epoch for epoch in sorted(self._predicted & over)} | {BEST: self.best}

    def has_ended(self, epoch: int) -> bool:
        """Return whether the run is over after `epoch`."""
        return self.diverged_epoch is not None or epoch >= self.epochs


def engine_of(
    config: Mapping,
    data: Prepared,
    l2: str,
    sources: Mapping[str, int],
    function: Callable | None = None,
) -> Engine:
    """Return an engine with a freshly built model, compiled before if the last run was alike.

    Args:
        config: a canonical configuration; `model` and `training` are read.
        data: that it trains on.
        l2: the label of the coefficient.
        sources: the seed of every source that varies.
        function: that builds a model of the user's own; None for the built-in network.
    """
    task = Task(config["model"], config["training"], data.shape, data.classes, function)
    model = build_model(task, float(l2), sources)
    # How many epochs there are, and which are evaluated, is no part of the programs; nor is which
    # rows the data have.
    training = {k: v for k, v in config["training"].items() if k not in _OF_EPOCHS}
    key = json.dumps([config["model"], training, kind(data)])
    on_device = Data(data.images, data.labels, data.scale)
    if key in _compiled:
        _compiled[key].restart(model, on_device)
    else:
        batch_size, program = training["batch_size"], training.get("program")
        engine = Engine(model, on_device, data.parts, batch_size, program)
        _compiled.clear()
        _compiled[key] = engine
    return _compiled[key]


def train(
    engine: Engine, data: Prepared, sources: Mapping[str, int], histories: Sequence[History]
) -> Iterator[Epoch]:
    """Train epoch by epoch, and yield each once the histories have taken it in.

    An epoch is evaluated if one of the histories wants it.

    Args:
        engine: at the start of the run, from `engine_of`.
        data: that it trains on.
        sources: the seed of every source that varies.
        histories: of the run, which ends where its history does, and after it those of the shorter
            runs that are its beginning.
    """
    names = ("train_loss_running", "train_accuracy_running")
    weights: dict[int, list[np.ndarray]] = {}
    for number in range(histories[0].epochs + 1):
        begun = time.perf_counter()
        means = (None, None)
        if number > 0:
            order = source_stream("order", sources, number).permutation(data.parts["train"])
            means = engine.train_epoch(order)
        trained = time.perf_counter()
        wanted = any(number in history.evaluated for history in histories)
        epoch = Epoch(
            number=number,
            running=dict(zip(names, means, strict=True)),
            evaluation=engine.evaluate() if wanted else {},
            seconds_train=trained - begun,
            seconds_evaluate=time.perf_counter() - trained,
        )
        going_on = [history for history in histories if not history.has_ended(number - 1)]
        for history in going_on:
            history.take(epoch)
        kept = {epoch for history in going_on for epoch in history.kept.values()}
        weights = {epoch: own for epoch, own in weights.items() if epoch in kept}
        if number in kept:
            weights[number] = engine.weights()
        for history in going_on:
            if history.has_ended(number):
                history.predictions = _predictions(engine, history.kept, weights)
        yield epoch
        if histories[0].has_ended(number):
            return


def _predictions(
    engine: Engine, kept: Mapping[int | str, int], weights: Mapping[int, list[np.ndarray]]
) -> dict[str, Predicted]:
    """Return what is predicted with the weights of the epochs in `kept`, see `History.kept`."""
    of_epoch = {epoch: engine.predictions(weights[epoch]) for epoch in set(kept.values())}
    return {
        part_at(part, name): predicted
        for name, epoch in kept.items()
        for part, predicted in of_epoch[epoch].items()
    }

"""What a step of training and an evaluation take, timed for the plan of a study of a slow model."""

from l2study.training.backend import configure  # isort: skip  # sets what NumPy reads

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from l2study.data import prepared
from l2study.data.streams import source_stream
from l2study.training.engine import Data, Engine
from l2study.training.model import Task, build_model
from l2study.training.one_run import function_of

_STEPS = 4
"""How many batches are timed, and how many rows of each part are evaluated in batches of 100."""


def step_times(config: Mapping, manifest: Path, sources: Mapping[str, int]) -> dict[str, float]:
    """Return what a run of a configuration takes, by a few steps of its own on one thread.

    The keys: `train`, seconds of training by row and epoch; `evaluate`, seconds of one evaluation
    of all rows; `size`, bytes of the weights; and `rows`, how many the run is trained on. Compiling
    does not count. `sources` has the seed of every source that varies.
    """
    configure(1)
    data = prepared.load(manifest, sources)
    training = config["training"]
    function = function_of(config["model"])
    task = Task(config["model"], training, data.shape, data.classes, function)
    model = build_model(task, 0.0, sources)
    few = {
        name: range(rows.start, min(rows.start + 100 * _STEPS, rows.stop))
        for name, rows in data.parts.items()
    }
    batch = training["batch_size"]
    on_device = Data(data.images, data.labels, data.scale)
    engine = Engine(model, on_device, few, batch, training.get("program"))
    order = source_stream("order", sources, 1).permutation(data.parts["train"])[: _STEPS * batch]
    evaluated, all_rows = (sum(map(len, parts.values())) for parts in (few, data.parts))
    return {
        "train": _seconds(lambda: engine.train_epoch(order)) / len(order),
        "evaluate": _seconds(engine.evaluate) / evaluated * all_rows,
        "size": sum(weight.numpy().nbytes for weight in model.weights),
        "rows": len(data.parts["train"]),
    }


def _seconds(call: Callable) -> float:
    """Return the median of three calls of a function, after one that compiles."""
    taken = []
    for _ in range(4):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])

"""Train one run and write its files."""

import contextlib
import json
import platform
import resource
import time
from datetime import UTC, datetime
from pathlib import Path

from l2study.training.backend import configure, keras, tf  # isort: skip  # sets what NumPy reads

import numpy as np

from l2study.core import runs
from l2study.core.epochs import evaluated_epochs
from l2study.data import prepared
from l2study.data.streams import stream
from l2study.training.engine import Data, Engine
from l2study.training.model import build_model, regularized_kernels

_PRINTED = ["train_ce", "val_ce", "train_accuracy", "val_accuracy", "penalty", "weight_norm"]
_PRINTED_WITHOUT_EVALUATION = ["train_loss_running", "train_accuracy_running"]

_compiled = {}
"""The engine of the last run in this process, by what its programs depend on."""


def train(config: dict, data_path: Path, l2: str, seed: int, threads: int, output: Path) -> None:
    """Train the run (`l2`, `seed`) of `config` and write its files to the folder `output`.

    A line is printed after every epoch, and every evaluated epoch is a row of the history. A run
    whose loss is not finite, be it the running loss or an evaluated one, ends there. It keeps the
    rows before, and its record says that it diverged.

    Args:
        config: a canonical configuration; only `model` and `training` are read.
        data_path: the manifest of the prepared data.
        l2: the label of the coefficient.
        seed: fixes the initial weights and the order of the batches.
        threads: threads to compute with.
        output: the folder of the run.

    Raises:
        DataError: the prepared data are not as their manifest says.
        OSError: a file cannot be written.
    """
    started, clock, used = datetime.now(UTC), time.perf_counter(), time.process_time()
    _forget_peak_memory()
    configure(threads)
    data = prepared.load(data_path)
    engine = _engine(config, data, l2, seed)
    epochs, seconds = config["training"]["epochs"], {"train": 0.0, "evaluate": 0.0}
    seconds["setup"] = time.perf_counter() - clock

    evaluated, since_row = set(evaluated_epochs(config["training"])), 0.0
    history, diverged_epoch = [], None
    for epoch in range(epochs + 1):
        begun = time.perf_counter()
        running = (None, None)
        if epoch > 0:
            order = stream("batch order", seed, epoch).permutation(data.parts["train"])
            running = engine.train_epoch(order)
        trained = time.perf_counter()
        row = {
            "l2": l2,
            "seed": seed,
            "epoch": epoch,
            "train_loss_running": running[0],
            "train_accuracy_running": running[1],
        }
        if epoch in evaluated:
            row |= engine.evaluate()
        ended = time.perf_counter()
        seconds["train"] += trained - begun
        seconds["evaluate"] += ended - trained
        since_row += ended - begun
        if not np.isfinite([value for value in row.values() if isinstance(value, float)]).all():
            diverged_epoch = epoch
            print(f"epoch {epoch}: diverged, the loss is not finite", flush=True)
            break
        if epoch in evaluated:
            history.append(row | {"seconds": round(since_row, 6)})
            since_row = 0.0
        names = _PRINTED if epoch in evaluated else _PRINTED_WITHOUT_EVALUATION
        printed = ", ".join(f"{name} {row[name]:.4f}" for name in names)
        print(f"epoch {epoch}/{epochs}: {printed}", flush=True)

    seconds["total"] = time.perf_counter() - clock
    record = {
        "l2": l2,
        "seed": seed,
        "status": "completed" if diverged_epoch is None else "diverged",
        "diverged_epoch": diverged_epoch,
        "config": {"model": config["model"], "training": config["training"]},
        "data_sha256": data.sha256,
        "regularised_kernels": [list(kernel.shape) for kernel in regularized_kernels(engine.model)],
        "cost": {
            **{f"seconds_{phase}": round(value, 3) for phase, value in seconds.items()},
            "cpu_seconds": round(time.process_time() - used, 3),
            "peak_memory_mb": round(_peak_memory(), 1),
        },
        "environment": {
            "hostname": platform.node(),
            "cpu": _cpu(),
            "devices": [device.name for device in tf.config.list_physical_devices()],
            "threads": threads,
            "platform": platform.platform(),
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    weights = {weight.path: weight.numpy() for weight in engine.model.weights}
    runs.write_run(output, history, weights, record)


def _engine(config: dict, data: prepared.Prepared, l2: str, seed: int) -> Engine:
    """Return an engine with a freshly built model, compiled before if the last run was alike."""
    model = build_model(
        config["model"], config["training"], float(l2), seed, data.shape, data.classes
    )
    key = json.dumps([config["model"], config["training"], data.sha256])
    if key in _compiled:
        _compiled[key].restart(model)
    else:
        on_device = Data(data.images, data.labels, data.scale)
        engine = Engine(model, on_device, data.parts, config["training"]["batch_size"])
        _compiled.clear()
        _compiled[key] = engine
    return _compiled[key]


def _forget_peak_memory() -> None:
    """Let the peak of this process begin now, where the system can: a run before it had its own."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> float:
    """Return the largest resident memory of this process, in MB of 2**20 bytes."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu() -> str:
    """Return the processor's model name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()

"""Train one run and write its files."""

import contextlib
import json
import platform
import resource
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from l2study.training.backend import configure, keras, tf  # isort: skip  # sets what NumPy reads

import numpy as np

from l2study.core import runs
from l2study.core.code import fingerprint
from l2study.core.epochs import evaluated_epochs
from l2study.core.paths import left_folder
from l2study.core.variation import USUAL
from l2study.data import prepared
from l2study.data.streams import source_seed, source_stream
from l2study.training.engine import Data, Engine, kind
from l2study.training.model import build_model, regularized_kernels

_PRINTED = ["train_ce", "val_ce", "train_accuracy", "val_accuracy", "penalty", "weight_norm"]
_PRINTED_WITHOUT_EVALUATION = ["train_loss_running", "train_accuracy_running"]

_compiled = {}
"""The engine of the last run in this process, by what its programs depend on."""


def train(
    config: dict,
    data_path: Path,
    l2: str,
    seed: int,
    threads: int,
    output: Path,
    program: Path,
    shorter: Sequence[int] = (),
    sources: Mapping[str, int] | None = None,
) -> None:
    """Train the run (`l2`, `seed`) of `config` and write its files to the folder `output`.

    A line is printed after every epoch, and every evaluated epoch is a row of the history. A run
    whose loss is not finite, be it the running loss or an evaluated one, ends there. It keeps the
    rows before, and its record says that it diverged.

    Args:
        config: a canonical configuration; only `model` and `training` are read.
        data_path: the manifest of the prepared data.
        l2: the label of the coefficient.
        seed: of the run, by which it is known.
        threads: threads to compute with.
        output: the folder of the run.
        program: the script that trains, whose code the record names.
        shorter: numbers of epochs, fewer than those of `config`. What runs of so many epochs write
            is written too, to `left_folder`: they are the beginning of this run.
        sources: the seed of every source that varies, of `l2study.core.variation.SOURCES`. Left
            out, initial weights and batch order have the seed of the run.

    Raises:
        DataError: the prepared data are not as their manifest says, or not for these sources.
        OSError: a file cannot be written.
    """
    started, clock, used = datetime.now(UTC), time.perf_counter(), time.process_time()
    _forget_peak_memory()
    configure(threads)
    sources = dict.fromkeys(USUAL, seed) if sources is None else dict(sources)
    data = prepared.load(data_path, sources)
    engine = _engine(config, data, l2, source_seed("weights", sources))
    epochs, seconds = config["training"]["epochs"], {"train": 0.0, "evaluate": 0.0}
    seconds["setup"] = time.perf_counter() - clock
    own = _Recorder(config, l2, seed, output)
    recorders = [own]
    for last in shorter:
        changed = config | {"training": config["training"] | {"epochs": last}}
        recorders.append(_Recorder(changed, l2, seed, left_folder(output, last)))

    for epoch in range(epochs + 1):
        begun = time.perf_counter()
        running = (None, None)
        if epoch > 0:
            order = source_stream("order", sources, epoch).permutation(data.parts["train"])
            running = engine.train_epoch(order)
        trained = time.perf_counter()
        values = dict(zip(("train_loss_running", "train_accuracy_running"), running, strict=True))
        evaluation = {}
        if any(epoch in recorder.evaluated for recorder in recorders):
            evaluation = engine.evaluate()
        ended = time.perf_counter()
        seconds["train"] += trained - begun
        seconds["evaluate"] += ended - trained
        for recorder in recorders:
            recorder.take(epoch, values, evaluation, ended - begun)
        if own.diverged_epoch is not None:
            print(f"epoch {epoch}: diverged, the loss is not finite", flush=True)
        else:
            row = values | evaluation
            names = _PRINTED if evaluation else _PRINTED_WITHOUT_EVALUATION
            printed = ", ".join(f"{name} {row[name]:.4f}" for name in names)
            print(f"epoch {epoch}/{epochs}: {printed}", flush=True)
        for recorder in [recorder for recorder in recorders if recorder.ended(epoch)]:
            seconds["total"] = time.perf_counter() - clock
            cost = {
                **{f"seconds_{phase}": round(value, 3) for phase, value in seconds.items()},
                "cpu_seconds": round(time.process_time() - used, 3),
                "peak_memory_mb": round(_peak_memory(), 1),
            }
            about = {
                "sources": sources,
                "data_sha256": data.sha256,
                "regularised_kernels": [list(k.shape) for k in regularized_kernels(engine.model)],
                "cost": cost,
                "environment": _environment(threads),
                "code": fingerprint(program),
                "started": started.isoformat(timespec="seconds"),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            recorder.write({weight.path: weight.numpy() for weight in engine.model.weights}, about)
            recorders.remove(recorder)
        if own not in recorders:
            break


class _Recorder:
    """What a run of some number of epochs writes, taken in epoch by epoch."""

    def __init__(self, config: dict, l2: str, seed: int, folder: Path):
        """Record the run (`l2`, `seed`) of `config` for `folder`."""
        self.config, self.l2, self.seed, self.folder = config, l2, seed, folder
        self.evaluated = set(evaluated_epochs(config["training"]))
        self.diverged_epoch: int | None = None
        self._history, self._since_row = [], 0.0

    def take(self, epoch: int, running: dict, evaluation: dict, seconds: float) -> None:
        """Take in an epoch: its running means, the evaluation after it if any, and its seconds."""
        row = running | (evaluation if epoch in self.evaluated else {})
        self._since_row += seconds
        if not np.isfinite([value for value in row.values() if value is not None]).all():
            self.diverged_epoch = epoch
        elif epoch in self.evaluated:
            about = {"l2": self.l2, "seed": self.seed, "epoch": epoch}
            self._history.append(about | row | {"seconds": round(self._since_row, 6)})
            self._since_row = 0.0

    def ended(self, epoch: int) -> bool:
        """Return whether the run is over after `epoch`."""
        return self.diverged_epoch is not None or epoch == self.config["training"]["epochs"]

    def write(self, weights: dict[str, np.ndarray], about: dict) -> None:
        """Write the files of the run: its history, the final weights, and a record with `about`."""
        record = {
            "l2": self.l2,
            "seed": self.seed,
            "status": "completed" if self.diverged_epoch is None else "diverged",
            "diverged_epoch": self.diverged_epoch,
            "config": {part: self.config[part] for part in ("model", "training")},
        }
        runs.write_run(self.folder, self._history, weights, record | about)


def _environment(threads: int) -> dict:
    return {
        "hostname": platform.node(),
        "cpu": _cpu(),
        "devices": [device.name for device in tf.config.list_physical_devices()],
        "threads": threads,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def _engine(config: dict, data: prepared.Prepared, l2: str, seed: int) -> Engine:
    """Return an engine with a freshly built model, compiled before if the last run was alike."""
    model = build_model(
        config["model"], config["training"], float(l2), seed, data.shape, data.classes
    )
    # How many epochs there are, and which are evaluated, is no part of the programs; nor is which
    # rows the data have.
    training = {k: v for k, v in config["training"].items() if k not in ("epochs", "evaluate_at")}
    key = json.dumps([config["model"], training, kind(data)])
    on_device = Data(data.images, data.labels, data.scale)
    if key in _compiled:
        _compiled[key].restart(model, on_device)
    else:
        engine = Engine(model, on_device, data.parts, training["batch_size"])
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

"""Train one run, print its epochs, and write its files with a record of what it was and took."""

from l2study.training.backend import configure, keras, tf  # isort: skip  # sets what NumPy reads

import contextlib
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from l2study.core import user_code
from l2study.core.code import fingerprint
from l2study.core.paths import left_folder
from l2study.core.runs import write_run
from l2study.data import prepared
from l2study.training import loop
from l2study.training.model import regularized_kernels

_PRINTED = ["train_ce", "val_ce", "train_accuracy", "val_accuracy", "penalty", "weight_norm"]


def train(
    config: Mapping,
    data_path: Path,
    l2: str,
    seed: int,
    sources: Mapping[str, int],
    output: Path,
    *,
    threads: int = 1,
    shorter: Sequence[int] = (),
) -> None:
    """Train the run (`l2`, `seed`) of `config` and write its files to the folder `output`.

    A run whose loss is not finite, be it the running loss or an evaluated one, ends there. It keeps
    the rows of its history before, and its record says that it diverged.

    Args:
        config: a canonical configuration; only `model` and `training` are read.
        data_path: the manifest of the prepared data.
        l2: the label of the coefficient.
        seed: of the run, by which it is known.
        sources: the seed of every source that varies.
        output: the folder of the run.
        threads: threads to compute with.
        shorter: numbers of epochs, fewer than those of `config`. What runs of so many epochs write
            is written too, to `left_folder`: they are the beginning of this run.

    Raises:
        DataError: the prepared data are not as their manifest says, or not for these sources.
        OSError: a file cannot be written.
    """
    started, clock, used = datetime.now(UTC), time.perf_counter(), time.process_time()
    _forget_peak_memory()
    configure(threads)
    data = prepared.load(data_path, sources)
    engine = loop.engine_of(config, data, l2, sources, function_of(config["model"]))
    seconds = {"startup": time.perf_counter() - clock, "train": 0.0, "evaluate": 0.0}
    about = {
        "sources": dict(sources),
        "data_sha256": data.sha256,
        "regularised_kernels": [list(kernel.shape) for kernel in regularized_kernels(engine.model)],
        "program": engine.program,
        "environment": _environment(threads),
        "code": fingerprint("train"),
        "started": started.isoformat(timespec="seconds"),
    }
    runs = {}
    for epochs in (config["training"]["epochs"], *shorter):
        training = config["training"] | {"epochs": epochs}
        runs[loop.History(l2, seed, training)] = {"model": config["model"], "training": training}
    own = next(iter(runs))

    for epoch in loop.train(engine, data, sources, list(runs)):
        _print(epoch, own)
        seconds["train"] += epoch.seconds_train
        seconds["evaluate"] += epoch.seconds_evaluate
        for history in [one for one in runs if one.has_ended(epoch.number)]:
            seconds["total"] = time.perf_counter() - clock
            cost = {
                **{f"seconds_{phase}": round(value, 3) for phase, value in seconds.items()},
                "cpu_seconds": round(time.process_time() - used, 3),
                "peak_memory_mb": round(_peak_memory(), 1),
            }
            record = {
                "l2": l2,
                "seed": seed,
                "status": "completed" if history.diverged_epoch is None else "diverged",
                "diverged_epoch": history.diverged_epoch,
                "config": runs.pop(history),
                **about,
                "cost": cost,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            folder = output if history is own else left_folder(output, history.epochs)
            weights = {weight.path: weight.numpy() for weight in engine.model.weights}
            write_run(folder, history.columns, history.rows, weights, history.predictions, record)


def function_of(model: Mapping) -> Callable | None:
    """Return the user's function that builds the model of a configuration's part `model`, if any.

    Raises:
        UserCodeError: it cannot be loaded, or has been changed since the study began.
    """
    if "build" not in model:
        return None
    if user_code.fingerprint(model["build"]) != model["code"]:
        raise user_code.UserCodeError(
            f"model.build: {model['build']} changed after the study began; start it again"
        )
    return user_code.load(model["build"])


def _print(epoch: loop.Epoch, own: loop.History) -> None:
    """Print a line on an epoch of the run with the history `own`."""
    if own.diverged_epoch is not None:
        print(f"epoch {epoch.number}: diverged, the loss is not finite", flush=True)
        return
    values = epoch.running | epoch.evaluation
    names = _PRINTED if epoch.evaluation else epoch.running
    printed = ", ".join(f"{name} {values[name]:.4f}" for name in names)
    print(f"epoch {epoch.number}/{own.epochs}: {printed}", flush=True)


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

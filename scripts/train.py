"""Train one run of the study: one lambda, one seed.

Reads the prepared data and writes three files to the output folder: history.csv, one row per epoch
with epoch 0 the model before any step; weights.npz, the final weights by name, in the order that
`model.set_weights` takes; and run.json, what ran, where, how long, how it ended, and what was
measured with the final weights. Every epoch is printed as it passes.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from l2study import warm


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the command line, checked as far as it can be without loading anything."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python scripts/train.py --config config.yaml --data "
        "results/mnist/data.json \\\n      --l2 1e-4 --seed 0 --output one-run",
    )
    parser.add_argument(
        "--config",
        required=True,
        help="a study's configuration (YAML or JSON file, or the JSON itself); "
        "its keys model and training are used",
    )
    parser.add_argument("--data", required=True, type=Path, help="data.json of prepare.py")
    parser.add_argument("--l2", required=True, help="the regularisation coefficient, 0 or more")
    parser.add_argument("--seed", required=True, type=int, help="fixes weights and batch order")
    parser.add_argument("--threads", type=int, default=1, help="threads to compute with (1)")
    parser.add_argument("--output", required=True, type=Path, help="folder to write to")
    return parser.parse_args(arguments)


def train(config: dict, data_path: Path, l2: str, seed: int, threads: int, output: Path) -> None:
    """Train the run (`l2`, `seed`) of `config` and write its files to the folder `output`.

    Args:
        config: a canonical configuration; only `model` and `training` are read.
        data_path: the manifest of the prepared data.
        l2: the label of the coefficient.

    Raises:
        DataError: the prepared data are not as their manifest says.
    """
    started, clock, used = datetime.now(UTC), time.perf_counter(), time.process_time()
    _forget_peak_memory()
    # First: it sets what NumPy reads when it is imported.
    from l2study.backend import configure, keras, tf  # isort: skip

    import numpy as np

    from l2study import files, prepared
    from l2study.columns import HISTORY_COLUMNS
    from l2study.engine import Data, Engine
    from l2study.measures import FinalMeasures, lit_inputs, weight_histogram
    from l2study.model import build_model, regularized_kernels
    from l2study.streams import stream

    configure(threads)
    data = prepared.load(data_path)
    model = build_model(
        config["model"],
        config["training"],
        float(l2),
        seed,
        data.shape,
        data.classes,
    )
    parts = {"train": data.train, "val": data.validation, "test": data.test}
    parts = {name: range(rows.start, rows.stop) for name, rows in parts.items()}
    same = json.dumps([config["model"], config["training"], data.sha256])
    if same in _COMPILED:
        engine, final_measures = _COMPILED[same]
        engine.restart(model)
    else:
        device_data = Data(data.images, data.labels, data.scale)
        engine = Engine(model, device_data, parts, config["training"]["batch_size"])
        lit = lit_inputs(data.images[data.train])
        final_measures = FinalMeasures(model, device_data, data.labels, parts, lit)
        _COMPILED.clear()
        _COMPILED[same] = engine, final_measures
    model = engine.model
    seconds = {"setup": time.perf_counter() - clock, "train": 0.0, "evaluate": 0.0}

    history, diverged_epoch = [], None
    for epoch in range(config["training"]["epochs"] + 1):
        epoch_started = time.perf_counter()
        running = (None, None)
        if epoch > 0:
            order = stream("batch order", seed, epoch).permutation(parts["train"])
            running = engine.train_epoch(order)
        trained = time.perf_counter()
        row = {
            "l2": l2,
            "seed": seed,
            "epoch": epoch,
            "train_loss_running": running[0],
            "train_accuracy_running": running[1],
            **engine.evaluate(),
        }
        evaluated = time.perf_counter()
        seconds["train"] += trained - epoch_started
        seconds["evaluate"] += evaluated - trained
        row["seconds"] = round(evaluated - epoch_started, 6)
        numbers = [value for value in row.values() if isinstance(value, float)]
        if not np.isfinite(numbers).all():
            diverged_epoch = epoch
            print(f"epoch {epoch}: diverged, the loss is not finite", flush=True)
            break
        history.append(row)
        print(
            f"epoch {epoch}/{config['training']['epochs']}: "
            + ", ".join(f"{name} {row[name]:.4f}" for name in _PRINTED),
            flush=True,
        )

    measuring = time.perf_counter()
    measures = {}
    if diverged_epoch is None:
        measures = final_measures.measure()
    seconds["measures"] = time.perf_counter() - measuring
    histogram = weight_histogram(model)

    # Not as HDF5, which ends the process on a full disk, or says nothing.
    with files.replacing(output / "weights.npz") as unfinished:
        np.savez(unfinished, **{weight.path: weight.numpy() for weight in model.weights})
    lines = [",".join(HISTORY_COLUMNS)]
    lines += [",".join(_cell(row[column]) for column in HISTORY_COLUMNS) for row in history]
    files.write_text(output / "history.csv", "\n".join(lines) + "\n")
    seconds["total"] = time.perf_counter() - clock
    files.write_json(
        output / "run.json",
        {
            "l2": l2,
            "seed": seed,
            "status": "completed" if diverged_epoch is None else "diverged",
            "diverged_epoch": diverged_epoch,
            "config": {"model": config["model"], "training": config["training"]},
            "data_sha256": data.sha256,
            "regularised_kernels": [list(kernel.shape) for kernel in regularized_kernels(model)],
            "measures": measures,
            "weight_histogram": histogram,
            "cost": {
                **{f"seconds_{phase}": round(value, 3) for phase, value in seconds.items()},
                "cpu_seconds": round(time.process_time() - used, 3),
                "peak_memory_mb": round(_peak_memory(), 1),
            },
            "environment": {
                "hostname": platform.node(),
                "cpu": _cpu(),
                "devices": [d.name for d in tf.config.list_physical_devices()],
                "threads": threads,
                "platform": platform.platform(),
                "python": platform.python_version(),
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "numpy": np.__version__,
            },
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


_COMPILED = {}
"""The programs of the last run in this process, by what they depend on."""

_PRINTED = ["train_ce", "val_ce", "train_accuracy", "val_accuracy", "penalty", "weight_norm"]


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _forget_peak_memory() -> None:
    """Let the peak of this process begin now, where the system can: a run before it had its own."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> float:
    """Return the largest resident memory of this process, MB of 2**20 bytes."""
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


def main(arguments: list[str]) -> None:
    """Run the program in this process; on bad input, end with one line that says what to change."""
    options = parse_arguments(arguments)
    # Not above: where a warm process runs this, the job that asks for it does not wait for these.
    from l2study.config import read_config
    from l2study.labels import l2_label

    try:
        config, l2 = read_config(options.config), l2_label(options.l2)
        train(config, options.data, l2, options.seed, options.threads, options.output)
    except ValueError as error:
        sys.exit(f"train.py: {error}")
    except OSError as error:  # a full disk above all
        sys.exit(f"train.py: {options.output}: {' '.join(str(error).split())}")
    except Exception as error:
        cached = os.environ.get("TF_XLA_FLAGS")
        if not cached or not type(error).__module__.startswith("tensorflow"):
            raise
        # A damaged file in the cache of compiled programs ends the first call of its program.
        from l2study.backend import compile_cache

        print(f"once more, without the cache of compiled programs: {error}", flush=True)
        shutil.rmtree(compile_cache(), ignore_errors=True)
        os.environ["TF_XLA_FLAGS"] = ""
        os.environ.pop(warm.ADDRESS, None)
        os.execv(sys.executable, [sys.executable, __file__, *arguments])


if __name__ == "__main__":
    asked = parse_arguments(sys.argv[1:])
    status = warm.request(sys.argv[1:], kind=[asked.config, str(asked.data), asked.threads])
    sys.exit(main(sys.argv[1:]) if status is None else status)

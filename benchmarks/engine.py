"""Seconds per training epoch of the engine, of `model.fit`, and of `model.fit` at its best.

784-128-10 on 54,000 images, Adam, one thread, the same Keras model; the three take turns in one
process, and every figure is the median of the counted turns. The floor is the arithmetic of an
epoch (forward, weight gradients and the one input gradient that is needed) at the speed of a large
single-precision matrix product, the faster of NumPy's and TensorFlow's.

    python benchmarks/engine.py [--turns 5] [--batches 32 128 200]
"""

import argparse
import os
import time
from statistics import median

# NumPy's product is to be of one thread too, and reads this when it is first imported.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from common import mnist, report

from l2study.training.backend import configure, keras, tf
from l2study.training.engine import Data, Engine
from l2study.training.model import Task, build_model

ROWS, L2 = 54_000, 1e-3
LAYERS = [(784, 128), (128, 10)]


def timed(function) -> float:
    """Return the wall seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def sgemm_flops() -> float:
    """Return single-precision operations per second of a matrix product of 2048 x 2048."""
    n = 2048
    a = np.random.default_rng(0).normal(size=(n, n)).astype(np.float32)
    tensor = tf.constant(a)
    seconds = [timed(lambda: a @ a) for _ in range(7)]
    seconds += [timed(lambda: tf.linalg.matmul(tensor, tensor).numpy()) for _ in range(7)]
    return 2 * n**3 / min(seconds)


def epoch_flops() -> int:
    """Return the operations of one epoch: two products per layer, and one for the inner input."""
    forward_and_weights = sum(2 * 2 * a * b for a, b in LAYERS)
    inputs = sum(2 * a * b for a, b in LAYERS[1:])
    return ROWS * (forward_and_weights + inputs)


def contenders(batch: int) -> dict:
    """Return by name a function that trains one epoch."""
    x_train, y_train, _, _ = mnist()
    images, labels = x_train[:ROWS], y_train[:ROWS].astype(np.int32)
    x, random = (images / 255).astype(np.float32), np.random.default_rng(0)
    architecture = {"hidden_units": [128], "activation": "relu", "regularize_output": False}
    training = {"optimizer": "adam", "learning_rate": 0.001}

    def model() -> keras.Model:
        return build_model(Task(architecture, training, (28, 28), 10), L2, {})

    engine = Engine(model(), Data(images, labels, 1 / 255), {"train": range(ROWS)}, batch)
    plain, best = model(), model()
    best.compile(
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=100,
        jit_compile=True,
    )

    def fit(model: keras.Model):
        return lambda: model.fit(x, labels, batch_size=batch, epochs=1, verbose=0)

    return {
        "engine": lambda: engine.train_epoch(random.permutation(ROWS)),
        "fit": fit(plain),
        "fit, steps_per_execution=100, jit_compile=True": fit(best),
    }


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5, help="counted turns, after one that is not")
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128, 200])
    options = parser.parse_args()
    configure(threads=1)
    rows = []
    for batch in options.batches:
        runners = contenders(batch)
        seconds = {name: [] for name in runners}
        speeds = []
        for turn in range(options.turns + 1):
            speeds.append(sgemm_flops())
            for name, run in runners.items():
                taken = timed(run)
                if turn:
                    seconds[name].append(taken)
        medians = {name: median(values) for name, values in seconds.items()}
        floor = epoch_flops() / median(speeds)
        rows.append(
            {
                "batch": batch,
                "seconds_per_epoch": {name: round(value, 3) for name, value in medians.items()},
                "range": {
                    name: [round(min(values), 3), round(max(values), 3)]
                    for name, values in seconds.items()
                },
                "times_faster_than_fit": round(medians["fit"] / medians["engine"], 2),
                "times_faster_than_fit_at_its_best": round(
                    list(medians.values())[2] / medians["engine"], 2
                ),
                "floor_seconds": round(floor, 3),
                "share_of_floor": round(floor / medians["engine"], 3),
            }
        )
    report("engine", {"turns": options.turns, "threads": 1, "epochs": rows})


if __name__ == "__main__":
    main()

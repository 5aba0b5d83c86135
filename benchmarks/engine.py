"""Seconds per training epoch of the engine, of `model.fit`, and of `model.fit` at its best.

Several kinds of model, Adam, one thread. The engine, `fit` as it is and `fit` with the fastest of
four settings (`jit_compile`, `steps_per_execution`), found in the first turn, take turns in one
process. Every figure is the median of the counted turns. The floor is the arithmetic of an epoch at
the speed of a large single-precision matrix product, the faster of NumPy's and TensorFlow's. Of the
784-128-10 network, the arithmetic is that of forward, weight gradients and the one input gradient
that is needed; of the others three times that of forward, as TensorFlow counts it.

    python benchmarks/engine.py [--turns 5] [--batches 32 128] [--models dense lenet ...]
"""

import argparse
import os
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

# NumPy's product is to be of one thread too, and reads this when it is first imported.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from common import mnist, report

from l2study.training.backend import configure, keras, tf
from l2study.training.engine import Data, Engine
from l2study.training.model import Task, build_model

L2 = 1e-3
DENSE = {"hidden_units": [128], "activation": "relu", "regularize_output": False}
WORDS, LENGTH = 1000, 24
SETTINGS = [
    {"jit_compile": jit, "steps_per_execution": steps}
    for jit in (False, True)
    for steps in (1, 100)
]
layers = keras.layers


class Kind(NamedTuple):
    """A kind of model: its function (None: the built-in network), and how many rows it trains on.

    `words` says whether its inputs are sequences of words, as opposed to images of MNIST.
    """

    function: Callable | None
    rows: int
    words: bool = False


def dense_dropout(input_shape, classes, regularizer):
    """Return 784-128-10 with Dropout."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Flatten(),
            layers.Dense(128, activation="relu", kernel_regularizer=regularizer),
            layers.Dropout(0.5),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def gru(input_shape, classes, regularizer):
    """Return an embedding of 32 numbers with a GRU of 32 units."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Embedding(WORDS, 32),
            layers.GRU(32, kernel_regularizer=regularizer),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def transformer(input_shape, classes, regularizer):
    """Return a block of attention with two heads, on embeddings of 32 numbers, and Dropout."""
    inputs = keras.Input(input_shape)
    embedded = layers.Embedding(WORDS, 32)(inputs)
    attended = layers.MultiHeadAttention(2, 16, dropout=0.1, kernel_regularizer=regularizer)(
        embedded, embedded
    )
    normal = layers.LayerNormalization()(layers.Add()([embedded, attended]))
    inner = layers.Dense(64, activation="relu", kernel_regularizer=regularizer)(normal)
    outer = layers.Dense(32, kernel_regularizer=regularizer)(inner)
    pooled = layers.GlobalAveragePooling1D()(layers.Add()([normal, outer]))
    return keras.Model(inputs, layers.Dense(classes)(pooled))


def lenet(input_shape, classes, regularizer, normalised=False):
    """Return two convolutions of 32 and 64 filters with pooling, and two dense layers."""
    body = [keras.Input(input_shape), layers.Reshape((*input_shape, 1))]
    for filters in (32, 64):
        body.append(layers.Conv2D(filters, 3, kernel_regularizer=regularizer))
        body += [layers.BatchNormalization()] if normalised else []
        body += [layers.ReLU(), layers.MaxPooling2D()]
    body += [layers.Flatten(), layers.Dense(64, activation="relu", kernel_regularizer=regularizer)]
    return keras.Sequential([*body, layers.Dense(classes)])


def lenet_normalised(input_shape, classes, regularizer):
    """Return `lenet` with BatchNormalization after each convolution."""
    return lenet(input_shape, classes, regularizer, normalised=True)


def resnet(input_shape, classes, regularizer):
    """Return a residual network of two stages, with 16 and 32 filters."""

    def convolved(x, filters, stride=1):
        x = layers.Conv2D(
            filters, 3, stride, "same", use_bias=False, kernel_regularizer=regularizer
        )(x)
        return layers.BatchNormalization()(x)

    inputs = keras.Input(input_shape)
    x = layers.ReLU()(convolved(layers.Reshape((*input_shape, 1))(inputs), 16))
    for filters, stride in ((16, 1), (32, 2)):
        branch = convolved(layers.ReLU()(convolved(x, filters, stride)), filters)
        straight = x if stride == 1 else layers.Conv2D(filters, 1, stride)(x)
        x = layers.ReLU()(layers.Add()([branch, straight]))
    return keras.Model(inputs, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


KINDS = {
    "dense": Kind(None, 54_000),
    "dense_dropout": Kind(dense_dropout, 20_000),
    "gru": Kind(gru, 5_000, words=True),
    "transformer": Kind(transformer, 5_000, words=True),
    "lenet": Kind(lenet, 5_000),
    "lenet_normalised": Kind(lenet_normalised, 5_000),
    "resnet": Kind(resnet, 2_500),
}


def timed(function: Callable) -> float:
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


def flops_of_a_row(kind: Kind, task: Task) -> float:
    """Return the operations of training on one row."""
    if kind.function is None:
        return 2 * (2 * 784 * 128 + 3 * 128 * 10)
    model = build_model(task, L2, {})
    spec = tf.TensorSpec([1, *task.shape], tf.float32)
    traced = tf.function(model, autograph=False).get_concrete_function(spec)
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
    options = options.with_empty_output().build()
    return 3.0 * profiler.profile(traced.graph, options=options).total_float_ops


def data_of(kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs, whole numbers, and their labels."""
    x_train, y_train, _, _ = mnist()
    labels = y_train[: kind.rows].astype(np.int32)
    if not kind.words:
        return x_train[: kind.rows], labels
    words = np.random.default_rng(0).integers(0, WORDS, (kind.rows, LENGTH))
    return words.astype(np.float32), labels


def measured(kind: Kind, batch: int, turns: int) -> dict:
    """Return the figures of one kind of model and batch size."""
    inputs, labels = data_of(kind)
    scale = 1.0 if kind.words else 1 / 255
    x, random = (inputs * scale).astype(np.float32), np.random.default_rng(0)
    training = {"optimizer": "adam", "learning_rate": 0.001}
    task = Task(DENSE, training, inputs.shape[1:], 10, kind.function)
    if kind.function is not None:
        task = task._replace(model={})
    parts = {"train": range(kind.rows)}
    engine = Engine(build_model(task, L2, {}), Data(inputs, labels, scale), parts, batch)

    def fit(**setting: object) -> Callable:
        model = build_model(task, L2, {})
        if setting:
            own = {"optimizer": "adam", "loss": model.loss, "metrics": ["accuracy"]}
            model.compile(**own, **setting)
        return lambda: model.fit(x, labels, batch_size=batch, epochs=1, verbose=0)

    first, best = {}, {}
    for setting in SETTINGS:
        run = fit(**setting)
        run()  # compiles
        name = ", ".join(f"{key}={value}" for key, value in setting.items())
        first[name], best[name] = timed(run), run
    fastest = min(first, key=first.get)
    runners = {
        "engine": lambda: engine.train_epoch(random.permutation(kind.rows)),
        "fit": fit(),
        "fit at its best": best[fastest],
    }
    seconds, speeds = {name: [] for name in runners}, []
    for turn in range(turns + 1):
        speeds.append(sgemm_flops())
        for name, run in runners.items():
            taken = timed(run)
            if turn:
                seconds[name].append(taken)
    medians = {name: median(values) for name, values in seconds.items()}
    floor = kind.rows * flops_of_a_row(kind, task) / median(speeds)
    return {
        "batch": batch,
        "rows": kind.rows,
        "program": engine.program,
        "seconds_per_epoch": {name: round(value, 3) for name, value in medians.items()},
        "range": {n: [round(min(own), 3), round(max(own), 3)] for n, own in seconds.items()},
        "best_setting_of_fit": fastest,
        "times_faster_than_fit": round(medians["fit"] / medians["engine"], 2),
        "times_faster_than_fit_at_its_best": round(
            medians["fit at its best"] / medians["engine"], 2
        ),
        "floor_seconds": round(floor, 3),
        "share_of_floor": round(floor / medians["engine"], 3),
    }


def main() -> None:
    """Measure, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5, help="counted turns, after one that is not")
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--models", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    configure(threads=1)
    rows = [
        {"model": name} | measured(KINDS[name], batch, options.turns)
        for name in options.models
        for batch in options.batches
    ]
    report("engine", {"turns": options.turns, "threads": 1, "epochs": rows})


if __name__ == "__main__":
    main()

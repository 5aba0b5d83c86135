"""The engine against Keras's own `fit` and `evaluate` on a model built here, not by the project."""

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

L2 = 0.003
SHAPE, CLASSES = (6, 5), 4
PARTS = {"train": range(0, 330), "val": range(330, 390), "test": range(390, 480)}
BATCH = 64  # does not divide the 330 training rows


def images_and_labels():
    random = np.random.default_rng(11)
    labels = random.integers(0, CLASSES, 480)
    prototypes = random.integers(0, 256, (CLASSES, *SHAPE))
    noise = random.normal(0, 60, (480, *SHAPE))
    images = np.clip(prototypes[labels] + noise, 0, 255).astype(np.uint8)
    return images, labels.astype(np.int32)


OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}
"""What Keras calls those of a configuration."""


def own_options(optimizer):
    return {"momentum": 0.5} if optimizer in ("sgd", "rmsprop") else {}


def engine_model(optimizer, architecture, l2=L2):
    from l2study.training.model import Task, build_model

    training = {"optimizer": optimizer, "learning_rate": 0.01} | own_options(optimizer)
    return build_model(Task(architecture, training, SHAPE, CLASSES), l2, {"weights": 3})


def plain_model(optimizer, architecture, l2=L2, **options):
    """The same model as a student would write it, with the coefficient as a constant."""
    from l2study.training.backend import keras

    regularizer = keras.regularizers.L2(l2) if l2 else None
    of_output = regularizer if architecture["regularize_output"] else None
    layers = [keras.Input(SHAPE), keras.layers.Flatten()]
    for units in architecture["hidden_units"]:
        activation = architecture["activation"]
        layers.append(keras.layers.Dense(units, activation, kernel_regularizer=regularizer))
    layers.append(keras.layers.Dense(CLASSES, "softmax", kernel_regularizer=of_output))
    model = keras.Sequential(layers)
    made = getattr(keras.optimizers, OPTIMIZERS[optimizer])
    own = made(0.01, **own_options(optimizer), **options)
    # step by step, since to compile takes longer than these few batches
    model.compile(own, "categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    return model


ONE = {"hidden_units": [24], "activation": "relu", "regularize_output": False}
TWO = {"hidden_units": [20, 12], "activation": "tanh", "regularize_output": True}


def decoupled(architecture):
    return architecture | {"regularizer": "decoupled"}


def new_engine(optimizer, architecture, l2=L2):
    from l2study.training.engine import Data, Engine

    model = engine_model(optimizer, architecture, l2)
    return Engine(model, Data(*images_and_labels(), 1 / 255), PARTS, BATCH)


ENGINES = {}


def started_engine(optimizer, architecture, l2=L2):
    """Return an engine at its start, which uses again what other tests have compiled."""
    from l2study.training.engine import Data

    key = repr((optimizer, architecture))
    if key in ENGINES:
        model = engine_model(optimizer, architecture, l2)
        ENGINES[key].restart(model, Data(*images_and_labels(), 1 / 255))
    else:
        ENGINES[key] = new_engine(optimizer, architecture, l2)
    return ENGINES[key]


def trained(engine, epochs=3):
    """Return the weights after some epochs, and what was measured after the last."""
    for epoch in range(epochs):
        engine.train_epoch(np.random.default_rng(epoch).permutation(PARTS["train"]))
    return engine.model.get_weights(), engine.evaluate()


@pytest.mark.parametrize(
    ("optimizer", "architecture"),
    [("adam", ONE), ("adamw", ONE), ("sgd", TWO), ("rmsprop", ONE), ("adam", TWO)],
)
def test_three_epochs_equal_those_of_fit(optimizer, architecture):
    images, labels = images_and_labels()
    engine, plain = started_engine(optimizer, architecture), plain_model(optimizer, architecture)
    plain.set_weights(engine.model.get_weights())
    x, y = (images / 255).astype(np.float32), np.eye(CLASSES, dtype=np.float32)[labels]

    def assert_same_evaluation():
        measured = engine.evaluate()
        kernels = [
            layer.kernel.numpy().astype(float)
            for layer in plain.layers
            if getattr(layer, "kernel_regularizer", None)
        ]
        penalty = L2 * sum(np.square(kernel).sum() for kernel in kernels)
        for part, rows in PARTS.items():
            span = slice(rows.start, rows.stop)
            loss, accuracy = plain.evaluate(x[span], y[span], len(rows), verbose=0)
            right = plain(x[span]).numpy()[np.arange(len(rows)), labels[span]]
            assert measured[f"{part}_loss"] == pytest.approx(loss, abs=1e-5)
            assert measured[f"{part}_accuracy"] == pytest.approx(accuracy, abs=1e-6)
            assert measured[f"{part}_ce"] == pytest.approx(-np.log(right).mean(), abs=1e-5)
            assert measured[f"{part}_loss"] == pytest.approx(
                measured[f"{part}_ce"] + measured["penalty"], abs=1e-6
            )
        assert measured["penalty"] == pytest.approx(penalty, abs=1e-5)
        assert measured["weight_norm"] == pytest.approx(
            np.sqrt(sum(np.square(kernel).sum() for kernel in kernels)), abs=1e-5
        )
        assert measured["weight_max_abs"] == pytest.approx(
            max(np.abs(kernel).max() for kernel in kernels), abs=1e-6
        )
        assert measured["spectral_norm"] == pytest.approx(
            max(np.linalg.svd(kernel, compute_uv=False)[0] for kernel in kernels), abs=1e-5
        )

    assert_same_evaluation()
    for epoch in range(3):
        order = np.random.default_rng(epoch).permutation(PARTS["train"])
        loss, accuracy = engine.train_epoch(order)
        log = plain.fit(x[order], y[order], batch_size=BATCH, shuffle=False, verbose=0).history
        assert loss == pytest.approx(log["loss"][0], abs=1e-5)
        assert accuracy == pytest.approx(log["accuracy"][0], abs=1e-6)
        for ours, theirs in zip(engine.model.get_weights(), plain.get_weights(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
        assert_same_evaluation()


@pytest.mark.parametrize(
    ("optimizer", "architecture"), [("adam", ONE), ("adam", TWO), ("sgd", TWO), ("rmsprop", ONE)]
)
def test_decoupled_decay_is_the_weight_decay_of_keras(optimizer, architecture):
    """Of twice lambda, on the kernels that would carry L2, in the same order of batches."""
    images, labels = images_and_labels()
    x, y = (images / 255).astype(np.float32), np.eye(CLASSES, dtype=np.float32)[labels]
    engine = started_engine(optimizer, decoupled(architecture), l2=0.3)
    kind = "adamw" if optimizer == "adam" else optimizer
    plain = plain_model(kind, architecture, l2=0, weight_decay=0.6)
    spared = [] if architecture["regularize_output"] else [plain.layers[-1].kernel]
    plain.optimizer.exclude_from_weight_decay(var_list=spared, var_names=["bias"])
    plain.set_weights(engine.model.get_weights())
    for epoch in range(3):
        order = np.random.default_rng(epoch).permutation(PARTS["train"])
        plain.fit(x[order], y[order], batch_size=BATCH, shuffle=False, verbose=0)
    weights, _ = trained(engine)
    for ours, theirs in zip(weights, plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("optimizer", "architecture"), [("adam", TWO), ("sgd", TWO), ("rmsprop", ONE)]
)
def test_decoupled_decay_at_lambda_0_is_none_at_all(optimizer, architecture):
    one, other = (
        trained(started_engine(optimizer, kind, l2=0.0))
        for kind in (architecture, decoupled(architecture))
    )
    assert one[1] == other[1]
    for ours, theirs in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("architecture", [TWO, decoupled(TWO)])
def test_a_restarted_engine_is_as_new(architecture):
    """Weights, optimizer, coefficient and data of the same shape: nothing is left of before, and
    nothing is compiled again.
    """
    from l2study.training.engine import Data, Engine

    images, labels = images_and_labels()
    shuffled = np.random.default_rng(4).permutation(480)
    data, order = Data(images[shuffled], labels[shuffled], 1 / 255), np.arange(330)
    used = started_engine("adam", architecture, l2=0.5)
    before = [(used.evaluate(), used.train_epoch(order)) for _ in range(2)]
    used.restart(engine_model("adam", architecture), data)
    new = Engine(engine_model("adam", architecture), data, PARTS, BATCH)
    after, expected = (
        [(engine.evaluate(), engine.train_epoch(order)) for _ in range(2)] for engine in (used, new)
    )
    assert after == expected and after[0] != before[0]
    for program in (used._train_program, used._evaluation_program):
        assert program.experimental_get_tracing_count() == 1


def test_compiled_programs_serve_runs_that_differ_in_their_rows_alone():
    """Also in epochs, lambda and seed; another size of an image, part or batch, or scale is new."""
    from dataclasses import replace

    from l2study.core.config import check
    from l2study.data.prepared import Prepared
    from l2study.training import loop

    images, labels = images_and_labels()
    counts = {"train": 330, "validation": 60, "test": 90}
    data = Prepared(images, labels, counts, CLASSES, 1 / 255, "first", "")
    config = check({"training": {"epochs": 3, "batch_size": BATCH}})
    longer = config | {"training": config["training"] | {"epochs": 9, "evaluate_at": [2]}}
    engine = loop.engine_of(config, data, "0.1", {"weights": 0})
    other = replace(data, images=images[::-1].copy(), labels=labels[::-1].copy(), sha256="second")
    assert loop.engine_of(longer, other, "0", {"weights": 7}) is engine
    found = engine.evaluate()
    loop._compiled.clear()
    new = loop.engine_of(longer, other, "0", {"weights": 7})
    assert new is not engine
    assert new.evaluate() == found
    larger = config | {"training": config["training"] | {"batch_size": 2 * BATCH}}
    for changed, of in [
        (larger, data),
        (config, replace(data, images=images.astype(np.float32))),
        (config, replace(data, images=images[:, 1:])),
        (config, replace(data, counts={"train": 300, "validation": 90, "test": 90})),
        (config, replace(data, classes=CLASSES + 1)),
        (config, replace(data, scale=1.0)),
    ]:
        last = loop.engine_of(config, data, "0", {"weights": 0})
        assert loop.engine_of(changed, of, "0", {"weights": 0}) is not last


@pytest.mark.parametrize("size", [25, 30, 100])
def test_an_evaluation_in_batches_is_that_of_each_part_at_once(size, monkeypatch):
    """25 divides no part, 30 divides all, and 100 is more than two of them have."""
    from l2study.training import engine

    at_once = started_engine("adam", ONE).evaluate()
    monkeypatch.setitem(engine._EVALUATION_ROWS, "xla", size)
    in_batches = new_engine("adam", ONE).evaluate()
    assert in_batches == pytest.approx(at_once, rel=1e-6)
    assert len({at_once[f"{part}_ce"] for part in PARTS}) == 3


def test_mapped_images_are_not_copied(tmp_path):
    from l2study.training.engine import resident

    np.save(tmp_path / "images.npy", np.arange(1000, dtype=np.uint8).reshape(10, 100))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="c")
    tensor = resident(mapped)
    mapped[3, 4] = 77
    assert tensor[3, 4] == 77
    unaligned = np.arange(1001, dtype=np.uint8)[1:]
    assert resident(unaligned).numpy().tolist() == unaligned.tolist()


def test_spectral_norm_is_the_largest_singular_value():
    from l2study.training.engine import spectral_norm

    random = np.random.default_rng(0)
    for shape in [(7, 3), (3, 7), (5, 5)]:
        matrix = random.normal(size=shape).astype(np.float32)
        expected = np.linalg.svd(matrix.astype(float), compute_uv=False)[0]
        assert spectral_norm(matrix) == pytest.approx(expected, rel=1e-9)
    assert np.isnan(spectral_norm(np.array([[1.0, np.inf]])))

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


def engine_model(optimizer, architecture, l2=L2, momentum=0.5):
    from l2study.training.model import Task, build_model

    training = {"optimizer": optimizer, "learning_rate": 0.01}
    if optimizer in ("sgd", "rmsprop"):
        training["momentum"] = momentum
    return build_model(Task(architecture, training, SHAPE, CLASSES), l2, {"weights": 3})


def plain_model(optimizer, architecture):
    """The same model as a student would write it, with the coefficient as a constant."""
    from l2study.training.backend import keras

    layers = [keras.Input(SHAPE), keras.layers.Flatten()]
    for units in architecture["hidden_units"]:
        layers.append(
            keras.layers.Dense(
                units,
                activation=architecture["activation"],
                kernel_regularizer=keras.regularizers.L2(L2),
            )
        )
    output = keras.regularizers.L2(L2) if architecture["regularize_output"] else None
    layers.append(
        keras.layers.Dense(CLASSES, activation="softmax", kernel_regularizer=output),
    )
    model = keras.Sequential(layers)
    options = {
        "adam": lambda: keras.optimizers.Adam(0.01),
        "adamw": lambda: keras.optimizers.AdamW(0.01),
        "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.5),
        "rmsprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.5),
    }
    # step by step, since to compile takes longer than these few batches
    model.compile(
        options[optimizer](), "categorical_crossentropy", metrics=["accuracy"], run_eagerly=True
    )
    return model


ONE = {"hidden_units": [24], "activation": "relu", "regularize_output": False}
TWO = {"hidden_units": [20, 12], "activation": "tanh", "regularize_output": True}


def decoupled(architecture):
    return architecture | {"regularizer": "decoupled"}


def new_engine(optimizer, architecture, l2=L2, momentum=0.5):
    from l2study.training.engine import Data, Engine

    model = engine_model(optimizer, architecture, l2, momentum)
    return Engine(model, Data(*images_and_labels(), 1 / 255), PARTS, BATCH)


ENGINES = {}


def started_engine(optimizer, architecture, l2=L2, momentum=0.5):
    """Return an engine at its start, which uses again what other tests have compiled."""
    from l2study.training.engine import Data

    key = repr((optimizer, architecture, momentum))
    if key in ENGINES:
        model = engine_model(optimizer, architecture, l2, momentum)
        ENGINES[key].restart(model, Data(*images_and_labels(), 1 / 255))
    else:
        ENGINES[key] = new_engine(optimizer, architecture, l2, momentum)
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
    from l2study.training.backend import keras

    images, labels = images_and_labels()
    x, y = (images / 255).astype(np.float32), np.eye(CLASSES, dtype=np.float32)[labels]
    engine = started_engine(optimizer, decoupled(architecture), l2=0.3)
    dense = [
        keras.layers.Dense(n, architecture["activation"]) for n in architecture["hidden_units"]
    ]
    output = keras.layers.Dense(CLASSES, "softmax", name="output")
    plain = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), *dense, output])
    options = {"weight_decay": 0.6} | ({} if optimizer == "adam" else {"momentum": 0.5})
    kinds = {"adam": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}
    plain_optimizer = getattr(keras.optimizers, kinds[optimizer])(0.01, **options)
    spared = [] if architecture["regularize_output"] else [output.kernel]
    plain_optimizer.exclude_from_weight_decay(var_list=spared, var_names=["bias"])
    plain.compile(plain_optimizer, "categorical_crossentropy", run_eagerly=True)
    plain.set_weights(engine.model.get_weights())
    for epoch in range(3):
        order = np.random.default_rng(epoch).permutation(PARTS["train"])
        plain.fit(x[order], y[order], batch_size=BATCH, shuffle=False, verbose=0)
    weights, _ = trained(engine)
    for ours, theirs in zip(weights, plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_under_plain_sgd_decoupled_decay_is_l2_but_for_the_loss():
    start = engine_model("sgd", TWO).get_weights()
    weights, measured = {}, {}
    for name, architecture in {"l2": TWO, "decoupled": decoupled(TWO)}.items():
        engine = started_engine("sgd", architecture, l2=0.3, momentum=0.0)
        weights[name], measured[name] = trained(engine)
    for before, ours, theirs in zip(start, weights["decoupled"], weights["l2"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
        assert np.abs(ours - before).max() > 1e-3
    found, of_l2 = measured["decoupled"], measured["l2"]
    assert found["penalty"] == 0
    assert of_l2["penalty"] > 0.1
    for part in PARTS:
        assert found[f"{part}_loss"] == pytest.approx(found[f"{part}_ce"], rel=1e-6)
    for name in ("weight_norm", "weight_max_abs", "spectral_norm", "val_ce", "test_accuracy"):
        assert found[name] == pytest.approx(of_l2[name], rel=1e-5)


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
    """Weights, optimizer and coefficient: nothing of what was trained before is left."""
    from l2study.training.engine import Data

    order = np.arange(330)
    used = started_engine("adam", architecture, l2=0.5)
    for _ in range(2):
        used.train_epoch(order)
    used.restart(engine_model("adam", architecture), Data(*images_and_labels(), 1 / 255))
    new = new_engine("adam", architecture)
    for _ in range(2):
        assert used.evaluate() == new.evaluate()
        assert used.train_epoch(order) == new.train_epoch(order)


def test_an_engine_goes_on_with_other_data_as_a_new_one():
    """Other images and labels of the same shape: nothing is compiled again, or left of before."""
    from l2study.training.engine import Data, Engine

    images, labels = images_and_labels()
    shuffled = np.random.default_rng(4).permutation(480)
    data, order = Data(images[shuffled], labels[shuffled], 1 / 255), np.arange(330)
    used = started_engine("adam", ONE)
    before = used.train_epoch(order), used.evaluate()
    used.restart(engine_model("adam", ONE), data)
    new = Engine(engine_model("adam", ONE), data, PARTS, BATCH)
    found = used.train_epoch(order), used.evaluate()
    assert found == (new.train_epoch(order), new.evaluate())
    assert found != before
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


def test_one_program_serves_every_lambda():
    """The coefficient is read when the program runs, not when it is compiled."""
    from l2study.training.model import coefficients

    engine = started_engine("adam", ONE)
    before = engine.evaluate()
    (coefficient,) = coefficients(engine.model)
    coefficient.assign(2 * L2)
    after = engine.evaluate()
    assert after["penalty"] == pytest.approx(2 * before["penalty"], rel=1e-6)
    assert after["train_ce"] == before["train_ce"]


@pytest.mark.parametrize(("rows", "size"), [(10, 3), (9, 3), (2, 3), (3, 3)])
def test_fold_covers_every_row_once(rows, size):
    from l2study.training.backend import tf
    from l2study.training.engine import compiled, fold

    def step(first, length, seen):
        return (tf.tensor_scatter_nd_add(seen, (first + tf.range(length))[:, None], [1] * length),)

    (seen,) = compiled(lambda: fold(step, rows, size, (tf.zeros(rows, tf.int32),)), "xla")()
    assert seen.numpy().tolist() == [1] * rows


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

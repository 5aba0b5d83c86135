"""Models of every kind: trained by the engine as by Keras's `fit`, and the same in any process."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from tiny import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

CLASSES, BATCH, L2 = 4, 32, 0.01
PARTS = {"train": range(0, 192), "val": range(192, 240), "test": range(240, 300)}
SHAPES = {"recurrent": (7,), "transformer": (7,)}
KINDS = {
    "lenet": "graph",
    "lenet_with_state": "graph",
    "residual": "xla",
    "separable": "graph",
    "recurrent": "xla",
    "transformer": "graph",
    "subclassed": "graph",
    "shared": "xla",
}
"""The functions of `own_models`, and how the engine compiles an epoch of what they make."""

TRAINING = {"optimizer": "adam", "learning_rate": 0.003}


def data_of(kind):
    """Return inputs (words for models of sequences) and labels, which follow from them."""
    random = np.random.default_rng(3)
    shape = SHAPES.get(kind, (8, 7))
    inputs = random.integers(0, 16, (300, *shape)).astype(np.float32)
    labels = (inputs.reshape(300, -1)[:, :3].sum(1) // 12).astype(np.int32)
    return inputs if kind in SHAPES else inputs / 16, labels.clip(0, CLASSES - 1)


def task_of(kind, model=(), training=TRAINING):
    from l2study.training.model import Task

    import own_models  # isort: skip  # after TensorFlow is set up

    shape = SHAPES.get(kind, (8, 7))
    return Task(dict(model), training, shape, CLASSES, getattr(own_models, kind))


def engine_of(kind, l2=L2, seed=0, **parts):
    from l2study.training.engine import Data, Engine
    from l2study.training.model import build_model

    model = build_model(task_of(kind, **parts), l2, {"weights": seed, "order": seed + 5})
    return Engine(model, Data(*data_of(kind), 1.0), PARTS, BATCH)


def order(epoch):
    return np.random.default_rng(epoch).permutation(PARTS["train"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_trains_as_fit_does_with_the_same_program(kind):
    """Whole batches: where one is smaller, rounding differs, and Adam makes much of it."""
    from l2study.training.model import build_model, random_states, regularized_kernels

    engine = engine_of(kind)
    assert engine.program == KINDS[kind]
    plain = build_model(task_of(kind), L2, {"weights": 0, "order": 5})
    plain.jit_compile = engine.program == "xla"
    inputs, labels = data_of(kind)
    start = [weight.numpy() for weight in plain.weights]
    epochs = 1 if kind == "lenet_with_state" else 2
    for epoch in range(epochs):
        loss, accuracy = engine.train_epoch(order(epoch))
        x, y = inputs[order(epoch)], labels[order(epoch)]
        log = plain.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0).history
        assert loss == pytest.approx(log["loss"][0], rel=1e-5)
        assert accuracy == pytest.approx(log["accuracy"][0], abs=1e-6)
    for ours, theirs in zip(engine.model.variables, plain.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=0, atol=2e-5, err_msg=kind)
    moved = zip(start, plain.get_weights(), strict=True)
    assert any(not np.array_equal(before, after) for before, after in moved)
    drawn = [state.numpy()[1] for state in random_states(engine.model)]
    if kind in ("lenet_with_state", "transformer"):
        assert drawn == [epochs * len(PARTS["train"]) // BATCH] * len(drawn) and drawn

    measured = engine.evaluate()
    kernels = [weight.numpy().astype(float) for weight in regularized_kernels(engine.model)]
    squares = sum(np.square(kernel).sum() for kernel in kernels)
    assert measured["penalty"] == pytest.approx(L2 * squares, rel=1e-5)
    assert measured["weight_norm"] == pytest.approx(np.sqrt(squares), rel=1e-6)
    matrices = [kernel.reshape(-1, kernel.shape[-1]) for kernel in kernels]
    largest = max(np.linalg.norm(matrix, 2) for matrix in matrices)
    assert measured["spectral_norm"] == pytest.approx(largest, rel=1e-6)
    test = slice(PARTS["test"].start, PARTS["test"].stop)
    loss, accuracy = plain.evaluate(inputs[test], labels[test], verbose=0)
    assert measured["test_loss"] == pytest.approx(loss, rel=1e-4)
    assert measured["test_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert measured["test_ce"] == pytest.approx(loss - measured["penalty"], rel=1e-4)


def test_an_evaluation_in_training_mode_leaves_the_model_as_it_was():
    from l2study.training.backend import tf

    engine = engine_of("lenet_with_state")
    engine.train_epoch(order(0))
    before = [variable.numpy() for variable in engine.model.variables]
    measured = engine.evaluate()
    for own, kept in zip(engine.model.variables, before, strict=True):
        np.testing.assert_array_equal(own.numpy(), kept)
    inputs, labels = data_of("lenet_with_state")
    right = 0
    for first in range(0, len(PARTS["train"]), BATCH):
        rows = slice(first, first + BATCH)
        outputs = tf.function(engine.model, autograph=False)(inputs[rows], training=True)
        right += int((outputs.numpy().argmax(1) == labels[rows]).sum())
    assert measured["train_accuracy_training_mode"] == right / len(PARTS["train"])
    assert "train_accuracy_training_mode" not in engine_of("residual").evaluate()


@pytest.mark.parametrize("kind", ["lenet_with_state", "recurrent"])
def test_every_lambda_begins_at_the_same_state_and_every_seed_at_another(kind):
    states = [
        [variable.numpy() for variable in engine_of(kind, l2, seed).model.variables]
        for l2, seed in ((0.0, 0), (0.1, 0), (0.0, 1))
    ]
    assert all(np.array_equal(a, b) for a, b in zip(states[0], states[1], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(states[0], states[2], strict=True))


def test_random_layers_follow_the_order_and_initial_weights_do_not():
    from l2study.training.model import build_model, random_states

    task = task_of("lenet_with_state")
    one, other = (build_model(task, L2, {"weights": 0, "order": order}) for order in (1, 2))
    for ours, theirs in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    (ours,), (theirs,) = random_states(one), random_states(other)
    assert not np.array_equal(ours.numpy(), theirs.numpy())


def test_decoupled_decay_is_that_of_the_regularised_weights_for_any_layer():
    """Under plain SGD it is L2 but for the loss: also where Keras copies a layer."""
    training = {"optimizer": "sgd", "learning_rate": 0.05}
    weights = {}
    for regularizer in ("l2", "decoupled"):
        model = {"regularizer": regularizer}
        engine = engine_of("recurrent", model=model, training=training)
        engine.train_epoch(order(0))
        weights[regularizer] = engine.model.get_weights()
        measured = engine.evaluate()
        assert (measured["penalty"] == 0) == (regularizer == "decoupled")
        assert measured["test_loss"] == pytest.approx(measured["test_ce"] + measured["penalty"])
    for ours, theirs in zip(*weights.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_l1_beside_lambda_is_that_of_keras_and_no_part_of_the_penalty():
    """With the gradient of Keras's own L1L2, on a layer that is used twice."""
    from l2study.training.backend import keras
    from l2study.training.engine import Data, Engine
    from l2study.training.model import build_model

    def with_keras_own(regularizer, **others):
        return task.function(regularizer=keras.regularizers.L1L2(0.02, L2), **others)

    training = {"optimizer": "sgd", "learning_rate": 0.05}
    task = task_of("shared", {"l1": 0.02}, training)
    model, plain = (
        build_model(task._replace(function=function), L2, {})
        for function in (task.function, with_keras_own)
    )
    inputs, labels = data_of("shared")
    for one in (model, plain):
        one.fit(inputs[:64], labels[:64], batch_size=32, shuffle=False, verbose=0)
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    measured = Engine(model, Data(inputs, labels, 1.0), PARTS, BATCH).evaluate()
    assert measured["penalty"] == pytest.approx(L2 * measured["weight_norm"] ** 2, rel=1e-5)
    assert measured["test_loss"] > measured["test_ce"] + measured["penalty"] + 0.01


def digest(kind, seeds):
    """Return a checksum of all that an engine holds and measures, after runs of these seeds."""
    from l2study.training.engine import Data
    from l2study.training.model import build_model

    engine = engine_of(kind, seed=seeds[0])
    for number, seed in enumerate(seeds):
        if number:
            model = build_model(task_of(kind), L2, {"weights": seed, "order": seed + 5})
            engine.restart(model, Data(*data_of(kind), 1.0))
        for epoch in range(2):
            engine.train_epoch(order(epoch))
    state = [variable.numpy().tobytes() for variable in engine.model.variables]
    text = f"{kind} {engine.evaluate()}".encode()
    return hashlib.sha256(b"".join([*state, text])).hexdigest()


REPEATED = ["lenet_with_state", "recurrent", "transformer"]


def digests(seeds):
    """Return the checksums of runs in a process of their own.

    In the process of the tests, something else may have imported TensorFlow with other settings.
    """
    program = (
        "from l2study.training.backend import configure; configure(1);"
        f"from test_own_models import *; print(*(digest(k, {seeds}) for k in REPEATED))"
    )
    path = {"PYTHONPATH": ":".join(str(PROJECT / f) for f in ("scripts", "tests", "tests/unit"))}
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_run_after_another_equals_a_run_alone_in_another_process():
    found = digests([1])
    assert len(set(found)) == len(REPEATED)
    assert found == digests([0, 1])

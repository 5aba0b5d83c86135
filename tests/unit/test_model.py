from typing import get_args

import numpy as np
import pytest

from l2study.core.config_model import OptimizerName

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

TRAINING = {"optimizer": "adam", "learning_rate": 0.001}


def build(l2=0.01, seed=0, input_shape=(28, 28), training=TRAINING, **architecture):
    from l2study.training.model import Task, build_model

    architecture = {
        "hidden_units": [128],
        "activation": "relu",
        "regularize_output": False,
    } | architecture
    return build_model(Task(architecture, training, input_shape, 10), l2, {"weights": seed})


def test_initial_penalty_agrees_with_glorot():
    """Var(W) = 2 / (fan_in + fan_out), so E sum(W**2) = 2 * 784 * 128 / (784 + 128) = 220.07."""
    penalties = [float(build(l2=0.01, seed=seed).losses[0]) for seed in range(5)]
    assert np.mean(penalties) == pytest.approx(0.01 * 220.07, rel=0.005)


def test_layers_are_those_of_the_configuration():
    from l2study.training.model import regularized_kernels

    model = build(hidden_units=[20, 12], activation="tanh", input_shape=(4, 3, 2))
    dense = model.layers[1:]  # after Flatten
    found = [(layer.units, layer.activation.__name__) for layer in dense]
    assert found == [(20, "tanh"), (12, "tanh"), (10, "softmax")]
    assert [tuple(kernel.shape) for kernel in regularized_kernels(model)] == [(24, 20), (20, 12)]


@pytest.mark.parametrize("regularizer", ["l2", "decoupled"])
@pytest.mark.parametrize(("output", "shapes"), [(True, [(784, 9), (9, 10)]), (False, [(784, 9)])])
def test_the_output_is_regularised_if_it_is_to_be(regularizer, output, shapes):
    from l2study.training.model import regularized_kernels

    model = build(hidden_units=[9], regularize_output=output, regularizer=regularizer)
    assert [tuple(kernel.shape) for kernel in regularized_kernels(model)] == shapes


@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_lambda_is_the_decay_of_the_regularised_kernels_of_any_optimizer(name):
    """Without a gradient, a step takes the share learning rate * 2 * lambda from these alone."""
    from l2study.training.backend import tf

    training = {"optimizer": name, "learning_rate": 0.1}
    model = build(0.5, input_shape=(3, 3), training=training, hidden_units=[4])
    assert type(model.optimizer).__name__.lower() == name
    if name == "ftrl":
        return  # which is refused: it makes weights from gradients alone
    model = build(
        0.5, input_shape=(3, 3), training=training, hidden_units=[4], regularizer="decoupled"
    )
    weights = model.trainable_variables
    before = [weight.numpy() for weight in weights]
    model.optimizer.apply([tf.zeros_like(weight.value) for weight in weights], weights)
    for share, weight, old in zip([0.9, 1, 1, 1], weights, before, strict=True):
        np.testing.assert_allclose(weight.numpy(), share * old, rtol=1e-5)


def test_a_schedule_and_arguments_are_those_of_the_configuration():
    schedule = {"name": "cosine_decay", "initial_learning_rate": 0.2, "decay_steps": 100}
    training = {"optimizer": {"name": "sgd", "nesterov": True}, "learning_rate": schedule}
    optimizer = build(training=training | {"momentum": 0.5}, hidden_units=[4]).optimizer
    assert optimizer.nesterov and optimizer.momentum == 0.5
    rates = []
    for step in (0, 50, 100):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    assert rates == pytest.approx([0.2, 0.1, 0], abs=1e-7)
    wrong = {"optimizer": {"name": "adam", "beta_9": 1}, "learning_rate": 0.1}
    with pytest.raises(ValueError, match=r"^training.optimizer: adam: .*beta_9"):
        build(training=wrong)

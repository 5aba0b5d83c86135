"""Measures of models that are no chain of dense layers, against derivatives of Keras's own model.

`batch_jacobian` of the whole model is the oracle. It takes all classes at once.
"""

import numpy as np
import pytest

from l2study.core.measures import names
from l2study.data.prepared import Prepared

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SHAPE, CLASSES = (6, 6, 1), 3
OF_DERIVATIVES = {"jacobian_norm", "softmax_jacobian_norm", "loss_gradient_norm"} | {
    "boundary_distance",
    *(f"test_accuracy_noise_{sd}" for sd in (0.1, 0.2, 0.3)),
    *(f"test_accuracy_{attack}_{radius}" for attack in ("fgsm", "pgd") for radius in (0.02, 0.05)),
}
OF_THE_FIRST_LAYER = {"weight_norm_lit", "weight_norm_never_lit"}


def cnn(input_shape, classes, regularizer, softmax=True):
    from l2study.training.backend import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(4, 3, activation="relu", kernel_regularizer=regularizer),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(classes, activation="softmax" if softmax else None),
        ]
    )


def network_of(function, shape=SHAPE, images=None, **arguments):
    """Return the network of a model at its start, on random images: 40 to train on, 30 to test."""
    from l2study.measuring.network import Network
    from l2study.training.model import Task, build_model

    random = np.random.default_rng(3)
    images = random.integers(0, 256, (70, *shape)).astype(np.uint8) if images is None else images
    labels = random.integers(0, CLASSES, 70).astype(np.int32)
    training = {"optimizer": "sgd", "learning_rate": 0.01}
    task = Task({"arguments": arguments}, training, shape, CLASSES, function)
    counts = {"train": 40, "validation": 0, "test": 30}
    data = Prepared(images, labels, counts, CLASSES, 1 / 255, "", "")
    return Network(build_model(task, 0.01, {}), data)


def measures_of(network):
    from l2study.measuring.functions import FUNCTIONS

    return {name: function(network) for name, function in FUNCTIONS.items()}


def absent(found):
    return {name for name, value in found.items() if value is None}


@pytest.fixture(scope="module")
def network(one_thread):
    """The network of a small CNN. Tests that change it put back what was there."""
    return network_of(cnn)


@pytest.fixture(scope="module")
def found(network):
    return measures_of(network)


def test_derivatives_are_those_of_the_whole_model(network, found, monkeypatch):
    import tensorflow as tf

    from l2study.measuring import network as module

    x = tf.constant(network.prepared.images[40:] / 255, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        probabilities = network.model(x)
        logits = tf.math.log(probabilities)
    log_jacobian = tape.batch_jacobian(logits, x).numpy().reshape(30, CLASSES, -1)
    p, z, y = probabilities.numpy(), logits.numpy(), network.labels
    # d log p / d x has no part along 1, so take out the mean over the classes of d logits / d x
    kernel = network.model.layers[-1].kernel
    with tf.GradientTape() as tape:
        tape.watch(x)
        values = x
        for layer in network.model.layers[:-1]:
            values = layer(values)
        sums = values @ kernel
    jacobian = tape.batch_jacobian(sums, x).numpy().reshape(30, CLASSES, -1)
    of_softmax = p[:, :, None] * log_jacobian
    of_loss = -log_jacobian[np.arange(30), y]
    distances = [
        min(
            (z[i, y[i]] - z[i, j]) / np.linalg.norm(jacobian[i, y[i]] - jacobian[i, j])
            for j in range(CLASSES)
            if j != y[i]
        )
        for i in range(30)
    ]
    expected = {
        "jacobian_norm": np.linalg.norm(jacobian, axis=(1, 2)).mean(),
        "softmax_jacobian_norm": np.linalg.norm(of_softmax, axis=(1, 2)).mean(),
        "loss_gradient_norm": np.linalg.norm(of_loss, axis=1).mean(),
        "boundary_distance": np.median(distances),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert network.sensitivities[3] == pytest.approx(np.array(distances), rel=1e-3)
    # Of some images only, every third of them, and in steps of other sizes
    monkeypatch.setattr(module, "DERIVED_IMAGES", 10)
    monkeypatch.setattr(module, "_OTHER_ROWS_WITH_GRADIENTS", 4)
    some = module.Network(network.model, network.prepared)
    assert some.sensitivities[3] == pytest.approx(np.array(distances)[::3], rel=1e-3)
    norms = np.linalg.norm(jacobian, axis=(1, 2))
    assert some.sensitivities[0] == pytest.approx(norms[::3].mean(), rel=1e-4)


def test_a_chain_of_dense_layers_is_measured_as_any_other_model_is(monkeypatch):
    """Both ways give the same. With many classes, a chain takes the other one."""
    from l2study.measuring import network

    def mlp(input_shape, classes, regularizer):
        from l2study.training.backend import keras

        layers = keras.layers
        inputs = keras.Input(input_shape)
        hidden = layers.Dense(5, kernel_regularizer=regularizer)(layers.Flatten()(inputs))
        hidden = layers.Dropout(0.5)(layers.ReLU()(hidden))
        return keras.Model(inputs, layers.Dense(classes, use_bias=False)(hidden))

    fast = network_of(mlp)
    monkeypatch.setattr(network, "CHAIN_CLASSES", 2)
    slow = network.Network(fast.model, fast.prepared)
    found = measures_of(fast)
    assert absent(found) == set()
    assert measures_of(slow) == pytest.approx(found, rel=1e-4)
    assert fast._sizes != slow._sizes


def test_noise_is_on_evenly_spaced_images(network, found, monkeypatch):
    from l2study.data.streams import stream
    from l2study.measuring import network as module

    monkeypatch.setattr(module, "NOISY_IMAGES", 10)
    some = module.Network(network.model, network.prepared)
    noise = stream("input noise").standard_normal((10, *SHAPE), np.float32)
    images, labels = network.prepared.images[40::3] / 255, network.labels[::3]
    for sd, share in some.predictions[1].items():
        right = network.model.predict(images + sd * noise, verbose=0).argmax(1) == labels
        assert share == pytest.approx(right.mean())
    assert len(some.predictions[0]) == 30
    assert some.predictions[0] == pytest.approx(network.predictions[0], abs=1e-6)


def test_logits_and_probabilities_give_the_same_measures(network, found):
    logits = network_of(cnn, softmax=False)
    logits.set_weights(network.model.get_weights())
    assert measures_of(logits) == pytest.approx(found, rel=1e-4)


def test_another_run_s_weights_leave_no_trace(network, found):
    own = network.model.get_weights()
    try:
        network.set_weights([3 * np.flip(w) for w in own])
        other = measures_of(network)
    finally:
        network.set_weights(own)
    assert measures_of(network) == found
    for name in ("jacobian_norm", "boundary_distance", "test_accuracy_pgd_0.05", "brier"):
        assert other[name] != found[name]


def test_what_a_convolution_has_no_value_of(network, found):
    """Dropout does nothing in evaluation, so the norms still may be scaled from one to the next."""
    assert list(found) == names("weights")
    assert absent(found) == {"inactive_share"} | OF_THE_FIRST_LAYER
    kernels = [w for w in network.model.get_weights() if w.ndim > 1]
    assert found["output_kernel_norm"] == pytest.approx(np.linalg.norm(kernels[-1]))
    assert found["norm_product"] == pytest.approx(np.prod([np.linalg.norm(k) for k in kernels]))


def test_numbers_of_words_have_no_derivatives_and_no_noise():
    """The table has a row for every number of an input, but they are not its inputs."""

    def words(input_shape, classes, regularizer):
        from l2study.training.backend import keras

        layers = keras.layers
        return keras.Sequential(
            [
                keras.Input(input_shape),
                layers.Rescaling(255),
                layers.Embedding(8, 4, embeddings_regularizer=regularizer),
                layers.GlobalAveragePooling1D(),
                layers.Dense(classes),
            ]
        )

    tokens = np.random.default_rng(0).integers(0, 8, (70, 8)).astype(np.uint8)
    found = measures_of(network_of(words, (8,), tokens))
    missing = {"norm_product", "inactive_share"} | OF_DERIVATIVES | OF_THE_FIRST_LAYER
    assert absent(found) == missing
    assert found["brier"] > 0


def test_recurrent_layers_have_derivatives():
    def recurrent(input_shape, classes, regularizer):
        from l2study.training.backend import keras

        return keras.Sequential(
            [
                keras.Input(input_shape),
                keras.layers.GRU(4, kernel_regularizer=regularizer),
                keras.layers.Dense(classes),
            ]
        )

    assert network_of(recurrent, (5, 2)).sensitivities[0] > 0


@pytest.mark.parametrize("kind", ["normalised", "skipping", "of a class of one's own"])
def test_what_a_network_that_is_no_chain_of_relu_layers_has_no_value_of(kind):
    from l2study.measuring.functions import inactive_share, norm_product, weight_norm_lit

    def build(input_shape, classes, regularizer):
        from l2study.training.backend import keras

        layers = keras.layers
        inputs = keras.Input(input_shape)
        first = layers.Dense(4, activation="relu", kernel_regularizer=regularizer)
        second, last = layers.Dense(4, activation="relu"), layers.Dense(classes)
        values = first(layers.Flatten()(inputs))
        if kind == "normalised":
            return keras.Model(inputs, last(second(layers.BatchNormalization()(values))))
        if kind == "skipping":
            return keras.Model(inputs, last(second(values) + values))

        class Own(keras.Sequential):
            pass

        return Own([inputs, layers.Flatten(), first, second, last])

    network = network_of(build)
    assert norm_product(network) is inactive_share(network) is None
    assert weight_norm_lit(network) > 0

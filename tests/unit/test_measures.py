"""Measures of the final weights against arithmetic written out in NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from l2study.core.measures import names
from l2study.data.prepared import Prepared

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SHAPE, CLASSES, ROWS = (3, 4), 3, 260
PARTS = {"train": range(0, 140), "val": range(140, 150), "test": range(150, 260)}


@pytest.fixture(scope="module")
def trained(one_thread):
    """A model of two hidden layers after some steps, its data, and its weights in double."""
    from l2study.training.engine import Data, Engine
    from l2study.training.model import Task, build_model

    random = np.random.default_rng(5)
    images = random.integers(0, 256, (ROWS, *SHAPE)).astype(np.uint8)
    labels = images[:, 1, :CLASSES].argmax(1).astype(np.int32)
    images[:, 0, 0] = 0  # never lit
    images[PARTS["test"], 0, 1] = 9
    images[PARTS["train"], 0, 1] = 0  # lit in the test set only, so never lit in training
    architecture = {"hidden_units": [8, 6], "activation": "relu", "regularize_output": False}
    training = {"optimizer": "adam", "learning_rate": 0.01}
    model = build_model(Task(architecture, training, SHAPE, CLASSES), 0.01, {})
    engine = Engine(model, Data(images, labels, 1 / 255), PARTS, 32)
    for epoch in range(20):
        engine.train_epoch(np.random.default_rng(epoch).permutation(PARTS["train"]))
    counts = {"train": 140, "validation": 10, "test": 110}
    data = Prepared(images, labels, counts, CLASSES, 1 / 255, "", "")
    return model, data, images, labels, [w.astype(float) for w in model.get_weights()]


@pytest.fixture(scope="module")
def network(trained):
    """The trained model with its data. Tests that change it put back what was there."""
    return new_network(*trained[:2])


@pytest.fixture(scope="module")
def found(network):
    """All measures of the trained model."""
    return measures_of(network)


def forward(weights, x):
    w1, b1, w2, b2, w3, b3 = weights
    h1 = np.maximum(x @ w1 + b1, 0)
    h2 = np.maximum(h1 @ w2 + b2, 0)
    logits = h2 @ w3 + b3
    p = np.exp(logits - logits.max(1, keepdims=True))
    return h1, h2, p / p.sum(1, keepdims=True)


def jacobians(weights, x):
    """d logits / d x, shape (rows, inputs, classes), of a ReLU network: W1 D1 W2 D2 W3."""
    h1, h2, _ = forward(weights, x)
    w1, _, w2, _, w3, _ = weights
    return np.stack(
        [w1 @ np.diag(a > 0) @ w2 @ np.diag(b > 0) @ w3 for a, b in zip(h1, h2, strict=True)]
    )


def new_network(model, data):
    from l2study.measuring.network import Network

    return Network(model, data)


def linear(kernel, bias, images, labels, training_rows):
    """Return the network of a softmax regression with these weights, on data of float images."""
    from l2study.training.model import Task, build_model

    architecture = {"hidden_units": [], "activation": "relu", "regularize_output": True}
    training = {"optimizer": "sgd", "learning_rate": 0.01}
    task = Task(architecture, training, images.shape[1:], kernel.shape[1])
    model = build_model(task, 0.0, {})
    model.set_weights([kernel, bias])
    counts = {"train": training_rows, "validation": 0, "test": len(images) - training_rows}
    return new_network(model, Prepared(images, labels, counts, kernel.shape[1], 1.0, "", ""))


def measures_of(network):
    from l2study.measuring.functions import FUNCTIONS

    return {name: function(network) for name, function in FUNCTIONS.items()}


def test_every_measure_has_an_entry_in_the_registry(found):
    assert list(found) == names("weights")


def test_another_run_s_weights_leave_no_trace(trained, network, found):
    model, data, *_ = trained
    own = model.get_weights()
    try:
        network.set_weights([3 * np.flip(w) for w in own])
        other = measures_of(network)
        assert other == measures_of(new_network(model, data))
    finally:
        network.set_weights(own)
    assert measures_of(network) == found
    for name in ("jacobian_norm", "boundary_distance", "test_accuracy_pgd_0.05", "brier"):
        assert other[name] != found[name]


def test_predictions_of_many_images_are_those_of_each(trained, monkeypatch):
    from l2study.measuring import network

    model, data, images, labels, weights = trained
    monkeypatch.setattr(network, "_ROWS", 4)
    found = network.Network(model, data).predicted()
    for part, rows in (("val", slice(140, 150)), ("test", slice(150, 260))):
        p = forward(weights, images[rows].reshape(-1, 12) / 255)[2]
        assert found[part].label.tolist() == labels[rows].tolist()
        assert found[part].predicted.tolist() == p.argmax(1).tolist()
        expected = p[np.arange(len(p)), labels[rows]]
        assert found[part].probability == pytest.approx(expected, abs=1e-6)


def test_sensitivity_is_exact(trained, found):
    """d ce / d x = J^T (p - y), and d probabilities / d x = J^T (diag(p) - p p^T)."""
    _, _, images, labels, weights = trained
    test = slice(150, 260)
    x, y = images[test].reshape(110, 12) / 255, np.eye(CLASSES)[labels[test]]
    p, exact = forward(weights, x)[2], jacobians(weights, x)
    softmax = [j @ (np.diag(q) - np.outer(q, q)) for j, q in zip(exact, p, strict=True)]
    gradients = [j @ (q - t) for j, q, t in zip(exact, p, y, strict=True)]
    for name, tables in (
        ("jacobian_norm", exact),
        ("softmax_jacobian_norm", softmax),
        ("loss_gradient_norm", gradients),
    ):
        expected = np.mean([np.linalg.norm(table) for table in tables])
        assert found[name] == pytest.approx(expected, rel=1e-5)


def test_boundary_distance_is_the_smallest_margin_over_its_gradient(trained, network, found):
    _, _, images, labels, weights = trained
    x, y = images[150:].reshape(110, 12) / 255, labels[150:]
    logits, exact = np.log(forward(weights, x)[2]), jacobians(weights, x)
    expected = [
        min(
            (z[label] - z[j]) / np.linalg.norm(jacobian[:, label] - jacobian[:, j])
            for j in range(CLASSES)
            if j != label
        )
        for z, jacobian, label in zip(logits, exact, y, strict=True)
    ]
    assert min(expected) < 0 < max(expected)
    distances = network.sensitivities[3]
    assert distances == pytest.approx(np.array(expected), rel=1e-3, abs=1e-5)
    assert found["boundary_distance"] == pytest.approx(np.median(expected), rel=1e-3)


def attacked(weights, x, labels, radius, size, steps, largest):
    """Return `x` of shape (rows, 12) attacked in double precision, in the range 0 to `largest`."""
    changed, y = x, np.eye(CLASSES)[labels]
    for _ in range(steps):
        error = forward(weights, changed)[2] - y
        gradient = np.einsum("rij,rj->ri", jacobians(weights, changed), error)
        changed = np.clip(changed + size * np.sign(gradient), x - radius, x + radius)
        changed = np.clip(changed, 0, largest)
    return changed


def test_attacks_stay_in_the_ball_and_in_the_range_of_the_training_images():
    """Class 0 pulls both inputs down and class 1 up. An image beyond the range stays there."""
    import tensorflow as tf

    images = np.array([[-1, 0.5], [0.5, 2], [-0.9, 1.9], [0, 0], [-3, 5]], np.float32)
    labels = np.array([0, 1, 1, 0, 0], np.int32)
    kernel = np.array([[-2, 2], [-1, 1]], np.float32)
    network = linear(kernel, np.zeros(2, np.float32), images, labels, 2)
    for found in network.adversarial(tf.constant(images[2:]), labels[2:], 0.2, network.limits):
        expected = np.array([[-1, 1.7], [0.2, 0.2], [-2.8, 5]])
        assert found.numpy() == pytest.approx(expected)


def test_an_attack_does_not_weaken_where_the_network_is_sure():
    """Logits of 5000 apart: the cross-entropy and its gradient are 0 in single precision."""
    random = np.random.default_rng(2)
    images = random.random((80, 3)).astype(np.float32)
    kernel = np.array([[-1, 1], [1, -1], [0.5, -0.5]], np.float32)
    labels = (images @ kernel).argmax(1).astype(np.int32)
    one, bias = linear(kernel, np.zeros(2, np.float32), images, labels, 20), np.zeros(2, np.float32)
    before = one.attacks
    assert before["pgd"][0.05] < 1
    one.set_weights([10_000 * kernel, bias])
    assert one.attacks == before


def test_noise_is_the_same_for_every_run_and_of_the_size_asked_for(trained, found):
    from l2study.data.streams import stream

    _, _, images, labels, weights = trained
    noise = stream("input noise").standard_normal((110, *SHAPE), np.float32)
    assert noise.std() == pytest.approx(1, abs=0.05)
    for sd in (0.1, 0.2, 0.3):
        x = (images[150:] / 255 + sd * noise).reshape(110, 12)
        right = forward(weights, x)[2].argmax(1) == labels[150:]
        assert found[f"test_accuracy_noise_{sd}"] == pytest.approx(right.mean(), abs=1e-9)


def test_expected_calibration_error_by_hand():
    """Two bins: (0.6, 2/3] with 0.62 right and 0.66 wrong, (0.8, 0.8667] with 0.85 right."""
    from l2study.measuring.functions import expected_calibration_error

    p = np.array([[0.62, 0.38], [0.66, 0.34], [0.85, 0.15]])
    expected = 2 / 3 * abs(0.5 - 0.64) + 1 / 3 * abs(1 - 0.85)
    assert expected_calibration_error(p, np.array([0, 1, 0])) == pytest.approx(expected)


def test_weight_histogram_counts_every_regularised_weight(trained, network):
    from l2study.measuring.functions import weight_histogram

    found, weights = weight_histogram(network), trained[4]
    all_weights = np.concatenate([weights[0].ravel(), weights[2].ravel()])
    assert len(found["edges"]) == len(found["counts"]) + 1
    assert sum(found["counts"]) == all_weights.size
    middle = found["edges"].index(0.0)
    assert found["counts"][middle] == ((all_weights >= 0) & (all_weights < 0.02)).sum()


def test_other_data_are_measured_as_by_a_new_network(trained, network, found):
    """Other rows of the same shapes, and other limits: nothing is traced again."""
    model, data, images, labels, _ = trained
    changed = replace(data, images=images // 2, labels=labels[::-1].copy())
    try:
        network.set_data(changed)
        assert measures_of(network) == measures_of(new_network(model, changed)) != found
    finally:
        network.set_data(data)
    for name in ("sensitivity", "noise", "attack", "activity"):
        assert getattr(network, f"_{name}_program").experimental_get_tracing_count() == 1, name


def test_a_layer_before_the_first_dense_one_is_part_of_the_sensitivity(trained, network):
    """A layer that doubles the images has the effect of doubled first weights."""
    from l2study.training.backend import keras

    model, data, *_, weights = trained
    flatten, *dense = model.layers
    layers = [keras.Input(SHAPE), flatten, keras.layers.Rescaling(2.0), *dense]
    doubled = new_network(keras.Sequential(layers), data).sensitivities[0]
    before = network.sensitivities[0]
    try:
        network.set_weights([2 * weights[0], *weights[1:]])
        assert doubled == pytest.approx(network.sensitivities[0], rel=1e-5)
    finally:
        network.set_weights(weights)
    assert doubled != pytest.approx(before, rel=1e-2)


def test_a_linear_network_that_ignores_its_input_is_measured():
    images, labels = np.ones((5, 2), np.float32), np.array([0, 1, 1, 1, 0], np.int32)
    network = linear(np.zeros((2, 2), np.float32), np.array([0, 1], np.float32), images, labels, 2)
    assert network.sensitivities[3].tolist() == [np.inf, np.inf, -np.inf]
    found = measures_of(network)
    assert found["boundary_distance"] is None and found["inactive_share"] is None
    assert found["jacobian_norm"] == found["weight_norm_never_lit"] == 0


def test_attacks_are_those_written_out_in_numpy(trained, monkeypatch):
    """On a part of many test images. With a large radius, ten steps lead elsewhere than one."""
    from l2study.measuring import network

    model, data, images, labels, weights = trained
    monkeypatch.setattr(network, "ATTACKED_IMAGES", 40)
    radii = (0.02, 0.05, 0.2)
    monkeypatch.setattr(network, "ATTACK_RADII", radii)
    x, y = images[150::3].reshape(-1, 12) / 255, labels[150::3]
    largest = images[:140].max() / 255
    expected = {"fgsm": {}, "pgd": {}}
    for attack, size, steps in (("fgsm", 1, 1), ("pgd", 0.25, 10)):
        for radius in radii:
            changed = attacked(weights, x, y, radius, size * radius, steps, largest)
            expected[attack][radius] = (forward(weights, changed)[2].argmax(1) == y).mean()
    assert network.Network(model, data).attacks == expected
    assert expected["pgd"] != expected["fgsm"]


def test_norms_of_all_kernels(trained, found):
    w1, _, w2, _, w3, _ = trained[4]
    expected = {
        "weight_norm_never_lit": np.linalg.norm(w1[:2]),
        "weight_norm_lit": np.linalg.norm(w1[2:]),
        "output_kernel_norm": np.linalg.norm(w3),
        "norm_product": np.prod([np.linalg.norm(w) for w in (w1, w2, w3)]),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_inactive_share_counts_units_that_no_training_image_activates(trained, monkeypatch):
    from l2study.measuring import network
    from l2study.measuring.functions import FUNCTIONS

    model, data, images, _, weights = trained
    model.layers[1].bias.assign(model.layers[1].bias + np.eye(8)[2] * -100)
    # a unit that is active in the last batch alone counts as active
    monkeypatch.setattr(network, "_ROWS", 10)
    try:
        changed = [w.astype(float) for w in model.get_weights()]
        h1, h2, _ = forward(changed, images[:140].reshape(140, 12) / 255)
        dead = (h1.max(0) <= 0).sum() + (h2.max(0) <= 0).sum()
        assert dead >= 1
        share = FUNCTIONS["inactive_share"](network.Network(model, data))
        assert share == pytest.approx(dead / 14)
    finally:
        model.set_weights([w.astype(np.float32) for w in weights])


def test_calibration_is_of_the_test_set(trained, found):
    from sklearn.metrics import brier_score_loss

    from l2study.measuring.functions import expected_calibration_error

    _, _, images, labels, weights = trained
    p, labels = forward(weights, images[150:].reshape(110, 12) / 255)[2], labels[150:]
    brier = brier_score_loss(labels, p, labels=[0, 1, 2], scale_by_half=False)
    assert found["brier"] == pytest.approx(brier, rel=1e-5)
    assert found["ece"] == pytest.approx(expected_calibration_error(p, labels), rel=1e-4)

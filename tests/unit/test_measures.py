"""Measures of the final weights against arithmetic written out in NumPy."""

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
    from l2study.training.model import build_model

    random = np.random.default_rng(5)
    labels = random.integers(0, CLASSES, ROWS).astype(np.int32)
    images = random.integers(0, 256, (ROWS, *SHAPE)).astype(np.uint8)
    images[:, 0, 0] = 0  # never lit
    images[PARTS["test"], 0, 1] = 9
    images[PARTS["train"], 0, 1] = 0  # lit in the test set only, so never lit in training
    model = build_model(
        {"hidden_units": [8, 6], "activation": "relu", "regularize_output": False},
        {"optimizer": "adam", "learning_rate": 0.01},
        l2=0.01,
        seed=0,
        input_shape=SHAPE,
        classes=CLASSES,
    )
    engine = Engine(model, Data(images, labels, 1 / 255), PARTS, 32)
    for epoch in range(3):
        engine.train_epoch(np.random.default_rng(epoch).permutation(PARTS["train"]))
    counts = {"train": 140, "validation": 10, "test": 110}
    data = Prepared(images, labels, counts, CLASSES, 1 / 255, "", "")
    return model, data, images, labels, [w.astype(float) for w in model.get_weights()]


def forward(weights, x):
    w1, b1, w2, b2, w3, b3 = weights
    h1 = np.maximum(x @ w1 + b1, 0)
    h2 = np.maximum(h1 @ w2 + b2, 0)
    logits = h2 @ w3 + b3
    p = np.exp(logits - logits.max(1, keepdims=True))
    return h1, h2, p / p.sum(1, keepdims=True)


def measures(trained):
    return measured(trained[0], trained[1])


def measured(model, data):
    from l2study.measuring.functions import FUNCTIONS
    from l2study.measuring.network import Network

    network = Network(model, data)
    return {name: function(network) for name, function in FUNCTIONS.items()}


def test_every_measure_has_an_entry_in_the_registry(trained):
    assert list(measures(trained)) == names("weights")


def test_another_run_s_weights_leave_no_trace(trained):
    from l2study.measuring.functions import FUNCTIONS
    from l2study.measuring.network import Network

    model, data, *_ = trained
    own, network = model.get_weights(), Network(model, data)
    first = {name: function(network) for name, function in FUNCTIONS.items()}
    network.set_weights([2 * w for w in own])
    assert FUNCTIONS["norm_product"](network) == pytest.approx(8 * first["norm_product"])
    assert FUNCTIONS["jacobian_norm"](network) != first["jacobian_norm"]
    network.set_weights(own)
    assert {name: function(network) for name, function in FUNCTIONS.items()} == first


def test_sensitivity_is_exact(trained):
    """d logits / d x of a ReLU network is W1 D1 W2 D2 W3, and d ce / d x = J^T (p - y)."""
    _, _, images, labels, weights = trained
    test = slice(150, 260)
    x, y = images[test].reshape(110, 12) / 255, np.eye(CLASSES)[labels[test]]
    h1, h2, p = forward(weights, x)
    w1, _, w2, _, w3, _ = weights
    jacobians = [
        w1 @ np.diag(a > 0) @ w2 @ np.diag(b > 0) @ w3 for a, b in zip(h1, h2, strict=True)
    ]
    softmax = [j @ (np.diag(q) - np.outer(q, q)) for j, q in zip(jacobians, p, strict=True)]
    gradients = [j @ (q - t) for j, q, t in zip(jacobians, p, y, strict=True)]
    found = measures(trained)
    assert found["jacobian_norm"] == pytest.approx(np.mean([np.linalg.norm(j) for j in jacobians]))
    assert found["softmax_jacobian_norm"] == pytest.approx(
        np.mean([np.linalg.norm(j) for j in softmax]), rel=1e-5
    )
    assert found["loss_gradient_norm"] == pytest.approx(
        np.mean([np.linalg.norm(g) for g in gradients]), rel=1e-5
    )


def test_noise_is_the_same_for_every_run_and_of_the_size_asked_for(trained):
    from l2study.data.streams import stream

    _, _, images, labels, weights = trained
    noise = stream("input noise").standard_normal((110, *SHAPE), np.float32)
    assert noise.std() == pytest.approx(1, abs=0.05)
    found = measures(trained)
    for sd in (0.1, 0.2, 0.3):
        x = (images[150:] / 255 + sd * noise).reshape(110, 12)
        right = forward(weights, x)[2].argmax(1) == labels[150:]
        assert found[f"test_accuracy_noise_{sd}"] == pytest.approx(right.mean(), abs=1e-9)


def test_weight_norm_is_split_by_what_training_data_lights(trained):
    first = trained[4][0]
    found = measures(trained)
    assert found["weight_norm_never_lit"] == pytest.approx(np.linalg.norm(first[:2]), rel=1e-6)
    assert found["weight_norm_lit"] == pytest.approx(np.linalg.norm(first[2:]), rel=1e-6)


def test_norms_of_all_kernels(trained):
    w1, _, w2, _, w3, _ = trained[4]
    found = measures(trained)
    assert found["output_kernel_norm"] == pytest.approx(np.linalg.norm(w3), rel=1e-6)
    product = np.linalg.norm(w1) * np.linalg.norm(w2) * np.linalg.norm(w3)
    assert found["norm_product"] == pytest.approx(product, rel=1e-6)


def test_inactive_share_counts_units_that_no_training_image_activates(trained):
    model, _, images, _, weights = trained
    model.layers[1].bias.assign(model.layers[1].bias + np.eye(8)[2] * -100)
    try:
        changed = [w.astype(float) for w in model.get_weights()]
        h1, h2, _ = forward(changed, images[:140].reshape(140, 12) / 255)
        dead = (h1.max(0) <= 0).sum() + (h2.max(0) <= 0).sum()
        assert dead >= 1
        assert measures(trained)["inactive_share"] == pytest.approx(dead / 14)
    finally:
        model.set_weights([w.astype(np.float32) for w in weights])


def test_expected_calibration_error_by_hand():
    """Two bins: (0.6, 2/3] with 0.62 right and 0.66 wrong, (0.8, 0.8667] with 0.85 right."""
    from l2study.measuring.functions import expected_calibration_error

    p = np.array([[0.62, 0.38], [0.66, 0.34], [0.85, 0.15]])
    expected = 2 / 3 * abs(0.5 - 0.64) + 1 / 3 * abs(1 - 0.85)
    assert expected_calibration_error(p, np.array([0, 1, 0])) == pytest.approx(expected)


def test_brier_score_against_scikit_learn():
    from sklearn.metrics import brier_score_loss

    from l2study.measuring.functions import brier_score

    random = np.random.default_rng(0)
    p = random.dirichlet([1, 1, 1], 50)
    labels = random.integers(0, 3, 50)
    expected = brier_score_loss(labels, p, labels=[0, 1, 2], scale_by_half=False)
    assert brier_score(p, labels) == pytest.approx(expected)


def test_calibration_is_of_the_test_set(trained):
    from l2study.measuring.functions import brier_score, expected_calibration_error

    _, _, images, labels, weights = trained
    p = forward(weights, images[150:].reshape(110, 12) / 255)[2]
    found = measures(trained)
    assert found["brier"] == pytest.approx(brier_score(p, labels[150:]), rel=1e-5)
    assert found["ece"] == pytest.approx(expected_calibration_error(p, labels[150:]), rel=1e-4)


def test_weight_histogram_counts_every_regularised_weight(trained):
    from l2study.measuring.functions import weight_histogram
    from l2study.measuring.network import Network

    model, data, _, _, weights = trained
    found = weight_histogram(Network(model, data))
    all_weights = np.concatenate([weights[0].ravel(), weights[2].ravel()])
    assert len(found["edges"]) == len(found["counts"]) + 1
    assert sum(found["counts"]) == all_weights.size
    middle = found["edges"].index(0.0)
    assert found["counts"][middle] == ((all_weights >= 0) & (all_weights < 0.02)).sum()


def test_a_model_without_hidden_units_is_measured():
    from l2study.training.model import build_model

    random = np.random.default_rng(1)
    images, labels = random.random((30, 4), np.float32), random.integers(0, 2, 30).astype(np.int32)
    model = build_model(
        {"hidden_units": [], "activation": "relu", "regularize_output": True},
        {"optimizer": "adam", "learning_rate": 0.01},
        l2=0.01,
        seed=0,
        input_shape=(4,),
        classes=2,
    )
    counts = {"train": 20, "validation": 0, "test": 10}
    found = measured(model, Prepared(images, labels, counts, 2, 1.0, "", ""))
    assert found["inactive_share"] is None
    kernel = model.get_weights()[0]
    assert found["jacobian_norm"] == pytest.approx(np.linalg.norm(kernel), rel=1e-6)
    assert found["weight_norm_never_lit"] == 0

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
    from l2study.training.model import build_model

    random = np.random.default_rng(5)
    images = random.integers(0, 256, (ROWS, *SHAPE)).astype(np.uint8)
    labels = images[:, 1, :CLASSES].argmax(1).astype(np.int32)
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
    for epoch in range(20):
        engine.train_epoch(np.random.default_rng(epoch).permutation(PARTS["train"]))
    counts = {"train": 140, "validation": 10, "test": 110}
    data = Prepared(images, labels, counts, CLASSES, 1 / 255, "", "")
    return model, data, images, labels, [w.astype(float) for w in model.get_weights()]


@pytest.fixture(scope="module")
def network(trained):
    """The trained model with its data. Tests that change it put back what was there."""
    from l2study.measuring.network import Network

    return Network(trained[0], trained[1])


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


def linear(kernel, bias, images, labels, training_rows):
    """Return the network of a softmax regression with these weights, on data of float images."""
    from l2study.measuring.network import Network
    from l2study.training.model import build_model

    model = build_model(
        {"hidden_units": [], "activation": "relu", "regularize_output": True},
        {"optimizer": "sgd", "learning_rate": 0.01},
        l2=0.0,
        seed=0,
        input_shape=images.shape[1:],
        classes=kernel.shape[1],
    )
    model.set_weights([kernel, bias])
    counts = {"train": training_rows, "validation": 0, "test": len(images) - training_rows}
    return Network(model, Prepared(images, labels, counts, kernel.shape[1], 1.0, "", ""))


def measures_of(network):
    from l2study.measuring.functions import FUNCTIONS

    return {name: function(network) for name, function in FUNCTIONS.items()}


def measured(model, data):
    from l2study.measuring.network import Network

    return measures_of(Network(model, data))


def test_every_measure_has_an_entry_in_the_registry(found):
    assert list(found) == names("weights")


def test_another_run_s_weights_leave_no_trace(trained, network, found):
    model, data, *_ = trained
    own = model.get_weights()
    try:
        network.set_weights([3 * np.flip(w) for w in own])
        other = measures_of(network)
        assert other == measured(model, data)
    finally:
        network.set_weights(own)
    assert measures_of(network) == found
    for name in ("jacobian_norm", "boundary_distance", "test_accuracy_pgd_0.05", "brier"):
        assert other[name] != found[name]


def test_other_data_are_measured_as_by_a_new_network(trained, network, found):
    """Other rows of the same shapes, and other limits: nothing is traced again."""
    from l2study.measuring.network import Network

    model, data, images, labels, _ = trained
    random = np.random.default_rng(8)
    other = images // 2 + random.integers(0, 9, images.shape).astype(np.uint8)
    changed = replace(data, images=other, labels=labels[::-1].copy())
    before, new = network.predicted(), Network(model, changed)
    try:
        network.set_data(changed)
        assert measures_of(network) == measures_of(new) != found
        for part, expected in new.predicted().items():
            for ours, theirs in zip(network.predicted()[part], expected, strict=True):
                assert ours.tolist() == theirs.tolist()
            assert (network.predicted()[part].probability != before[part].probability).any()
    finally:
        network.set_data(data)
    for name in ("sensitivity", "noise", "attack", "activity", "probability"):
        assert getattr(network, f"_{name}_program").experimental_get_tracing_count() == 1, name


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
    assert found["jacobian_norm"] == pytest.approx(np.mean([np.linalg.norm(j) for j in exact]))
    assert found["softmax_jacobian_norm"] == pytest.approx(
        np.mean([np.linalg.norm(j) for j in softmax]), rel=1e-5
    )
    assert found["loss_gradient_norm"] == pytest.approx(
        np.mean([np.linalg.norm(g) for g in gradients]), rel=1e-5
    )


def test_a_layer_before_the_first_dense_one_is_part_of_the_sensitivity(trained, network, found):
    """A layer that changes nothing leaves all measures as they are, one that doubles does not."""
    from l2study.measuring.network import Network
    from l2study.training.backend import keras

    model, data, *_, weights = trained
    flatten, *dense = model.layers

    def after(factor):
        layers = [keras.Input(SHAPE), flatten, keras.layers.Rescaling(factor), *dense]
        return Network(keras.Sequential(layers), data)

    assert measures_of(after(1.0)) == pytest.approx(found, rel=1e-5)
    doubled = after(2.0).sensitivities[0]
    try:
        network.set_weights([2 * weights[0], *weights[1:]])
        assert doubled == pytest.approx(network.sensitivities[0], rel=1e-5)
    finally:
        network.set_weights(weights)
    assert doubled != pytest.approx(network.sensitivities[0], rel=1e-2)


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


def test_boundary_distance_of_a_linear_network_is_that_to_a_line():
    """The line is 3 a + 4 b = 5. Distances: (3, 4): 4; (0, 0), on the wrong side: -1; (1, 3): 2."""
    from l2study.measuring.functions import FUNCTIONS

    images = np.array([[0, 0], [1, 1], [3, 4], [0, 0], [1, 3]], np.float32)
    labels = np.array([0, 1, 1, 1, 1], np.int32)
    kernel, bias = np.array([[-1, 2], [-1, 3]], np.float32), np.array([3, -2], np.float32)
    network = linear(kernel, bias, images, labels, 2)
    assert network.sensitivities[3] == pytest.approx(np.array([4, -1, 2]), rel=1e-6)
    assert FUNCTIONS["boundary_distance"](network) == pytest.approx(2)


def test_a_network_that_ignores_its_input_has_no_boundary_distance():
    from l2study.measuring.functions import FUNCTIONS

    images, labels = np.ones((5, 2), np.float32), np.array([0, 1, 1, 1, 0], np.int32)
    network = linear(np.zeros((2, 2), np.float32), np.array([0, 1], np.float32), images, labels, 2)
    assert network.sensitivities[3].tolist() == [np.inf, np.inf, -np.inf]
    assert FUNCTIONS["boundary_distance"](network) is None


def attacked(weights, x, labels, radius, size, steps, largest):
    """Return `x` of shape (rows, 12) attacked in double precision, in the range 0 to `largest`."""
    changed, y = x, np.eye(CLASSES)[labels]
    for _ in range(steps):
        error = forward(weights, changed)[2] - y
        gradient = np.einsum("rij,rj->ri", jacobians(weights, changed), error)
        changed = np.clip(changed + size * np.sign(gradient), x - radius, x + radius)
        changed = np.clip(changed, 0, largest)
    return changed


@pytest.mark.parametrize("radius", [0.02, 0.05])
@pytest.mark.parametrize(("attack", "relative_size", "steps"), [("fgsm", 1, 1), ("pgd", 0.25, 10)])
def test_attacks_are_those_written_out_in_numpy(
    trained, found, attack, relative_size, steps, radius
):
    import tensorflow as tf

    from l2study.measuring.network import Network

    model, data, images, labels, weights = trained
    x, y = images[150:].reshape(110, 12) / 255, labels[150:]
    size, largest = relative_size * radius, images[:140].max() / 255
    expected = attacked(weights, x, y, radius, size, steps, largest)
    given = tf.constant(images[150:] / 255, tf.float32)
    network = Network(model, data)
    changed = network.adversarial(given, tf.constant(y), radius, network.limits)
    changed = changed[("fgsm", "pgd").index(attack)].numpy()
    assert changed.reshape(110, 12) == pytest.approx(expected, abs=1e-6)
    right = forward(weights, expected)[2].argmax(1) == y
    assert found[f"test_accuracy_{attack}_{radius}"] == pytest.approx(right.mean())


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


def test_a_part_of_many_test_images_is_attacked(trained, monkeypatch):
    """With a large radius, ten steps lead elsewhere than one."""
    from l2study.measuring import network

    model, data, images, labels, weights = trained
    monkeypatch.setattr(network, "ATTACKED_IMAGES", 40)
    monkeypatch.setattr(network, "ATTACK_RADII", (0.2,))
    x, y = images[150::3].reshape(-1, 12) / 255, labels[150::3]
    expected = {}
    for attack, size, steps in (("fgsm", 0.2, 1), ("pgd", 0.05, 10)):
        changed = attacked(weights, x, y, 0.2, size, steps, images[:140].max() / 255)
        expected[attack] = {0.2: (forward(weights, changed)[2].argmax(1) == y).mean()}
    assert network.Network(model, data).attacks == expected
    assert expected["pgd"] != expected["fgsm"]


def test_noise_is_the_same_for_every_run_and_of_the_size_asked_for(trained, found):
    from l2study.data.streams import stream

    _, _, images, labels, weights = trained
    noise = stream("input noise").standard_normal((110, *SHAPE), np.float32)
    assert noise.std() == pytest.approx(1, abs=0.05)
    for sd in (0.1, 0.2, 0.3):
        x = (images[150:] / 255 + sd * noise).reshape(110, 12)
        right = forward(weights, x)[2].argmax(1) == labels[150:]
        assert found[f"test_accuracy_noise_{sd}"] == pytest.approx(right.mean(), abs=1e-9)


def test_weight_norm_is_split_by_what_training_data_lights(trained, found):
    first = trained[4][0]
    assert found["weight_norm_never_lit"] == pytest.approx(np.linalg.norm(first[:2]), rel=1e-6)
    assert found["weight_norm_lit"] == pytest.approx(np.linalg.norm(first[2:]), rel=1e-6)


def test_norms_of_all_kernels(trained, found):
    w1, _, w2, _, w3, _ = trained[4]
    assert found["output_kernel_norm"] == pytest.approx(np.linalg.norm(w3), rel=1e-6)
    product = np.linalg.norm(w1) * np.linalg.norm(w2) * np.linalg.norm(w3)
    assert found["norm_product"] == pytest.approx(product, rel=1e-6)


def test_inactive_share_counts_units_that_no_training_image_activates(trained, monkeypatch):
    from l2study.measuring import network
    from l2study.measuring.functions import FUNCTIONS
    from l2study.measuring.network import Network
    from l2study.training.backend import keras

    model, data, images, _, weights = trained
    model.layers[1].bias.assign(model.layers[1].bias + np.eye(8)[2] * -100)
    try:
        changed = [w.astype(float) for w in model.get_weights()]
        h1, h2, _ = forward(changed, images[:140].reshape(140, 12) / 255)
        dead = (h1.max(0) <= 0).sum() + (h2.max(0) <= 0).sum()
        assert dead >= 1
        assert FUNCTIONS["inactive_share"](Network(model, data)) == pytest.approx(dead / 14)
        # a unit that is active in the last batch alone counts as active
        monkeypatch.setattr(network, "_ROWS", 10)
        assert FUNCTIONS["inactive_share"](Network(model, data)) == pytest.approx(dead / 14)
        flatten, *hidden, output = model.layers
        layers = [keras.Input(SHAPE), flatten, *hidden, keras.layers.Rescaling(-1.0), output]
        behind = Network(keras.Sequential(layers), data)
        assert FUNCTIONS["inactive_share"](behind) == pytest.approx(dead / 14)
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


def test_calibration_is_of_the_test_set(trained, found):
    from l2study.measuring.functions import brier_score, expected_calibration_error

    _, _, images, labels, weights = trained
    p = forward(weights, images[150:].reshape(110, 12) / 255)[2]
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

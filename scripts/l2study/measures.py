"""What is measured once per run, with its final weights: sensitivity, calibration, weights."""

import numpy as np

from l2study.backend import keras, tf
from l2study.columns import NOISE_LEVELS
from l2study.engine import Data, compiled, count_correct, fold
from l2study.model import dense_layers, regularized_kernels
from l2study.streams import stream

CALIBRATION_BINS = 15
"""Equal-width bins of confidence in the expected calibration error, as in Guo et al. 2017."""

_HISTOGRAM_EDGES = np.round(np.linspace(-1, 1, 101), 2)
_SENSITIVITY_ROWS = 100
_ROWS = 1000


def final_measures(
    model: keras.Model, data: Data, labels: np.ndarray, parts: dict[str, range], lit: np.ndarray
) -> dict[str, float | None]:
    """Return every end-of-run measure of `model` by name.

    Args:
        model: a model of `build_model` with its final weights.
        data: the images and labels of all parts, on the device.
        labels: the same labels as an array, shape (rows,).
        parts: the rows of the parts "train" and "test".
        lit: for every input of the flattened image, whether it is ever non-zero in training data.

    All but the share of inactive units are of the test set, or of the weights alone:

    - `jacobian_norm` is the mean over the images of the Frobenius norm of d logits / d input,
      `softmax_jacobian_norm` the same of the probabilities, and `loss_gradient_norm` the mean
      Euclidean norm of d cross-entropy / d input. All three are exact.
    - `test_accuracy_noise_<sd>` is the accuracy under Gaussian noise of that standard deviation on
      the scaled input, the same noise for every run.
    - `weight_norm_lit` and `weight_norm_never_lit` split the Frobenius norm of the first
      regularised kernel by its rows.
    - `output_kernel_norm` is the Frobenius norm of the output kernel, regularised or not, and
      `norm_product` the product of the norms of all kernels: scaling one layer of a ReLU network
      down and the next one up changes neither the function nor this product.
    - `inactive_share` is the share of hidden ReLU units that no training image activates (None for
      another activation, or without hidden units).
    - `ece` and `brier`: see `expected_calibration_error` and `brier_score`.
    """
    test = parts["test"]
    labels = labels[test.start : test.stop]
    jacobian, softmax_jacobian, gradient = _sensitivity(model, data, test)
    probabilities, noisy_correct = _predictions(model, data, test, labels)
    norms = [float(np.linalg.norm(layer.kernel.numpy())) for layer in dense_layers(model)]
    first = regularized_kernels(model)[0].numpy().astype(np.float64)
    return {
        "jacobian_norm": float(jacobian) / len(test),
        "softmax_jacobian_norm": float(softmax_jacobian) / len(test),
        "loss_gradient_norm": float(gradient) / len(test),
        **{
            f"test_accuracy_noise_{sd}": correct / len(test)
            for sd, correct in noisy_correct.items()
        },
        "weight_norm_lit": float(np.linalg.norm(first[lit])),
        "weight_norm_never_lit": float(np.linalg.norm(first[~lit])),
        "output_kernel_norm": norms[-1],
        "norm_product": float(np.prod(norms)),
        "inactive_share": _inactive_share(model, data, parts["train"]),
        "ece": expected_calibration_error(probabilities, labels),
        "brier": brier_score(probabilities, labels),
    }


def lit_inputs(images: np.ndarray) -> np.ndarray:
    """Return, for every input of the flattened image, whether any of `images` has it non-zero.

    Args:
        images: shape (rows, *shape). Returns booleans of shape (inputs,).
    """
    return (images.any(axis=0)).ravel()


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error, a fraction.

    The images are binned by their confidence (the largest probability) into `CALIBRATION_BINS` bins
    of equal width; the result is the mean over the images of |accuracy - confidence| of their bin
    (Guo et al. 2017, "On calibration of modern neural networks", equation 3).

    Args:
        probabilities: shape (rows, classes). labels: integers, shape (rows,).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    # bins are open below and closed above, as in the paper; confidence is never 0
    bins = np.ceil(confidence * CALIBRATION_BINS).astype(int)
    excess = np.bincount(bins, weights=right - confidence)
    return float(np.abs(excess).sum() / len(labels))


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over the images of the squared distance between the probabilities and the
    one-hot label, from 0 to 2 (Brier 1950).

    Args:
        probabilities: shape (rows, classes). labels: integers, shape (rows,).
    """
    errors = probabilities.astype(np.float64)
    errors[np.arange(len(labels)), labels] -= 1
    return float(np.square(errors).sum(axis=1).mean())


def weight_histogram(model: keras.Model) -> dict[str, list]:
    """Return the histogram of all regularised weights: `edges` (one more than `counts`) from -1 to
    1 in steps of 0.02, and `counts`. Weights beyond the edges are counted in the outer bins.
    """
    weights = np.concatenate([kernel.numpy().ravel() for kernel in regularized_kernels(model)])
    counts, _ = np.histogram(weights.clip(-1, 1), _HISTOGRAM_EDGES)
    return {"edges": _HISTOGRAM_EDGES.tolist(), "counts": counts.tolist()}


def _logits(model: keras.Model, images: tf.Tensor) -> tf.Tensor:
    *body, output = model.layers
    for layer in body:
        images = layer(images)
    return tf.matmul(images, output.kernel) + output.bias


def _sensitivity(model: keras.Model, data: Data, rows: range) -> tuple:
    def norms(gradients: tf.Tensor) -> tf.Tensor:
        gradients = tf.reshape(tf.cast(gradients, tf.float64), [gradients.shape[0], -1])
        return tf.reduce_sum(tf.norm(gradients, axis=1))

    def step(first, length, jacobian_sum, softmax_sum, gradient_sum):
        images, labels = data.span(rows.start + first, length)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(images)
            logits = _logits(model, images)
            ce = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        jacobian = tape.batch_jacobian(logits, images)
        jacobian = tf.reshape(jacobian, [*logits.shape, -1])
        # d p / d x = (diag(p) - p p^T) d logits / d x
        p = tf.nn.softmax(logits)[..., tf.newaxis]
        softmax_jacobian = p * (jacobian - tf.reduce_sum(p * jacobian, axis=1, keepdims=True))
        return (
            jacobian_sum + norms(jacobian),
            softmax_sum + norms(softmax_jacobian),
            gradient_sum + norms(tape.gradient(ce, images)),
        )

    zero = tf.constant(0.0, tf.float64)
    return compiled(lambda: fold(step, len(rows), _SENSITIVITY_ROWS, (zero, zero, zero)))()


def _largest_activations(model: keras.Model, data: Data, rows: range) -> list[tf.Tensor]:
    *hidden, _ = dense_layers(model)

    def step(first, length, *largest):
        activations, _ = data.span(rows.start + first, length)
        seen = []
        for layer in model.layers[:-1]:
            activations = layer(activations)
            if layer in hidden:
                seen.append(tf.reduce_max(activations, axis=0))
        return tuple(tf.maximum(old, new) for old, new in zip(largest, seen, strict=True))

    start = tuple(tf.fill([layer.units], -np.inf) for layer in hidden)
    return compiled(lambda: fold(step, len(rows), _ROWS, start))()


def _inactive_share(model: keras.Model, data: Data, rows: range) -> float | None:
    *hidden, _ = dense_layers(model)
    if not hidden or hidden[0].activation is not keras.activations.relu:
        return None
    largest = np.concatenate([a.numpy() for a in _largest_activations(model, data, rows)])
    return float(np.mean(largest <= 0))


def _predictions(
    model: keras.Model, data: Data, rows: range, labels: np.ndarray
) -> tuple[np.ndarray, dict[float, int]]:
    noise_stream = stream("input noise")
    probabilities, correct = [], dict.fromkeys(NOISE_LEVELS, 0)
    for first in range(0, len(rows), _ROWS):
        right = labels[first : first + _ROWS]
        images, _ = data.span(rows.start + first, len(right))
        probabilities.append(model(images, training=False).numpy())
        noise = noise_stream.standard_normal(images.shape, np.float32)
        for sd in NOISE_LEVELS:
            correct[sd] += int(count_correct(right, model(images + sd * noise, training=False)))
    return np.concatenate(probabilities), correct

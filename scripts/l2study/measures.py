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


class FinalMeasures:
    """The end-of-run measures of one model on one data set, compiled at their first use."""

    def __init__(
        self,
        model: keras.Model,
        data: Data,
        labels: np.ndarray,
        parts: dict[str, range],
        lit: np.ndarray,
    ):
        """Take what is measured.

        Args:
            model: a model of `build_model`.
            data: the images and labels of all parts, on the device.
            labels: the same labels as an array, shape (rows,).
            parts: the rows of the parts "train" and "test".
            lit: for every input of the flattened image, whether it is ever non-zero in training
                data.
        """
        self._model, self._data, self._lit = model, data, lit
        self._train, self._test = parts["train"], parts["test"]
        self._labels = labels[self._test.start : self._test.stop]
        self._sensitivity_program = compiled(self._sensitivity)
        self._prediction_program = compiled(self._predict)
        self._activation_program = compiled(self._largest_activations)

    def measure(self) -> dict[str, float | None]:
        """Return every measure of the weights as they stand, by name.

        All but the share of inactive units are of the test set, or of the weights alone:

        - `jacobian_norm` is the mean over the images of the Frobenius norm of d logits / d input,
          `softmax_jacobian_norm` the same of the probabilities, and `loss_gradient_norm` the mean
          Euclidean norm of d cross-entropy / d input. All three are exact.
        - `test_accuracy_noise_<sd>` is the accuracy under Gaussian noise of that standard deviation
          on the scaled input, the same noise for every run.
        - `weight_norm_lit` and `weight_norm_never_lit` split the Frobenius norm of the first
          regularised kernel by its rows.
        - `output_kernel_norm` is the Frobenius norm of the output kernel, regularised or not, and
          `norm_product` the product of the norms of all kernels: scaling one layer of a ReLU
          network down and the next one up changes neither the function nor this product.
        - `inactive_share` is the share of hidden ReLU units that no training image activates (None
          for another activation, or without hidden units).
        - `ece` and `brier`: see `expected_calibration_error` and `brier_score`.
        """
        model, rows = self._model, len(self._test)
        jacobian, softmax_jacobian, gradient = self._sensitivity_program()
        probabilities, noisy_correct = self._predictions()
        norms = [float(np.linalg.norm(layer.kernel.numpy())) for layer in dense_layers(model)]
        first = regularized_kernels(model)[0].numpy().astype(np.float64)
        return {
            "jacobian_norm": float(jacobian) / rows,
            "softmax_jacobian_norm": float(softmax_jacobian) / rows,
            "loss_gradient_norm": float(gradient) / rows,
            **{
                f"test_accuracy_noise_{sd}": int(correct) / rows
                for sd, correct in zip(NOISE_LEVELS, noisy_correct, strict=True)
            },
            "weight_norm_lit": float(np.linalg.norm(first[self._lit])),
            "weight_norm_never_lit": float(np.linalg.norm(first[~self._lit])),
            "output_kernel_norm": norms[-1],
            "norm_product": float(np.prod(norms)),
            "inactive_share": self._inactive_share(),
            "ece": expected_calibration_error(probabilities, self._labels),
            "brier": brier_score(probabilities, self._labels),
        }

    def _sensitivity(self) -> tuple:
        def step(first, length, jacobian_sum, softmax_sum, gradient_sum):
            images, labels = self._data.span(self._test.start + first, length)
            with tf.GradientTape() as tape:
                tape.watch(images)
                logits = _logits(self._model, images)
            jacobian = tf.reshape(tape.batch_jacobian(logits, images), [*logits.shape, -1])
            # All three are norms of M J, and ||M J||^2 = trace(M (J J^T) M^T): M is the identity
            # for the logits, diag(p) - p p^T for the probabilities, p - y for the cross-entropy.
            gram = tf.matmul(jacobian, jacobian, transpose_b=True)
            p = tf.nn.softmax(logits)
            softmax = tf.linalg.diag(p) - p[:, :, tf.newaxis] * p[:, tf.newaxis, :]
            error = (p - tf.one_hot(labels, p.shape[1]))[:, tf.newaxis, :]
            return (
                jacobian_sum + norms(gram),
                softmax_sum + norms(softmax @ gram @ softmax),
                gradient_sum + norms(error @ gram @ tf.linalg.matrix_transpose(error)),
            )

        def norms(squares: tf.Tensor) -> tf.Tensor:
            traces = tf.cast(tf.linalg.trace(squares), tf.float64)
            return tf.reduce_sum(tf.sqrt(tf.maximum(traces, 0)))

        zero = tf.constant(0.0, tf.float64)
        return fold(step, len(self._test), _SENSITIVITY_ROWS, (zero, zero, zero))

    def _predictions(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities, and how many answers are right at each level of noise."""
        noise_stream = stream("input noise")
        results = []
        for first in range(0, len(self._test), _ROWS):
            rows = self._test[first : first + _ROWS]
            noise = noise_stream.standard_normal((len(rows), *self._data.shape), np.float32)
            results.append(self._prediction_program(tf.constant(rows.start), tf.constant(noise)))
        probabilities, correct = zip(*results, strict=True)
        return np.concatenate(probabilities), np.sum(correct, axis=0)

    def _predict(self, first: tf.Tensor, noise: tf.Tensor) -> tuple:
        images, labels = self._data.span(first, noise.shape[0])
        noisy = [self._model(images + sd * noise, training=False) for sd in NOISE_LEVELS]
        correct = tf.stack([count_correct(labels, probabilities) for probabilities in noisy])
        return self._model(images, training=False), correct

    def _inactive_share(self) -> float | None:
        *hidden, _ = dense_layers(self._model)
        if not hidden or hidden[0].activation is not keras.activations.relu:
            return None
        largest = np.concatenate([units.numpy() for units in self._activation_program()])
        return float(np.mean(largest <= 0))

    def _largest_activations(self) -> tuple:
        *hidden, _ = dense_layers(self._model)

        def step(first, length, *largest):
            activations, _ = self._data.span(self._train.start + first, length)
            seen = []
            for layer in self._model.layers[:-1]:
                activations = layer(activations)
                if layer in hidden:
                    seen.append(tf.reduce_max(activations, axis=0))
            return tuple(tf.maximum(old, new) for old, new in zip(largest, seen, strict=True))

        start = tuple(tf.fill([layer.units], -np.inf) for layer in hidden)
        return fold(step, len(self._train), _ROWS, start)


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

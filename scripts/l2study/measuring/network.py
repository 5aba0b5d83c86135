"""A trained network on its data: what the functions that measure it are given.

A measure is a function of a `Network`, registered with `measure` under the name that it has in
schemas/measures.yaml. What several of them need is computed once for each run, on demand.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from l2study.data.prepared import Prepared
from l2study.data.streams import stream
from l2study.training.backend import keras, tf
from l2study.training.engine import Data, compiled, count_correct, fold
from l2study.training.model import dense_layers

NOISE_LEVELS = (0.1, 0.2, 0.3)
"""Standard deviations of the input noise, in units of the scaled input (a pixel is 0 to 1)."""

_ROWS = 1000
_SENSITIVITY_ROWS = 100
"""Images per step: few enough for what is computed of them to stay in the cache."""

FUNCTIONS: dict[str, Callable] = {}
"""The function of every measure, by its name. Each returns a float, or None for no value."""


def measure(function: Callable) -> Callable:
    """Register `function` as the measure of its name."""
    FUNCTIONS[function.__name__] = function
    return function


class Network:
    """A model on one data set, whose weights are those of one run after the other.

    `test` and `train` are the rows of the test and of the training images, `labels` the classes of
    the test images, shape (test rows,), and `lit` says of every input of the flattened image
    whether it is ever non-zero in the training images.
    """

    def __init__(self, model: keras.Model, prepared: Prepared):
        """Take a model of `build_model` and its data. Programs are compiled at their first use."""
        self.model = model
        self._data = Data(prepared.images, prepared.labels, prepared.scale)
        self.train, self.test = prepared.parts["train"], prepared.parts["test"]
        self.labels = prepared.labels[prepared.test]
        self.lit = prepared.images[prepared.train].any(axis=0).ravel()
        self._sensitivity_program = compiled(self._sensitivity)
        self._prediction_program = compiled(self._predict)
        self._activation_program = compiled(self._find_largest_activations)

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Take the weights of another run, in the order that `model.set_weights` takes."""
        self.model.set_weights(weights)
        for name in ("sensitivities", "predictions", "largest_activations"):
            self.__dict__.pop(name, None)

    @cached_property
    def sensitivities(self) -> tuple[float, float, float]:
        """Mean norms over the test images of three derivatives by the input, all exact.

        The Frobenius norm of d logits / d input, that of d probabilities / d input, and the
        Euclidean norm of d cross-entropy / d input.
        """
        return tuple(float(total) / len(self.test) for total in self._sensitivity_program())

    @cached_property
    def predictions(self) -> tuple[np.ndarray, dict[float, float]]:
        """The probabilities of the test images, shape (rows, classes), and accuracies under noise.

        The second is the test accuracy under Gaussian noise on the scaled input, by its standard
        deviation. The noise is the same for every run.
        """
        noise_stream, results = stream("input noise"), []
        for first in range(0, len(self.test), _ROWS):
            rows = self.test[first : first + _ROWS]
            noise = noise_stream.standard_normal((len(rows), *self._data.shape), np.float32)
            results.append(self._prediction_program(tf.constant(rows.start), tf.constant(noise)))
        probabilities, correct = zip(*results, strict=True)
        shares = [int(count) / len(self.test) for count in np.sum(correct, axis=0)]
        return np.concatenate(probabilities), dict(zip(NOISE_LEVELS, shares, strict=True))

    @cached_property
    def largest_activations(self) -> np.ndarray:
        """The largest activation of every hidden unit over the training images."""
        return np.concatenate([units.numpy() for units in self._activation_program()])

    def _sensitivity(self) -> tuple:
        def step(first, length, jacobian_sum, softmax_sum, gradient_sum):
            images, labels = self._data.span(self.test.start + first, length)
            with tf.GradientTape() as tape:
                tape.watch(images)
                logits = _logits(self.model, images)
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
        return fold(step, len(self.test), _SENSITIVITY_ROWS, (zero, zero, zero))

    def _predict(self, first: tf.Tensor, noise: tf.Tensor) -> tuple:
        images, labels = self._data.span(first, noise.shape[0])
        noisy = [self.model(images + sd * noise, training=False) for sd in NOISE_LEVELS]
        correct = tf.stack([count_correct(labels, probabilities) for probabilities in noisy])
        return self.model(images, training=False), correct

    def _find_largest_activations(self) -> tuple:
        *hidden, _ = dense_layers(self.model)

        def step(first, length, *largest):
            activations, _ = self._data.span(self.train.start + first, length)
            seen = []
            for layer in self.model.layers[:-1]:
                activations = layer(activations)
                if layer in hidden:
                    seen.append(tf.reduce_max(activations, axis=0))
            return tuple(tf.maximum(old, new) for old, new in zip(largest, seen, strict=True))

        start = tuple(tf.fill([layer.units], -np.inf) for layer in hidden)
        return fold(step, len(self.train), _ROWS, start)


def _logits(model: keras.Model, images: tf.Tensor) -> tf.Tensor:
    *body, output = model.layers
    for layer in body:
        images = layer(images)
    return tf.matmul(images, output.kernel) + output.bias

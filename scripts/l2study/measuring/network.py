"""A trained network on its data: what the functions that measure it are given.

A measure is a function of a `Network`, registered with `measure` under the name that it has in
schemas/measures.yaml. What several of them need is computed once for each run, on demand. The data
are arguments of the programs, so that runs on other rows trace nothing again.

The programs are TensorFlow's graphs. With XLA, which training uses, a run would take a little less
time, but compiling would take as long as that saves in a dozen runs.
"""

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np

from l2study.core.predictions import PARTS, Predicted
from l2study.data.prepared import Prepared
from l2study.data.streams import stream
from l2study.training.backend import keras, tf
from l2study.training.engine import Data, count_correct, fold
from l2study.training.model import dense_layers

NOISE_LEVELS = (0.1, 0.2, 0.3)
"""Standard deviations of the input noise, in units of the scaled input (a pixel is 0 to 1)."""

ATTACK_RADII = (0.02, 0.05)
"""Largest change of an input under attack, in units of the scaled input."""

ATTACKED_IMAGES = 5000
"""Test images that are attacked at most, evenly spaced, so that it takes about half a second."""

_PGD_STEPS = 10
_ROWS = 1000
_ROWS_WITH_GRADIENTS = 200
"""Images per step: few enough for what is computed of them to stay in the cache."""

FUNCTIONS: dict[str, Callable] = {}
"""The function of every measure, by its name. Each returns a float, or None for no value."""


def measure(function: Callable) -> Callable:
    """Register `function` as the measure of its name."""
    FUNCTIONS[function.__name__] = function
    return function


class Network:
    """A model whose weights and data are those of one run after the other.

    `prepared` are the data, `test` and `train` the rows of the test and of the training images,
    `labels` the classes of the test images, shape (test rows,). `lit` says of every input of the
    flattened image whether it is ever non-zero in the training images, and `limits` are the
    smallest and the largest number of these images, scaled.
    """

    def __init__(self, model: keras.Model, prepared: Prepared):
        """Take a model of `build_model` and its data. Programs are traced at their first use."""
        self.model = model
        self.train, self.test = prepared.parts["train"], prepared.parts["test"]
        self.set_data(prepared)
        self._sensitivity_program = tf.function(self._sensitivity, autograph=False)
        self._noise_program = tf.function(self._with_noise, autograph=False)
        self._probability_program = tf.function(self._find_probabilities, autograph=False)
        self._attack_program = tf.function(self._attack, autograph=False)
        self._activity_program = tf.function(self._find_active, autograph=False)

    def set_data(self, prepared: Prepared) -> None:
        """Take the data of another run, of the same shape and as many in each part."""
        self.prepared = prepared
        self._data = Data(prepared.images, prepared.labels, prepared.scale)
        self.labels = prepared.labels[prepared.test]
        training_images = prepared.images[prepared.train]
        self.lit = training_images.any(axis=0).ravel()
        limits = [prepared.scale * float(f(training_images)) for f in (np.min, np.max)]
        self.limits = tf.constant(limits, tf.float32)
        self._forget()

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Take the weights of another run, in the order that `model.set_weights` takes."""
        self.model.set_weights(weights)
        self._forget()

    def _forget(self) -> None:
        for name in ("sensitivities", "predictions", "attacks", "ever_active"):
            self.__dict__.pop(name, None)

    @cached_property
    def sensitivities(self) -> tuple[float, float, float, np.ndarray]:
        """What derivatives by the input, all exact, say about the test images.

        The first three are means of norms: the Frobenius norm of d logits / d input, that of
        d probabilities / d input, and the Euclidean norm of d cross-entropy / d input. The last is
        the linearised distance of every image to the decision boundary, shape (test rows,).
        """
        *sums, distances = self._sensitivity_program(self._data)
        return *(float(total) / len(self.test) for total in sums), distances.numpy()

    @cached_property
    def predictions(self) -> tuple[np.ndarray, dict[float, float]]:
        """The probabilities of the test images, shape (rows, classes), and accuracies under noise.

        The second is the test accuracy under Gaussian noise on the scaled input, by its standard
        deviation. The noise is the same for every run.
        """
        given = zip(_batches(self.test), self._noise, strict=True)
        found = [self._noise_program(self._data, *batch) for batch in given]
        probabilities, right = zip(*found, strict=True)
        shares = [int(count) / len(self.test) for count in sum(right)]
        return np.concatenate(probabilities), dict(zip(NOISE_LEVELS, shares, strict=True))

    @cached_property
    def _noise(self) -> list[tf.Tensor]:
        """Standard normal noise for every batch of test images, whatever the run."""
        noise = stream("input noise").standard_normal
        shapes = [[*rows.shape, *self._data.shape] for rows in _batches(self.test)]
        return [tf.constant(noise(shape, np.float32)) for shape in shapes]

    @cached_property
    def attacks(self) -> dict[str, dict[float, float]]:
        """The test accuracy under attack, by the name of the attack and the radius.

        Both attacks change the scaled input by no more than the radius, in every pixel, and stay in
        the range of the training images. "fgsm" takes one step of the radius (fast gradient sign
        method, Goodfellow et al. 2015, "Explaining and harnessing adversarial examples"). "pgd"
        takes `_PGD_STEPS` steps of 2.5 radii over their number (projected gradient descent, Madry
        et al. 2018, "Towards deep learning models resistant to adversarial attacks"), and begins at
        the image itself. They are made on every k-th test image, with the smallest k that leaves at
        most `ATTACKED_IMAGES`.
        """
        rows = tf.constant(self.test[:: -(-len(self.test) // ATTACKED_IMAGES)])
        right = {
            radius: self._attack_program(self._data, rows, tf.constant(radius), self.limits)
            for radius in ATTACK_RADII
        }
        return {
            attack: {radius: int(count[i]) / len(rows) for radius, count in right.items()}
            for i, attack in enumerate(("fgsm", "pgd"))
        }

    @cached_property
    def ever_active(self) -> np.ndarray:
        """Whether any training image brings a hidden unit above 0, shape (units of all layers,).

        There must be a hidden layer.
        """
        active = tf.zeros([sum(layer.units for layer in dense_layers(self.model)[:-1])], tf.bool)
        for rows in _batches(self.train):
            active = self._activity_program(self._data, rows, active)
            if active.numpy().all():
                break
        return active.numpy()

    def predicted(self) -> dict[str, Predicted]:
        """Return what the network predicts for every image of the parts of `PARTS`."""
        return {
            part: _predicted(
                self.predictions[0] if part == "test" else self._probabilities(rows),
                self.prepared.labels[rows.start : rows.stop],
            )
            for part, rows in self.prepared.parts.items()
            if part in PARTS
        }

    def _probabilities(self, rows: range) -> np.ndarray:
        found = [self._probability_program(self._data, batch) for batch in _batches(rows)]
        return np.concatenate([np.empty((0, self.model.output_shape[-1]), np.float32), *found])

    def _sensitivity(self, data: Data) -> tuple:
        before, after, products = _halves(self.model)
        classes = self.model.output_shape[-1]

        def step(first, length, jacobian_sum, softmax_sum, gradient_sum, distances):
            images, labels = data.span(self.test.start + first, length)
            # An image for each class, whose logit is the one that is derived.
            sums = tf.repeat(before(images), classes, axis=0)
            with tf.GradientTape() as tape:
                tape.watch(sums)
                repeated = after(sums)
            of_class = tf.tile(tf.eye(classes), [length, 1])
            derived = tape.gradient(repeated, sums, of_class)
            derived = tf.reshape(derived, [length * classes, -1])
            weighted = derived if products is None else derived @ products
            jacobian, weighted = (
                tf.reshape(rows, [length, classes, -1]) for rows in (derived, weighted)
            )
            gram = tf.matmul(weighted, jacobian, transpose_b=True)
            logits = repeated[::classes]
            # All three are norms of M J, and ||M J||^2 = trace(M (J J^T) M^T): M is the identity
            # for the logits, diag(p) - p p^T for the probabilities, p - y for the cross-entropy.
            p = tf.nn.softmax(logits)
            softmax = tf.linalg.diag(p) - p[:, :, tf.newaxis] * p[:, tf.newaxis, :]
            error = (p - tf.one_hot(labels, classes))[:, tf.newaxis, :]
            rows = first + tf.range(length)[:, tf.newaxis]
            return (
                jacobian_sum + total(tf.linalg.trace(gram)),
                softmax_sum + total(tf.reduce_sum(softmax @ gram * softmax, [1, 2])),
                gradient_sum + total(tf.reduce_sum(error @ gram * error, [1, 2])),
                tf.tensor_scatter_nd_update(distances, rows, _distances(logits, gram, labels)),
            )

        def total(squares: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(tf.sqrt(tf.maximum(tf.cast(squares, tf.float64), 0)))

        zero = tf.constant(0.0, tf.float64)
        start = (zero, zero, zero, tf.zeros([len(self.test)]))
        return fold(step, len(self.test), _ROWS_WITH_GRADIENTS, start)

    def _with_noise(
        self, data: Data, rows: tf.Tensor, noise: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        before, after, _ = _halves(self.model)
        images, labels = data.rows(rows)
        clean, added = before(images), before(noise)
        noisy = (after(clean + sd * added) for sd in NOISE_LEVELS)
        right = tf.stack([count_correct(labels, logits) for logits in noisy])
        return tf.nn.softmax(after(clean)), right

    def _find_probabilities(self, data: Data, rows: tf.Tensor) -> tf.Tensor:
        return self.model(data.rows(rows)[0], training=False)

    def _attack(
        self, data: Data, rows: tf.Tensor, radius: tf.Tensor, limits: tf.Tensor
    ) -> tf.Tensor:
        def attack(first, length, correct):
            images, labels = data.rows(tf.slice(rows, [first], [length]))
            attacked = self.adversarial(images, labels, radius, limits)
            right = [
                count_correct(labels, _logits(self.model.layers, images)) for images in attacked
            ]
            return (correct + tf.stack(right),)

        return fold(attack, rows.shape[0], _ROWS_WITH_GRADIENTS, (tf.zeros([2], tf.int32),))[0]

    def adversarial(
        self, images: tf.Tensor, labels: tf.Tensor, radius: tf.Tensor, limits: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return `images` after each attack, "fgsm" and "pgd", see `attacks`.

        Each step follows the sign of the gradient of the cross-entropy. No number of the results is
        further than `radius` from that of its image, or outside `limits`.

        Args:
            images: scaled, shape (rows, *image shape); so are the results.
            labels: shape (rows,).
            radius: in units of the scaled input.
            limits: the smallest and the largest number of the training images, shape (2,).
        """
        smallest, largest = limits[0], limits[1]
        # An image that is outside the range of the training images may stay there.
        low = tf.maximum(images - radius, tf.minimum(images, smallest))
        high = tf.minimum(images + radius, tf.maximum(images, largest))
        right = tf.one_hot(labels, self.model.output_shape[-1])

        def signs(changed: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(changed)
                logits = _logits(self.model.layers, changed)
            # The cross-entropy is log(1 + exp(w)). Here w is the log-sum-exp of the other logits,
            # less that of the label. Both gradients point the same way. That of w, which follows,
            # does not vanish, however sure the network is.
            of_logits = tf.nn.softmax(tf.where(right > 0, -np.inf, logits)) - right
            return tf.sign(tape.gradient(logits, changed, of_logits))

        def moved(changed: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
            return tf.clip_by_value(changed + step, low, high)

        size, first = 2.5 * radius / _PGD_STEPS, signs(images)
        _, pgd = tf.while_loop(
            lambda number, _: number < _PGD_STEPS,
            lambda number, changed: (number + 1, moved(changed, size * signs(changed))),
            (tf.constant(1), moved(images, size * first)),
        )
        return moved(images, radius * first), pgd

    def _find_active(self, data: Data, rows: tf.Tensor, active: tf.Tensor) -> tf.Tensor:
        activations, found = data.rows(rows)[0], []
        *hidden, last = dense_layers(self.model)[:-1]
        for layer in self.model.layers[: self.model.layers.index(last)]:
            activations = layer(activations)
            if layer in hidden:
                found.append(tf.reduce_any(activations > 0, axis=0))
        # Of the last hidden layer only the units that are still looked for: they are few.
        left = tf.where(~active[-last.units :])
        sums = tf.matmul(activations, tf.gather(last.kernel, left[:, 0], axis=1))
        positive = tf.reduce_any(sums + tf.gather(last.bias, left[:, 0]) > 0, axis=0)
        found.append(tf.scatter_nd(left, positive, [last.units]))
        return active | tf.concat(found, axis=0)


def _batches(rows: range) -> Iterator[tf.Tensor]:
    """Yield the numbers of `rows` in batches."""
    for first in range(0, len(rows), _ROWS):
        yield tf.constant(rows[first : first + _ROWS])


def _predicted(probabilities: np.ndarray, labels: np.ndarray) -> Predicted:
    kind = np.min_scalar_type(probabilities.shape[1] - 1)
    return Predicted(
        label=labels.astype(kind),
        predicted=probabilities.argmax(axis=1).astype(kind),
        probability=probabilities[np.arange(len(labels)), labels],
    )


def _logits(layers: list[keras.layers.Layer], images: tf.Tensor) -> tf.Tensor:
    *body, output = layers
    for layer in body:
        images = layer(images)
    return tf.matmul(images, output.kernel) + output.bias


def _halves(model: keras.Model) -> tuple[Callable, Callable, tf.Tensor | None]:
    """Return two functions, of which the second takes what the first makes of images to logits.

    The first is linear, and the third result are the inner products of its derivatives, shape
    (outputs, outputs). So with the Jacobian S of the second, J J^T of both is S times these times
    S^T, which is much less to compute than J where the first layer is dense: a unit stands for all
    inputs. Where it is not, the first function does nothing and the third result is None.
    """
    flatten, first, *others = model.layers
    if first not in dense_layers(model):
        return tf.identity, lambda images: _logits(model.layers, images), None

    def before(images: tf.Tensor) -> tf.Tensor:
        return tf.matmul(flatten(images), first.kernel)

    def after(sums: tf.Tensor) -> tf.Tensor:
        sums += first.bias
        return _logits(others, first.activation(sums)) if others else sums

    return before, after, tf.matmul(first.kernel, first.kernel, transpose_a=True)


def _distances(logits: tf.Tensor, gram: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the linearised distance of every image to the decision boundary, shape (rows,).

    It is the minimum over the classes j other than the label y of (z_y - z_j) / ||g_y - g_j||, with
    the logits z and their gradients g: the first step of DeepFool (Moosavi-Dezfooli et al. 2016,
    equation 8). It is negative where the image is misclassified, and infinite where the logits do
    not depend on the image.

    Args:
        logits: shape (rows, classes).
        gram: the inner products of the gradients, shape (rows, classes, classes).
        labels: shape (rows,).
    """
    of_label = tf.gather(gram, labels, axis=1, batch_dims=1)
    squares = tf.linalg.diag_part(gram) - 2 * of_label
    squares += tf.gather(of_label, labels, axis=1, batch_dims=1)[:, tf.newaxis]
    margins = tf.gather(logits, labels, axis=1, batch_dims=1)[:, tf.newaxis] - logits
    flat = tf.where(margins < 0, -np.inf, np.inf)  # also where j is y
    distances = tf.where(squares > 0, margins / tf.sqrt(squares), flat)
    return tf.reduce_min(distances, axis=1)

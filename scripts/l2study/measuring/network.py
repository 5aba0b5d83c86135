"""A trained network on its data: what the functions that measure it are given.

A measure is a function of a `Network`, registered with `measure` under the name that it has in
schemas/measures.yaml. What several of them need is computed once for each run, on demand. The data
are arguments of the programs, so that runs on other rows trace nothing again.

A chain of dense layers is measured on all test images. There a derivative by the input follows from
one by the sums of the first layer, which are few. Any other model is measured on some of them, see
`DERIVED_IMAGES`, and so is a chain of so many classes that this would take longer than training.

The programs are TensorFlow's graphs. With XLA, which training uses for dense layers, a run would
take a little less time, but compiling would take as long as that saves in a dozen runs.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np

from l2study.core.predictions import PARTS, Predicted, predicted_of
from l2study.data.prepared import Prepared
from l2study.data.streams import stream
from l2study.measuring.structure import dense_chain
from l2study.training.backend import keras, tf
from l2study.training.engine import Data, count_correct, fold
from l2study.training.model import logits_of

NOISE_LEVELS = (0.1, 0.2, 0.3)
"""Standard deviations of the input noise, in units of the scaled input (a pixel is 0 to 1)."""

ATTACK_RADII = (0.02, 0.05)
"""Largest change of an input under attack, in units of the scaled input."""

ATTACKED_IMAGES = 5000
"""Test images that are attacked at most if the model is a chain of dense layers."""

CHAIN_CLASSES = 100
"""Classes that a chain of dense layers has at most, to be measured on all test images."""

DERIVED_IMAGES = 500
"""Test images of any other model that are attacked, or of which derivatives are taken, at most."""

DERIVATIVES = 50_000
"""Derivatives of any other model at most: one for each class of each such image."""

NOISY_IMAGES = 2000
"""Test images of any other model that get noise, at most."""

_PGD_STEPS = 10
_ROWS = 1000
_ROWS_WITH_GRADIENTS = 200
"""Images of a chain per step: few enough for what is computed of them to stay in the cache."""

_STEP_BYTES = 2**27
"""Bytes of the largest array of a step, at most. So there are fewer rows where images are large."""

_OTHER_ROWS, _OTHER_ROWS_WITH_GRADIENTS, _OTHER_NUMBERS = 100, 50, 750_000
"""Images of any other model per step, and the numbers of them all at most, or a fifth of these with
gradients. What its layers make of an image may be many times as large as the image."""

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
        self.classes = prepared.classes
        self.chain = dense_chain(model)
        self.set_data(prepared)
        self._sizes = self._sizes_of_steps()
        fast = self._fast_chain is not None
        sensitivity = self._by_first_layer if fast else self._class_by_class
        self._sensitivity_program = tf.function(sensitivity, autograph=False)
        self._noise_program = tf.function(self._with_noise, autograph=False)
        self._probability_program = tf.function(self._find_probabilities, autograph=False)
        self._attack_program = tf.function(self._attack, autograph=False)
        self._activity_program = tf.function(self._find_active, autograph=False)

    @property
    def _fast_chain(self) -> list[keras.layers.Layer] | None:
        """The layers of a chain that is measured on all test images; None for another model."""
        return self.chain if self.classes <= CHAIN_CLASSES else None

    def _sizes_of_steps(self) -> tuple[int, int, int]:
        """Return how many images a step has: without gradients, under attack, with derivatives."""
        inputs = math.prod(self._data.shape)
        if self._fast_chain is None:
            rows = max(1, min(_OTHER_ROWS, _OTHER_NUMBERS // inputs))
            with_gradients = max(1, min(_OTHER_ROWS_WITH_GRADIENTS, _OTHER_NUMBERS // 5 // inputs))
            return rows, with_gradients, with_gradients
        widest = max(layer.units for layer in _dense(self.chain))
        numbers = _STEP_BYTES // 4
        of_class = self.classes * max(widest, self.classes)
        return (
            max(1, min(_ROWS, numbers // inputs)),
            max(1, min(_ROWS_WITH_GRADIENTS, numbers // inputs)),
            max(1, min(_ROWS_WITH_GRADIENTS, numbers // of_class)),
        )

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
    def differentiable(self) -> bool:
        """Whether the logits have a derivative by the input: they have none by numbers of words."""
        if self.chain is not None:
            return True
        found = []

        def look(images: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(images)
                logits = self._logits(images)
            found.append(tape.gradient(logits, images) is not None)
            return logits

        spec = tf.TensorSpec([1, *self._data.shape], tf.float32)
        tf.function(look, autograph=False).get_concrete_function(spec)
        return found[0]

    @cached_property
    def sensitivities(self) -> tuple[float, float, float, np.ndarray] | None:
        """What derivatives by the input, all exact, say about the test images.

        The first three are means of norms: the Frobenius norm of d logits / d input, that of
        d probabilities / d input, and the Euclidean norm of d cross-entropy / d input. The last is
        the linearised distance to the decision boundary of every image that is taken, shape
        (images,): all of a chain of dense layers, else at most `DERIVED_IMAGES`. None for a model
        without such derivatives.
        """
        if not self.differentiable:
            return None
        *sums, distances = self._sensitivity_program(self._data)
        return *(float(total) / len(distances) for total in sums), distances.numpy()

    @cached_property
    def predictions(self) -> tuple[np.ndarray, dict[float, float | None]]:
        """The probabilities of the test images, shape (rows, classes), and accuracies under noise.

        The second is the test accuracy under Gaussian noise on the scaled input, by its standard
        deviation: on all images for a chain of dense layers, else on at most `NOISY_IMAGES`, and
        None where the input is numbers of words. The noise is the same for every run.
        """
        if not self.differentiable:
            return self._probabilities(self.test), dict.fromkeys(NOISE_LEVELS)
        rows = self.test if self._fast_chain else _spaced(self.test, NOISY_IMAGES)
        noise, parts, right = stream("input noise").standard_normal, [], 0
        for batch in self._batches(rows):
            drawn = tf.constant(noise([*batch.shape, *self._data.shape], np.float32))
            found, counts = self._noise_program(self._data, batch, drawn)
            parts.append(found)
            right += counts
        shares = [int(count) / len(rows) for count in right]
        probabilities = (
            np.concatenate(parts) if self._fast_chain else self._probabilities(self.test)
        )
        return probabilities, dict(zip(NOISE_LEVELS, shares, strict=True))

    @cached_property
    def attacks(self) -> dict[str, dict[float, float | None]]:
        """The test accuracy under attack, by the name of the attack and the radius.

        Both attacks change the scaled input by no more than the radius, in every pixel, and stay in
        the range of the training images. "fgsm" takes one step of the radius (fast gradient sign
        method, Goodfellow et al. 2015, "Explaining and harnessing adversarial examples"). "pgd"
        takes `_PGD_STEPS` steps of 2.5 radii over their number (projected gradient descent, Madry
        et al. 2018, "Towards deep learning models resistant to adversarial attacks"), and begins at
        the image itself. They are made on every k-th test image, with the smallest k that leaves at
        most `ATTACKED_IMAGES`, or `DERIVED_IMAGES` of a model that is no chain of dense layers.
        Without derivatives by the input, each is None.
        """
        if not self.differentiable:
            return {attack: dict.fromkeys(ATTACK_RADII) for attack in ("fgsm", "pgd")}
        most = ATTACKED_IMAGES if self._fast_chain else DERIVED_IMAGES
        rows = tf.constant(_spaced(self.test, most))
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

        The model must be a chain of dense layers, with a hidden one.
        """
        active = tf.zeros([sum(layer.units for layer in _dense(self.chain)[:-1])], tf.bool)
        for rows in self._batches(self.train):
            active = self._activity_program(self._data, rows, active)
            if active.numpy().all():
                break
        return active.numpy()

    def predicted(self) -> dict[str, Predicted]:
        """Return what the network predicts for every image of the parts of `PARTS`."""
        return {
            part: predicted_of(
                self.predictions[0] if part == "test" else self._probabilities(rows),
                self.prepared.labels[rows.start : rows.stop],
            )
            for part, rows in self.prepared.parts.items()
            if part in PARTS
        }

    def _probabilities(self, rows: range) -> np.ndarray:
        found = [self._probability_program(self._data, batch) for batch in self._batches(rows)]
        return np.concatenate([np.empty((0, self.classes), np.float32), *found])

    def _batches(self, rows: Sequence[int]) -> Iterator[tf.Tensor]:
        """Yield the numbers of `rows` in batches."""
        size = self._sizes[0]
        for first in range(0, len(rows), size):
            yield tf.constant(rows[first : first + size])

    def _logits(self, images: tf.Tensor) -> tf.Tensor:
        if self._fast_chain:
            return _through(self.chain, _flat(images, self.chain))
        return tf.cast(logits_of(self.model, images), tf.float32)

    def _by_first_layer(self, data: Data) -> tuple:
        """Return what `sensitivities` needs of a chain of dense layers, of all test images."""
        before, after, products = _halves(self.chain)
        classes = self.classes

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
            weighted = derived @ products
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
                jacobian_sum + _total(tf.linalg.trace(gram)),
                softmax_sum + _total(tf.reduce_sum(softmax @ gram * softmax, [1, 2])),
                gradient_sum + _total(tf.reduce_sum(error @ gram * error, [1, 2])),
                tf.tensor_scatter_nd_update(distances, rows, _distances(logits, gram, labels)),
            )

        zero = tf.constant(0.0, tf.float64)
        start = (zero, zero, zero, tf.zeros([len(self.test)]))
        return fold(step, len(self.test), self._sizes[2], start)

    def _class_by_class(self, data: Data) -> tuple:
        """Return what `sensitivities` needs of any model, of some test images.

        The logits are computed once and derived for one class after the other. Of all these
        derivatives only sums are kept, so that memory does not grow with the classes.
        """
        classes = self.classes
        most = min(DERIVED_IMAGES, max(1, DERIVATIVES // classes))
        rows = tf.constant(list(_spaced(self.test, most)))

        def step(first, length, jacobian_sum, softmax_sum, gradient_sum, distances):
            images, labels = data.rows(tf.slice(rows, [first], [length]))
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(images)
                logits = self._logits(images)

            def derived(of_logits: tf.Tensor) -> tf.Tensor:
                return tf.reshape(tape.gradient(logits, images, of_logits), [length, -1])

            p, right = tf.nn.softmax(logits), tf.one_hot(labels, classes)
            # With the derivative g of every logit and their mean m, weighted with p: the derivative
            # of p_i is p_i (g_i - m), and that of the cross-entropy is m - g of the label.
            mean, of_label = derived(p), derived(right)

            def of_class(number, squares, softmax_squares, nearest):
                one = derived(tf.one_hot(tf.fill([length], number), classes))
                margins = tf.reduce_sum(right * logits, 1) - logits[:, number]
                distance = _distance(margins, _squares(of_label - one))
                other = labels != tf.cast(number, labels.dtype)
                return (
                    number + 1,
                    squares + _squares(one),
                    softmax_squares + tf.square(p[:, number]) * _squares(one - mean),
                    tf.minimum(nearest, tf.where(other, distance, np.inf)),
                )

            zeros = tf.zeros([length])
            _, squares, softmax_squares, nearest = tf.while_loop(
                lambda number, *_: number < classes,
                of_class,
                (tf.constant(0), zeros, zeros, tf.fill([length], np.inf)),
            )
            places = first + tf.range(length)[:, tf.newaxis]
            return (
                jacobian_sum + _total(squares),
                softmax_sum + _total(softmax_squares),
                gradient_sum + _total(_squares(mean - of_label)),
                tf.tensor_scatter_nd_update(distances, places, nearest),
            )

        zero = tf.constant(0.0, tf.float64)
        start = (zero, zero, zero, tf.zeros([rows.shape[0]]))
        return fold(step, rows.shape[0], self._sizes[2], start)

    def _with_noise(
        self, data: Data, rows: tf.Tensor, noise: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the probabilities of a chain, nothing for any other model, and how many rows are
        right at every level of noise.
        """
        images, labels = data.rows(rows)
        if not self._fast_chain:
            noisy = (self._logits(images + sd * noise) for sd in NOISE_LEVELS)
            right = tf.stack([count_correct(labels, logits) for logits in noisy])
            return tf.zeros([0, self.classes]), right
        before, after, _ = _halves(self.chain)
        clean, added = before(images), before(noise)
        noisy = (after(clean + sd * added) for sd in NOISE_LEVELS)
        right = tf.stack([count_correct(labels, logits) for logits in noisy])
        return tf.nn.softmax(after(clean)), right

    def _find_probabilities(self, data: Data, rows: tf.Tensor) -> tf.Tensor:
        logits = tf.cast(logits_of(self.model, data.rows(rows)[0]), tf.float32)
        return tf.nn.softmax(logits)

    def _attack(
        self, data: Data, rows: tf.Tensor, radius: tf.Tensor, limits: tf.Tensor
    ) -> tf.Tensor:
        def attack(first, length, correct):
            images, labels = data.rows(tf.slice(rows, [first], [length]))
            attacked = self.adversarial(images, labels, radius, limits)
            right = [count_correct(labels, self._logits(images)) for images in attacked]
            return (correct + tf.stack(right),)

        return fold(attack, rows.shape[0], self._sizes[1], (tf.zeros([2], tf.int32),))[0]

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
        right = tf.one_hot(labels, self.classes)

        def signs(changed: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(changed)
                logits = self._logits(changed)
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
        activations, found = _flat(data.rows(rows)[0], self.chain), []
        *hidden, last = _dense(self.chain)[:-1]
        for layer in self.chain[: self.chain.index(last)]:
            activations = layer(activations)
            if layer in hidden:
                found.append(tf.reduce_any(activations > 0, axis=0))
        # Of the last hidden layer only the units that are still looked for: they are few.
        left = tf.where(~active[-last.units :])
        sums = tf.matmul(activations, tf.gather(last.kernel, left[:, 0], axis=1))
        if last.bias is not None:
            sums += tf.gather(last.bias, left[:, 0])
        positive = tf.reduce_any(sums > 0, axis=0)
        found.append(tf.scatter_nd(left, positive, [last.units]))
        return active | tf.concat(found, axis=0)


def _spaced(rows: range, most: int) -> range:
    """Return every k-th of `rows`, with the smallest k that leaves at most `most`."""
    return rows[:: max(1, -(-len(rows) // most))]


def _dense(chain: list[keras.layers.Layer]) -> list[keras.layers.Dense]:
    return [layer for layer in chain if isinstance(layer, keras.layers.Dense)]


def _flat(images: tf.Tensor, chain: list[keras.layers.Layer]) -> tf.Tensor:
    return tf.reshape(images, [-1, chain[0].kernel.shape[0]])


def _through(layers: list[keras.layers.Layer], values: tf.Tensor) -> tf.Tensor:
    """Return the logits that layers of a chain, up to its last one, make of their inputs."""
    *body, output = layers
    for layer in body:
        values = layer(values)
    return _with_bias(tf.matmul(values, output.kernel), output)


def _with_bias(sums: tf.Tensor, layer: keras.layers.Dense) -> tf.Tensor:
    return sums if layer.bias is None else sums + layer.bias


def _halves(chain: list[keras.layers.Layer]) -> tuple[Callable, Callable, tf.Tensor]:
    """Return two functions, of which the second takes what the first makes of images to logits.

    The first is linear, and the third result are the inner products of its derivatives, shape
    (outputs, outputs). So with the Jacobian S of the second, J J^T of both is S times these times
    S^T, which is much less to compute than J: a unit stands for all inputs.
    """
    first, *others = chain

    def before(images: tf.Tensor) -> tf.Tensor:
        return tf.matmul(_flat(images, chain), first.kernel)

    def after(sums: tf.Tensor) -> tf.Tensor:
        sums = _with_bias(sums, first)
        return _through(others, first.activation(sums)) if others else sums

    return before, after, tf.matmul(first.kernel, first.kernel, transpose_a=True)


def _squares(rows: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.square(rows), axis=1)


def _total(squares: tf.Tensor) -> tf.Tensor:
    """Return the sum of the square roots, in double precision."""
    return tf.reduce_sum(tf.sqrt(tf.maximum(tf.cast(squares, tf.float64), 0)))


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
    # Where j is y, both are 0.
    return tf.reduce_min(_distance(margins, squares), axis=1)


def _distance(margins: tf.Tensor, squares: tf.Tensor) -> tf.Tensor:
    """Return the margin over the root of the square, infinite where that is 0."""
    flat = tf.where(margins < 0, -np.inf, np.inf)
    return tf.where(squares > 0, margins / tf.sqrt(squares), flat)

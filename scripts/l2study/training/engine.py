"""Training and evaluation, each compiled into one program per epoch.

`keras.Model.fit` returns to Python after every batch. Here an epoch is a single program: a loop
over row numbers that gathers a batch from images kept as they are stored, and then does what
`Model.train_step` does, with Keras's own model, loss and optimizer. The program is compiled by XLA
or is a graph of TensorFlow's own kernels, see `model.suits_xla`. The results are those of
`model.fit` on the same order of rows, with `jit_compile` true or false, up to the rounding of
single precision.
"""

from collections.abc import Callable

import numpy as np

from l2study.core.columns import TRAINING_MODE_COLUMN
from l2study.core.predictions import PARTS, Predicted, predicted_of
from l2study.data.prepared import Prepared
from l2study.training.backend import keras, tf
from l2study.training.model import (
    coefficients,
    matrix_shape,
    random_states,
    regularized_kernels,
    suits_xla,
    traits_of,
)

_EVALUATION_ROWS = {"xla": 1000, "graph": 250}
"""Images per step of an evaluation, by the kind of program: few enough for their activations to
stay in the cache. What suits XLA has few."""


def resident(array: np.ndarray) -> tf.Tensor:
    """Return `array` as a tensor on the device; on a CPU, the same memory without a copy.

    An array mapped from a file then stays in the page cache, shared by all jobs of a machine. An
    array that does not begin at a multiple of 64 bytes, as TensorFlow needs, is copied.
    """
    if tf.config.list_physical_devices("GPU") or array.ctypes.data % 64:
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(np.asarray(array).__dlpack__())


def compiled(function: Callable, program: str) -> Callable:
    """Return `function` as one program, "xla" or "graph", which is made at its first call."""
    return tf.function(function, jit_compile=program == "xla", autograph=False)


def fold(step: Callable, rows: int, size: int, state: tuple) -> tuple:
    """Return `state` after `step(first, length, *state)` for every batch of `size` rows in turn.

    To be called in a `compiled` function. The last batch is smaller where `size` does not
    divide `rows`, as in `model.fit`.
    """
    whole = rows // size
    if whole:

        def body(batch: tf.Tensor, *state: tf.Tensor) -> tuple:
            return (batch + 1, *step(batch * size, size, *state))

        _, *state = tf.while_loop(lambda batch, *_: batch < whole, body, (tf.constant(0), *state))
    if rows % size:
        state = step(whole * size, rows % size, *state)
    return tuple(state)


class Data(tf.experimental.ExtensionType):
    """Images and labels on the device: an argument of compiled programs, which read it in batches.

    A program is compiled once for every shape, type and scale, and serves all data of that kind.
    """

    images: tf.Tensor
    labels: tf.Tensor
    scale: float

    def __init__(self, images: np.ndarray, labels: np.ndarray, scale: float):
        """Take images (rows, *shape) of any number type, integer labels (rows,), and the factor
        that the images are multiplied with before the model sees them.
        """
        self.images, self.labels, self.scale = resident(images), resident(labels), scale

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one image."""
        return tuple(self.images.shape[1:])

    def rows(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the images (as scaled float32) and the labels at `indices`."""
        images = tf.gather(self.images, indices)
        return self._scaled(images), tf.gather(self.labels, indices)

    def span(self, first: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Return `length` images (as scaled float32) and labels from row `first` on."""
        start = [first] + [0] * len(self.shape)
        images = tf.slice(self.images, start, [length, *self.shape])
        return self._scaled(images), tf.slice(self.labels, [first], [length])

    def _scaled(self, images: tf.Tensor) -> tf.Tensor:
        return tf.cast(images, tf.float32) * tf.constant(self.scale, tf.float32)


def kind(data: Prepared) -> list:
    """Return all that compiled programs know of prepared data: which rows they have is no part."""
    images = data.images
    return [images.shape, images.dtype.name, data.counts, data.classes, data.scale]


def count_correct(labels: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return how many rows of `outputs`, probabilities or logits, are largest at their label."""
    predicted = tf.argmax(outputs, -1, output_type=tf.int32)
    return tf.reduce_sum(tf.cast(predicted == tf.cast(labels, tf.int32), tf.int32))


class Engine:
    """Trains and evaluates one compiled model, on the data of one run after the other.

    Sums over batches are kept in double precision; everything the model and the optimizer compute
    is in Keras's single precision.
    """

    def __init__(
        self,
        model: keras.Model,
        data: Data,
        parts: dict[str, range],
        batch_size: int,
        program: str | None = None,
    ):
        """Take a model of `build_model`, the rows of the parts "train", "val" and "test", and the
        kind of program: "xla" or "graph", left out for the one that suits the model.
        """
        self.model, self._data, self._parts, self._batch_size = model, data, parts, batch_size
        traits = traits_of(model, data.shape)
        self.program = program or ("xla" if suits_xla(model, traits) else "graph")
        model.optimizer.build(model.trainable_variables)
        self._train_program = compiled(self._train_step_by_step, self.program)
        self._evaluation_program = compiled(self._evaluate, self.program)
        self._prediction_program = tf.function(self._find_probabilities, autograph=False)
        self._mode_program = None
        if traits.has_training_mode:
            self._mode_program = compiled(self._count_in_training_mode, self.program)

    def restart(self, model: keras.Model, data: Data) -> None:
        """Go on from the state of `model`, built as this engine's own but for lambda and seed.

        What has been compiled is used again: it depends on neither, nor on what is in the data.

        Args:
            model: of `build_model`.
            data: of the same shape and parts as the data before.
        """
        self._data = data
        model.optimizer.build(model.trainable_variables)
        for own, new in zip(_state(self.model), _state(model), strict=True):
            own.assign(new)

    def train_epoch(self, order: np.ndarray) -> tuple[float, float]:
        """Train on the rows in `order` and return the running loss and the running accuracy.

        Args:
            order: row numbers, shape (training rows,).

        Both are means over the images of the epoch while the weights change, the loss with its
        penalty, weighted as `model.fit` weights them: each batch by its size.
        """
        loss, correct = self._train_program(self._data, tf.constant(order, tf.int32))
        return float(loss) / len(order), int(correct) / len(order)

    def _train_step_by_step(self, data: Data, order: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        model, variables = self.model, self.model.trainable_variables

        def step(first, length, loss_sum, correct):
            images, labels = data.rows(tf.slice(order, [first], [length]))
            with tf.GradientTape() as tape:
                outputs = model(images, training=True)
                loss = model.compute_loss(images, labels, outputs, training=True)
            model.optimizer.apply(tape.gradient(loss, variables), variables)
            return (
                loss_sum + tf.cast(loss, tf.float64) * length,
                correct + count_correct(labels, outputs),
            )

        start = (tf.constant(0.0, tf.float64), tf.constant(0))
        return fold(step, order.shape[0], self._batch_size, start)

    def evaluate(self) -> dict[str, float]:
        """Return the measures of the weights as they stand, named as the columns of history.csv.

        `<part>_ce` is the mean cross-entropy and `<part>_accuracy` the share of right answers of
        each part, `train_loss` and `val_loss` are Keras's own loss, `penalty` is the sum of the
        model's regularisation terms; `weight_norm` is the Frobenius norm over the regularised
        kernels, `weight_max_abs` their largest absolute weight, and `spectral_norm` the largest
        singular value of any of them as a matrix, see `matrix_shape`. Where the model computes
        something else while it is trained, `train_accuracy_training_mode` is the share of right
        answers of the training part in that mode.
        """
        sums, penalty, weight_norm, weight_max_abs = self._evaluation_program(self._data)
        measures = {}
        for (part, rows), ce, loss, correct in zip(self._parts.items(), *sums, strict=True):
            measures[f"{part}_ce"] = float(ce) / len(rows)
            measures[f"{part}_loss"] = float(loss) / len(rows)
            measures[f"{part}_accuracy"] = int(correct) / len(rows)
        if self._mode_program:
            share = int(self._mode_program(self._data)) / len(self._parts["train"])
            measures[TRAINING_MODE_COLUMN] = share
        return measures | {
            "penalty": float(penalty),
            "weight_norm": float(weight_norm),
            "weight_max_abs": float(weight_max_abs),
            "spectral_norm": max(spectral_norm(k.numpy()) for k in regularized_kernels(self.model)),
        }

    def weights(self) -> list[np.ndarray]:
        """Return a copy of all weights as they stand, in the order of `model.weights`."""
        return [np.array(weight.numpy()) for weight in self.model.weights]

    def predictions(self, weights: list[np.ndarray]) -> dict[str, Predicted]:
        """Return what the model predicts with `weights`, of `weights()`, for every image of the
        parts of `PARTS`, and leave the model as it was.
        """
        before = self.weights()
        self._assign(weights)
        predicted = {part: self._predicted(self._parts[part]) for part in PARTS}
        self._assign(before)
        return predicted

    def _assign(self, weights: list[np.ndarray]) -> None:
        for own, new in zip(self.model.weights, weights, strict=True):
            own.assign(new)

    def _predicted(self, rows: range) -> Predicted:
        size = _EVALUATION_ROWS[self.program]
        found = []
        for first in range(rows.start, rows.stop, size):
            of_batch = tf.range(first, min(first + size, rows.stop))
            found.append(self._prediction_program(self._data, of_batch).numpy())
        labels = tf.gather(self._data.labels, tf.range(rows.start, rows.stop)).numpy()
        return predicted_of(np.concatenate(found), labels)

    def _find_probabilities(self, data: Data, rows: tf.Tensor) -> tf.Tensor:
        outputs = tf.cast(self.model(data.rows(rows)[0], training=False), tf.float32)
        return tf.nn.softmax(outputs) if self.model.loss.from_logits else outputs

    def _count_in_training_mode(self, data: Data) -> tf.Tensor:
        """Return how many training rows are right in training mode, in batches of their order in
        the data, and leave the state of the model as it was.
        """
        model, rows = self.model, self._parts["train"]
        state = [*model.non_trainable_weights, *random_states(model)]
        before = [tf.identity(one.value) for one in state]

        def step(first, length, correct):
            images, labels = data.span(rows.start + first, length)
            return (correct + count_correct(labels, model(images, training=True)),)

        (correct,) = fold(step, len(rows), self._batch_size, (tf.constant(0),))
        for one, value in zip(state, before, strict=True):
            one.assign(value)
        return correct

    def _evaluate(self, data: Data) -> tuple:
        model, parts = self.model, self._parts.values()
        size = _EVALUATION_ROWS[self.program]

        def step(part, first, length, ce_sums, loss_sums, correct):
            images, labels = data.span(first, length)
            outputs = model(images, training=False)
            ce = keras.losses.sparse_categorical_crossentropy(
                labels, outputs, from_logits=model.loss.from_logits
            )
            loss = model.compute_loss(images, labels, outputs, training=False)
            own = tf.one_hot(part, len(parts), dtype=tf.float64)
            return (
                ce_sums + own * tf.reduce_sum(tf.cast(ce, tf.float64)),
                loss_sums + own * tf.cast(loss, tf.float64) * length,
                correct + tf.cast(own, tf.int32) * count_correct(labels, outputs),
            )

        # All whole batches in one loop, whatever their part: each loop is compiled by itself.
        whole = [
            (part, rows.start + batch * size)
            for part, rows in enumerate(parts)
            for batch in range(len(rows) // size)
        ]
        zeros = tf.zeros([len(parts)], tf.float64)
        sums = (zeros, zeros, tf.zeros([len(parts)], tf.int32))
        table = tf.constant(whole)
        sums = fold(
            lambda batch, _, *sums: step(table[batch, 0], table[batch, 1], size, *sums),
            len(whole),
            1,
            sums,
        )
        for part, rows in enumerate(parts):
            if left := len(rows) % size:
                sums = step(part, tf.constant(rows.stop - left), left, *sums)
        kernels = [tf.cast(kernel, tf.float64) for kernel in regularized_kernels(model)]
        squares = tf.add_n([tf.reduce_sum(tf.square(kernel)) for kernel in kernels])
        largest = tf.reduce_max(tf.stack([tf.reduce_max(tf.abs(kernel)) for kernel in kernels]))
        penalties = [kernel.regularizer.penalty(kernel) for kernel in regularized_kernels(model)]
        return sums, tf.add_n(penalties), tf.sqrt(squares), largest


def _state(model: keras.Model) -> list:
    return [*model.variables, *model.optimizer.variables, *coefficients(model)]


def spectral_norm(kernel: np.ndarray) -> float:
    """Return the largest singular value of `kernel` as a matrix, see `matrix_shape`.

    It comes from the eigenvalues of the smaller Gram matrix in double precision, and is not a
    number where the kernel is not finite.
    """
    if not np.isfinite(kernel).all():
        return float("nan")
    matrix = kernel.reshape(matrix_shape(kernel.shape))
    tall = np.asarray(matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T, np.float64)
    return float(np.sqrt(max(np.linalg.eigvalsh(tall.T @ tall)[-1], 0.0)))

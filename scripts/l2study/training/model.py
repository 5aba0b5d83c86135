"""The Keras model of a run: dense layers, L2 on their kernels, and an optimizer."""

import itertools

from l2study.data.streams import stream
from l2study.training.backend import keras, tf

_OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": keras.optimizers.SGD,
}


class L2(keras.regularizers.L2):
    """Keras's L2, `l2 * sum(W**2)`, with a coefficient that is fed to compiled programs.

    The coefficient is a variable, not a constant inside them, so one program serves every lambda.
    """

    def __init__(self, l2: float):
        """Take the coefficient."""
        super().__init__(l2)
        self.l2 = tf.Variable(self.l2, trainable=False, dtype=tf.float32)

    def __call__(self, kernel: tf.Tensor) -> tf.Tensor:
        """Return the penalty of `kernel`, shape (inputs, units).

        A matrix product sums the rows, since the processor does many of them at a time. XLA would
        sum a whole matrix one by one.
        """
        ones = tf.ones([kernel.shape[1], 1])
        return self.l2 * tf.reduce_sum(tf.matmul(tf.square(kernel), ones))


def build_model(
    architecture: dict,
    training: dict,
    l2: float,
    seed: int,
    input_shape: tuple[int, ...],
    classes: int,
) -> keras.Model:
    """Return `Flatten -> Dense(..., kernel_regularizer=L2(l2)) ... -> Dense(softmax)`, compiled.

    Args:
        architecture: `hidden_units` (a list, one entry per hidden layer), `activation` and
            `regularize_output`, as in the configuration.
        training: `optimizer`, `learning_rate` and perhaps `momentum`, as in the configuration.
        l2: the coefficient; the penalty is l2 * sum(W**2), without one half.
        seed: fixes the initial weights, the same for every l2.
        input_shape: shape of one image.
        classes: number of classes; labels are integers from 0.

    The loss is the cross-entropy of integer labels, and accuracy is compiled as a metric. So the
    model can be given to `model.fit` as it is.
    """
    regularizer = L2(l2)
    seeds = stream("initial weights", seed)
    # Keras would count the layers of all models of a process, which trains and measures several.
    names = itertools.chain(["dense"], (f"dense_{number}" for number in itertools.count(1)))

    def dense(units: int, activation: str, regularized: bool) -> keras.layers.Layer:
        return keras.layers.Dense(
            units,
            name=next(names),
            activation=activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed=int(seeds.integers(2**31))),
            kernel_regularizer=regularizer if regularized else None,
        )

    hidden = [dense(n, architecture["activation"], True) for n in architecture["hidden_units"]]
    output = dense(classes, "softmax", architecture["regularize_output"])
    layers = [keras.Input(input_shape), keras.layers.Flatten(), *hidden, output]
    model = keras.Sequential(layers, name="sequential")
    options = {key: training[key] for key in ("learning_rate", "momentum") if key in training}
    model.compile(
        optimizer=_OPTIMIZERS[training["optimizer"]](**options),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def dense_layers(model: keras.Model) -> list[keras.layers.Dense]:
    """Return the dense layers of `model`, from the input to the output."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]


def regularized_kernels(model: keras.Model) -> list[keras.Variable]:
    """Return the kernels that carry the regulariser, from the input to the output."""
    return [layer.kernel for layer in dense_layers(model) if layer.kernel_regularizer is not None]

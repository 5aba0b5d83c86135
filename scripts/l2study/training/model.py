"""The Keras model of a run: dense layers, L2 or decay of their kernels, and an optimizer."""

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


class Decoupled(keras.regularizers.Regularizer):
    """The mark of a kernel that the optimizer decays (Loshchilov and Hutter 2019).

    Each step takes `learning_rate * decay * W` from such a kernel W, as Keras's optimizers do with
    `weight_decay`. `decay` is 2 * l2, as in the gradient of `l2 * sum(W**2)`. It is a variable, fed
    to compiled programs as that of `L2` is.
    """

    def __init__(self, l2: float):
        """Take the coefficient of the L2 that this decay is the counterpart of."""
        self.decay = tf.Variable(2 * l2, trainable=False, dtype=tf.float32)

    def __call__(self, kernel: tf.Tensor) -> tf.Tensor:
        """Return the penalty of `kernel`: none."""
        return tf.zeros([])


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
        architecture: `hidden_units` (a list, one entry per hidden layer), `activation`,
            `regularize_output` and perhaps `regularizer`, as in the configuration.
        training: `optimizer`, `learning_rate` and perhaps `momentum`, as in the configuration.
        l2: the coefficient; the penalty is l2 * sum(W**2), without one half. With the regularizer
            `decoupled` there is no penalty, see `Decoupled`.
        seed: of the initial weights, which are the same for every l2.
        input_shape: shape of one image.
        classes: number of classes; labels are integers from 0.

    The loss is the cross-entropy of integer labels, and accuracy is compiled as a metric. So the
    model can be given to `model.fit` as it is.
    """
    decoupled = architecture.get("regularizer") == "decoupled"
    regularizer = Decoupled(l2) if decoupled else L2(l2)
    seeds = stream("weights", seed)
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
    optimizer = _OPTIMIZERS[training["optimizer"]](**options)
    if decoupled:
        optimizer.weight_decay = regularizer.decay
        decayed = {id(kernel) for kernel in regularized_kernels(model)}
        others = [weight for weight in model.trainable_variables if id(weight) not in decayed]
        optimizer.exclude_from_weight_decay(others)
    model.compile(
        optimizer=optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def dense_layers(model: keras.Model) -> list[keras.layers.Dense]:
    """Return the dense layers of `model`, from the input to the output."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]


def regularized_kernels(model: keras.Model) -> list[keras.Variable]:
    """Return the weights that carry the regulariser, from the input to the output."""
    return [
        one for one in model.trainable_variables if isinstance(one.regularizer, (L2, Decoupled))
    ]


def coefficients(model: keras.Model) -> list[tf.Variable]:
    """Return the variables through which lambda is fed to the compiled programs of `model`."""
    found = [kernel.regularizer for kernel in regularized_kernels(model)]
    return [one.decay if isinstance(one, Decoupled) else one.l2 for one in found]

"""The Keras model of a run: its layers, L2 or decay of their weights, and an optimizer.

A model is made by a function of the input's shape, the number of classes and the regulariser:
`dense_network`, or one of the user's own.
"""

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from l2study.data.streams import source_seed, stream
from l2study.training.backend import keras, tf

_INPUTS = "InputLayer Flatten Reshape Permute Identity Rescaling Dense Embedding"
_ACTIVATIONS = "Activation ReLU LeakyReLU ELU Softmax"
_NORMALISATIONS = "BatchNormalization LayerNormalization"
_MERGES = "Add Subtract Multiply Average Maximum Minimum Concatenate Sequential Functional"
_RECURRENT = "SimpleRNN SimpleRNNCell GRU GRUCell LSTM LSTMCell RNN Bidirectional"

SUITS_XLA = frozenset(
    " ".join([_INPUTS, _ACTIVATIONS, _NORMALISATIONS, _MERGES, _RECURRENT]).split()
)
"""The layers, by the names of their classes in Keras, of which an epoch is faster as one XLA
program: of each kind some were measured, and the others compute alike. In a loop of XLA on a CPU,
convolutions and random numbers are slow."""


_ALIVE = weakref.WeakValueDictionary()
"""The regularisers of this process by the numbers that stand for them in configurations."""


class _Shared(keras.regularizers.Regularizer):
    """A regulariser that remains one object where Keras makes a layer anew from its configuration,
    as Bidirectional does.

    `coefficient` is the variable through which lambda is fed to compiled programs, so that one
    program serves every lambda. `l1` is the coefficient of an L1 beside it.
    """

    def __init__(self, coefficient: float, l1: float = 0.0):
        """Take the coefficients."""
        self.coefficient = tf.Variable(coefficient, trainable=False, dtype=tf.float32)
        self.l1 = l1

    def __call__(self, weight: tf.Tensor) -> tf.Tensor:
        """Return what a weight of any shape adds to the loss."""
        if not self.l1:
            return self.penalty(weight)
        return self.penalty(weight) + self.l1 * tf.reduce_sum(tf.abs(tf.cast(weight, tf.float32)))

    def penalty(self, weight: tf.Tensor) -> tf.Tensor:
        """Return the part of it that lambda has: none, unless a subclass says so."""
        return tf.zeros([])

    def get_config(self) -> dict:
        """Return the number by which `from_config` finds this object in this process."""
        _ALIVE[id(self)] = self
        return {"number": id(self)}

    @classmethod
    def from_config(cls, config: dict) -> "_Shared":
        """Return the object that has given this configuration."""
        return _ALIVE[config["number"]]


@keras.saving.register_keras_serializable("l2study")
class L2(_Shared):
    """Keras's L2, `l2 * sum(W**2)`, without one half."""

    def penalty(self, weight: tf.Tensor) -> tf.Tensor:
        """Return the penalty of `weight`, of any shape.

        A matrix product sums the rows, since the processor does many of them at a time. XLA would
        sum a whole matrix one by one.
        """
        matrix = tf.reshape(tf.cast(weight, tf.float32), matrix_shape(weight.shape))
        ones = tf.ones([matrix.shape[1], 1])
        return self.coefficient * tf.reduce_sum(tf.matmul(tf.square(matrix), ones))


@keras.saving.register_keras_serializable("l2study")
class Decoupled(_Shared):
    """The mark of a weight that the optimizer decays (Loshchilov and Hutter 2019).

    Each step takes `learning_rate * coefficient * W` from such a weight W, as Keras's optimizers do
    with `weight_decay`. It has no penalty.
    """


class Task(NamedTuple):
    """What a model is built for.

    `model` and `training` are the parts of a canonical configuration, `shape` is that of one input,
    and `function` is the user's, None for the built-in network.
    """

    model: Mapping
    training: Mapping
    shape: tuple[int, ...]
    classes: int
    function: Callable | None = None


def build_model(task: Task, l2: float, sources: Mapping[str, int]) -> keras.Model:
    """Return the model of a run at its start, compiled: it can be given to `model.fit` as it is.

    The loss is the cross-entropy of integer labels. Initial weights follow the seed of the source
    `weights`, random layers such as Dropout that of `order`. Neither depends on l2.

    Args:
        task: what it is built for.
        l2: the coefficient; the penalty is l2 * sum(W**2), without one half. With the regularizer
            `decoupled` there is no penalty, see `Decoupled`.
        sources: the seed of every source of variation that varies.

    Raises:
        ValueError: Keras does not take the optimizer's or the schedule's arguments.
    """
    l1 = task.model.get("l1", 0.0)
    # The decay is twice lambda, as in the gradient of l2 * sum(W**2).
    decoupled = task.model.get("regularizer") == "decoupled"
    regularizer = Decoupled(2 * l2, l1) if decoupled else L2(l2, l1)
    model = _layers(task, regularizer, stream("weights", source_seed("weights", sources)))
    noise = stream("layer noise", source_seed("order", sources))
    for state in random_states(model):
        state.assign([int(noise.integers(2**31)), 0])
    optimizer = make_optimizer(task.training)
    if isinstance(regularizer, Decoupled):
        optimizer.weight_decay = regularizer.coefficient
        decayed = {id(weight) for weight in regularized_kernels(model)}
        others = [weight for weight in model.trainable_variables if id(weight) not in decayed]
        optimizer.exclude_from_weight_decay(others)
    # The built-in network ends with a softmax, so that nothing has to be traced.
    logits = task.function is not None and traits_of(model, task.shape).logits
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    return model


def _layers(task: Task, regularizer: _Shared, seeds: np.random.Generator) -> keras.Model:
    """Return the model of the task's function, with all its weights."""
    # Keras would count the layers of all models of a process, which trains and measures several.
    keras.utils.clear_session(free_memory=False)
    if task.function is None:
        keys = ("hidden_units", "activation", "regularize_output")
        own = {key: task.model[key] for key in keys}
        return dense_network(task.shape, task.classes, regularizer, seeds, **own)
    # What has no seed of its own takes it from Python's generator, in the order of building.
    keras.utils.set_random_seed(int(seeds.integers(2**31)))
    model = task.function(
        input_shape=task.shape,
        classes=task.classes,
        regularizer=regularizer,
        **task.model.get("arguments", {}),
    )
    if not model.built or not model.weights:
        model(tf.zeros([1, *task.shape]))  # a subclass makes its weights at its first call
    return model


def dense_network(
    input_shape: tuple[int, ...],
    classes: int,
    regularizer: keras.regularizers.Regularizer,
    seeds: np.random.Generator,
    hidden_units: Sequence[int],
    activation: str,
    regularize_output: bool,
) -> keras.Model:
    """Return `Flatten -> Dense(..., kernel_regularizer=regularizer) ... -> Dense(softmax)`.

    Args:
        input_shape: shape of one input.
        classes: number of classes.
        regularizer: of the hidden kernels.
        seeds: gives each layer the seed of its initial kernel.
        hidden_units: one entry per hidden layer.
        activation: of the hidden layers, by its Keras name.
        regularize_output: whether the output kernel has the regularizer too.
    """

    def dense(units: int, activation: str, regularized: bool) -> keras.layers.Layer:
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed=int(seeds.integers(2**31))),
            kernel_regularizer=regularizer if regularized else None,
        )

    hidden = [dense(units, activation, True) for units in hidden_units]
    output = dense(classes, "softmax", regularize_output)
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), *hidden, output])


def make_optimizer(training: Mapping) -> keras.optimizers.Optimizer:
    """Return the optimizer of the configuration's part `training`.

    Raises:
        ValueError: Keras does not take the arguments.
    """
    given = training["optimizer"]
    options = {"name": given} if isinstance(given, str) else dict(given)
    options |= {"momentum": training["momentum"]} if "momentum" in training else {}
    rate = training["learning_rate"]
    if isinstance(rate, Mapping):
        rate = _named("learning_rate", keras.optimizers.schedules, rate)
    return _named("optimizer", keras.optimizers, options | {"learning_rate": rate})


def _named(key: str, module: object, options: Mapping) -> object:
    """Return what a class of Keras makes of its arguments; `name` is the class's, in snake case."""
    wanted = options["name"].replace("_", "")
    (kind,) = (own for name, own in vars(module).items() if name.lower() == wanted)
    try:
        return kind(**{name: value for name, value in options.items() if name != "name"})
    except Exception as error:
        text = " ".join(str(error).split())
        raise ValueError(f"training.{key}: {options['name']}: {text}") from None


class Traits(NamedTuple):
    """What a model does in training mode.

    `logits`: whether its outputs are logits, since Keras knows of no softmax that made them.
    `operations`: the types of TensorFlow's operations that compute the outputs.
    """

    logits: bool
    operations: frozenset[str]

    @property
    def draws_random(self) -> bool:
        """Whether a layer draws random numbers."""
        return any("Random" in operation for operation in self.operations)

    @property
    def has_training_mode(self) -> bool:
        """Whether a layer computes something else in evaluation: it draws random numbers, or keeps
        averages of what it has seen.
        """
        return self.draws_random or any("Assign" in operation for operation in self.operations)


def traits_of(model: keras.Model, shape: tuple[int, ...]) -> Traits:
    """Return the traits of a model for inputs of a shape. Nothing is computed."""
    logits = []

    def look(inputs: tf.Tensor) -> tf.Tensor:
        outputs = model(inputs, training=True)
        logits.append(not hasattr(outputs, "_keras_logits"))
        return outputs

    spec = tf.TensorSpec([None, *shape], tf.float32)
    traced = tf.function(look, autograph=False).get_concrete_function(spec).graph.as_graph_def()
    nodes = [*traced.node, *(node for one in traced.library.function for node in one.node_def)]
    return Traits(logits[0], frozenset(node.op for node in nodes))


def logits_of(model: keras.Model, inputs: tf.Tensor) -> tf.Tensor:
    """Return the logits of `inputs`, shape (rows, classes); to be called in a graph.

    Keras notes them on what a softmax has made of them.
    """
    outputs = model(inputs, training=False)
    return getattr(outputs, "_keras_logits", outputs)


def suits_xla(model: keras.Model, traits: Traits) -> bool:
    """Return whether an epoch of this model should be one XLA program, see `SUITS_XLA`.

    A layer that is not known is not given to XLA, and neither is one that draws random numbers.
    """
    return not traits.draws_random and all(
        type(layer).__module__.startswith("keras.") and type(layer).__name__ in SUITS_XLA
        for layer in [model, *all_layers(model)]
    )


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of `model` and those within them, the model itself left out."""
    return list(model._flatten_layers(include_self=False))


def random_states(model: keras.Model) -> list[keras.Variable]:
    """Return the states of the random generators of the model's layers."""
    return [one for one in model.variables if one.name == "seed_generator_state"]


def regularized_kernels(model: keras.Model) -> list[keras.Variable]:
    """Return the weights that carry the regulariser, each once, from the input to the output."""
    return [one for one in model.trainable_variables if isinstance(one.regularizer, _Shared)]


def coefficients(model: keras.Model) -> list[tf.Variable]:
    """Return the variable through which lambda is fed to the compiled programs of `model`."""
    found = {id(one.regularizer): one.regularizer for one in regularized_kernels(model)}
    return [regularizer.coefficient for regularizer in found.values()]


def matrix_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Return the shape of a weight as a matrix: all axes but the last, and the last."""
    *others, last = shape if len(shape) > 1 else (*shape, 1)
    return math.prod(others), int(last)

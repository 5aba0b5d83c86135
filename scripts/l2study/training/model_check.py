"""What the model of a set-up is, found out once before any run; and what no study can be made of.

A function of the user's own may return anything. Each refusal is one line that names the function.
"""

from l2study.training.backend import keras, tf  # isort: skip  # sets what NumPy reads

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from l2study.core import user_code
from l2study.core.design import NOT_OF_MODEL
from l2study.core.user_code import UserCodeError
from l2study.data.prepared import array_paths, standardized
from l2study.training.model import (
    Task,
    Traits,
    all_layers,
    build_model,
    make_optimizer,
    regularized_kernels,
    suits_xla,
    traits_of,
)
from l2study.training.one_run import function_of

_ROWS = 64
"""How many rows of the data a model is tried on."""

_SUM_ERROR = 1e-2
"""By how much the sum of a row of probabilities may differ from 1, in half precision."""


def checked_model(config: Mapping, manifest: Path) -> dict:
    """Return what the model of a configuration is, as JSON can hold it.

    The keys: `model` and `training`, the parts of the configuration that it was built for, without
    `NOT_OF_MODEL`;
    `input_shape` and `classes`; `layers`, each with `class`, `name`, `output_shape` (None where it
    is not known) and `parameters`; `regularised`, the `path` and the `shape` of each weight that
    lambda acts on; `parameters`, their number; `operations`, of floating point in a forward pass of
    one input (None where unknown); `program`; `outputs`, probabilities or logits; `draws_random`
    and `has_training_mode`; `optimizer`, its class; and `sources`, the text
    of the user's files, empty for the built-in network.

    Args:
        config: a canonical configuration; `model` and `training` are read.
        manifest: of the prepared data.

    Raises:
        ValueError: no study can be made of the model, or its optimizer cannot be used.
        OSError: the data cannot be read.
    """
    model, training = config["model"], config["training"]
    inputs, classes = first_inputs(manifest)
    function, name = function_of(model), model.get("build", "the model")
    with _refused("training.optimizer: cannot be used"):
        make_optimizer(training)
    own = function and _checked(function, name)
    task = Task(model, training, inputs.shape[1:], classes, own)
    built, start = _built(task, 0)
    with user_code.told(name, "cannot be used with inputs of this shape"):
        traits = traits_of(built, task.shape)
    if function:  # the built-in network is known to be good
        _check_outputs(built, traits, inputs, name)
        _check_weights(built, inputs, name)
        _check_random_numbers(built, traits, task, name)
        _check_seeds(task, start, name)
    _try_optimizer(built)
    xla = training.get("program", "xla" if suits_xla(built, traits) else "graph")
    return {
        "model": dict(model),
        "training": {k: v for k, v in training.items() if k not in NOT_OF_MODEL},
        "input_shape": list(task.shape),
        "classes": classes,
        "layers": [_about(layer) for layer in all_layers(built)],
        "regularised": [
            {"path": one.path, "shape": list(one.shape)} for one in regularized_kernels(built)
        ],
        "parameters": built.count_params(),
        "operations": _operations(built, task.shape),
        "program": xla,
        "outputs": "logits" if traits.logits else "probabilities",
        "draws_random": traits.draws_random,
        "has_training_mode": traits.has_training_mode,
        "optimizer": type(built.optimizer).__name__,
        "sources": user_code.sources(name) if function else {},
    }


def first_inputs(manifest: Path) -> tuple[np.ndarray, int]:
    """Return the first rows of prepared data as a model sees them, float32, and how many classes
    there are. Numbers that a run standardises are standardised by these rows.
    """
    known = json.loads(Path(manifest).read_text(encoding="utf-8"))
    images = np.array(np.load(array_paths(manifest)[0], mmap_mode="r")[:_ROWS])
    if known.get("standardize"):
        images = standardized(images, len(images))
    return images.astype(np.float32) * np.float32(known["scale"]), known["classes"]


def _checked(function: Callable, name: str) -> Callable:
    """Return a function of the user's that raises a UserCodeError where it returns no plain model.

    `build_model` goes on with what it returns.
    """

    def checked(**arguments: object) -> keras.Model:
        model = function(**arguments)
        if not isinstance(model, keras.Model):
            kind = type(model).__name__
            raise UserCodeError(f"{name} returns {kind}; allowed: a keras.Model")
        if model.compiled:
            raise UserCodeError(
                f"{name} returns a compiled model, but its loss and its optimizer would be ignored;"
                " allowed: a model that is not compiled, and the key training.optimizer"
            )
        if len(getattr(model, "inputs", None) or [None]) > 1:
            raise UserCodeError(f"{name} has {len(model.inputs)} inputs; allowed: one")
        shape = arguments["input_shape"]
        with user_code.told(name, f"cannot be used with an input of shape {_shape(shape)}"):
            outputs = model(tf.zeros([1, *shape]), training=False)
        _check_shape(outputs, arguments["classes"], name)
        return model

    return checked


def _check_shape(outputs: object, classes: int, name: str) -> None:
    allowed = f"allowed: one of shape (rows, {classes}), a number for each class"
    if isinstance(outputs, list | tuple | dict):
        raise UserCodeError(f"{name} has several outputs; {allowed}")
    if tuple(outputs.shape[1:]) != (classes,):
        shape = _shape(("rows", *outputs.shape[1:]))
        raise UserCodeError(f"{name} has an output of shape {shape}; {allowed}")


def _built(task: Task, seed: int) -> tuple[keras.Model, dict[str, str]]:
    """Return a model of the task, and checksums of its weights by their paths.

    Raises:
        UserCodeError: two weights have one path.
    """
    model = build_model(task, 1.0, {"weights": seed, "order": seed})
    start = {}
    for weight in model.weights:
        if weight.path in start:
            raise UserCodeError(
                f"{task.model.get('build')} has two weights of the name {weight.path}; allowed:"
                " layers with names of their own"
            )
        start[weight.path] = hashlib.sha256(np.asarray(weight.numpy()).tobytes()).hexdigest()
    return model, start


def _check_outputs(model: keras.Model, traits: Traits, inputs: np.ndarray, name: str) -> None:
    """Check that what is noted as a softmax is one, and that nothing else looks like one."""
    with user_code.told(name, "fails with the first rows of the data"):
        outputs = np.asarray(model(tf.constant(inputs), training=False), np.float32)
    sums = outputs.sum(axis=1)
    are_shares = (outputs >= 0).all() and (np.abs(sums - 1) < _SUM_ERROR).all()
    allowed = "allowed: a softmax of Keras as the last of all, or logits without any"
    if traits.logits and are_shares:
        raise UserCodeError(
            f"{name} ends with probabilities whose logits Keras does not know; {allowed}"
        )
    if not traits.logits and not are_shares:
        raise UserCodeError(
            f"{name} ends with an activation, such as a sigmoid, whose outputs do not add up to 1;"
            f" {allowed}"
        )


def _check_weights(model: keras.Model, inputs: np.ndarray, name: str) -> None:
    """Check that lambda acts on something, and that the model has no loss besides."""
    kernels = regularized_kernels(model)
    ours = {id(one) for one in kernels}
    if not kernels:
        raise UserCodeError(
            f"{name} gives the regularizer to no weight that is trained, so lambda would change"
            " nothing; allowed: for instance kernel_regularizer=regularizer in a layer"
        )
    allowed = "allowed: no loss but the regularizer that the function is given"
    for weight in model.trainable_variables:
        if weight.regularizer is not None and id(weight) not in ours:
            raise UserCodeError(f"{name} has a regularizer of its own on {weight.path}; {allowed}")
    model(tf.constant(inputs), training=True)
    if len(model.losses) > len(kernels):
        raise UserCodeError(
            f"{name} adds a loss of its own, as activity_regularizer and add_loss do; {allowed}"
        )


def _check_random_numbers(model: keras.Model, traits: Traits, task: Task, name: str) -> None:
    """Check that every random number follows the seed of a layer, which the study sets."""
    drawn = sorted(o for o in traits.operations if "Random" in o and "Stateless" not in o)
    state = keras.src.backend.common.global_state
    state.set_global_attribute("global_seed_generator", None)
    traits_of(model, task.shape)
    if drawn or state.get_global_attribute("global_seed_generator") is not None:
        how = f"TensorFlow's {drawn[0]}" if drawn else "keras.random without a seed"
        raise UserCodeError(
            f"{name} draws random numbers that follow no seed, by {how}; allowed: layers of Keras,"
            " and keras.random with seed=self.seed_generator, a keras.random.SeedGenerator that the"
            " layer has"
        )


def _try_optimizer(model: keras.Model) -> None:
    """Check that the optimizer of a model can take a step."""
    variables = model.trainable_variables
    with _refused("training.optimizer: cannot be used"):
        model.optimizer.apply([tf.zeros_like(one.value) for one in variables], variables)


def _check_seeds(task: Task, start: dict[str, str], name: str) -> None:
    """Check that the start follows from the seed, and from nothing else."""
    again = _built(task, 0)[1]
    if again != start:
        differing = [path for path in start if again.get(path) != start[path]]
        which = differing[0] if differing else "other names"
        raise UserCodeError(
            f"{name} gives other weights when it is called twice with one seed ({which}); allowed:"
            " initializers of Keras, or random numbers of NumPy, Python or TensorFlow that the"
            " function does not seed"
        )
    if _built(task, 1)[1] == start:
        raise UserCodeError(
            f"{name} starts from the same weights whatever the seed, so all runs of a lambda would"
            " start alike; allowed: initializers without a seed of their own, and no"
            " set_random_seed"
        )


def _about(layer: keras.layers.Layer) -> dict:
    try:
        shape = list(layer.output.shape)[1:]
    except (AttributeError, ValueError):  # a layer of a subclass, or called more than once
        shape = None
    return {
        "class": type(layer).__name__,
        "name": layer.name,
        "output_shape": shape,
        "parameters": layer.count_params() if layer.built else 0,
    }


def _operations(model: keras.Model, shape: tuple[int, ...]) -> int | None:
    """Return how many operations of floating point a forward pass of one input takes.

    None where TensorFlow cannot tell: it counts those of a loop once.
    """
    profiler = tf.compat.v1.profiler
    tf.get_logger().setLevel("ERROR")  # it warns of a function that it uses itself
    program = tf.function(lambda inputs: model(inputs, training=False), autograph=False)
    graph = program.get_concrete_function(tf.TensorSpec([1, *shape], tf.float32)).graph
    if any("While" in operation.type for operation in graph.get_operations()):
        return None
    options = profiler.ProfileOptionBuilder.float_operation()
    silent = profiler.ProfileOptionBuilder(options).with_empty_output().build()
    found = profiler.profile(graph=graph, options=silent)
    return int(found.total_float_ops) or None if found else None


def _shape(shape: tuple) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


@contextmanager
def _refused(what: str) -> Iterator[None]:
    """Raise a ValueError of one line in place of any exception but a ValueError of one line."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split())
        if isinstance(error, ValueError) and text.startswith("training."):
            raise
        raise ValueError(f"{what}: {text or type(error).__name__}") from None

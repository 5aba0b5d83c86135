"""What the model of a set-up is, found out once before any run; and what no study can be made of.

A function of the user's own may return anything. Each refusal is one line that names the function.
"""

from l2study.training.backend import keras, tf  # isort: skip  # sets what NumPy reads

import hashlib
import inspect
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from l2study.core import user_code
from l2study.core.config_faults import near
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

_GIVEN = ("input_shape", "classes", "regularizer")
"""What the study gives to a function of the user's."""

_KEYS_OF_TRAINING = {"name", "learning_rate", "momentum"}
"""Arguments of Keras's optimizers that are keys of their own."""


def checked_model(config: Mapping, manifest: Path) -> dict:
    """Return what the model of a configuration is, as JSON can hold it.

    `same_start` are the paths of the weights of many values that start alike whatever the seed,
    such as weights from elsewhere, and `sources` is the text of the user's files: both are empty
    for the built-in network.

    Raises:
        ValueError: no study can be made of the model, or its optimizer cannot be used.
        OSError: the data cannot be read.
    """
    model, training = config["model"], config["training"]
    inputs, classes = first_inputs(manifest)
    function, name = function_of(model), model.get("build", "the model")
    if function:
        _check_arguments(function, model.get("arguments", {}), name)
    _check_options(training)
    with _refused("training.optimizer: cannot be used"):
        make_optimizer(training)
    own = function and _checked(function, name)
    task = Task(model, training, inputs.shape[1:], classes, own)
    built, start = _built(task, 0)
    with user_code.told(name, "cannot be used with inputs of this shape"):
        traits = traits_of(built, task.shape)
    same_start = []
    if function:  # the built-in network is known to be good
        _check_outputs(built, traits, inputs, name)
        _check_weights(built, inputs, name)
        _check_random_numbers(built, traits, task, name)
        same_start = _check_seeds(task, built, start, name)
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
        "same_start": same_start,
        "sources": user_code.sources(name) if function else {},
    }


def first_inputs(manifest: Path) -> tuple[np.ndarray, int]:
    """Return the first rows of prepared data as a model sees them, float32, and how many classes
    there are. Numbers that a run standardises are standardised by these rows."""
    known = json.loads(Path(manifest).read_text(encoding="utf-8"))
    images = np.array(np.load(array_paths(manifest)[0], mmap_mode="r")[:_ROWS])
    if known.get("standardize"):
        images = standardized(images, len(images))
    return images.astype(np.float32) * np.float32(known["scale"]), known["classes"]


def _check_arguments(function: Callable, arguments: Mapping, name: str) -> None:
    """Check that a function of the user's takes what it is to be given, and needs no more."""
    parameters = _parameters(function)
    if parameters is None:
        return
    names, takes_all, needed = parameters
    for one in [one for one in _GIVEN if one not in names and not takes_all]:
        raise UserCodeError(
            f"{name} takes no argument {one}; allowed: a function of {', '.join(_GIVEN)} and,"
            " perhaps, others"
        )
    own = [one for one in names if one not in _GIVEN]
    if not takes_all and (fault := _unknown(arguments, own)):
        raise UserCodeError(f"model.arguments: {name} takes no {fault}")
    if lacking := [one for one in needed if one not in {*_GIVEN, *arguments}]:
        raise UserCodeError(
            f"model.arguments: {lacking[0]} is missing, which {name} needs; allowed: a value for"
            " it, or a default in the function"
        )


def _check_options(training: Mapping) -> None:
    """Check the arguments of the optimizer and of the schedule by Keras's signatures."""
    of_keras = {
        "optimizer": (keras.optimizers, _KEYS_OF_TRAINING),
        "learning_rate": (keras.optimizers.schedules, {"name"}),
    }
    for key, (module, hidden) in of_keras.items():
        if not isinstance(given := training[key], Mapping):
            continue
        wanted = given["name"].replace("_", "")
        (kind,) = (own for name, own in vars(module).items() if name.lower() == wanted)
        names, _, needed = _parameters(kind)
        own = [one for one in names if one not in hidden]
        where = f"training.{key}: {given['name']}"
        if fault := _unknown([one for one in given if one != "name"], own):
            raise ValueError(f"{where} takes no {fault}")
        if lacking := [one for one in needed if one not in given]:
            raise ValueError(f"{where} needs {lacking[0]}, which is missing")


def _parameters(function: Callable) -> tuple[list[str], bool, list[str]] | None:
    """Return the names of the arguments of a function, whether it takes any other, and which it
    needs; None where Python cannot tell."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    named = [one for one in found if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    takes_all = any(one.kind is one.VAR_KEYWORD for one in found)
    return [o.name for o in named], takes_all, [o.name for o in named if o.default is o.empty]


def _unknown(given: Iterable[str], known: Collection[str]) -> str | None:
    """Return in words the first argument that is not known, and what is; None if all are."""
    for one in given:
        if one not in known:
            allowed = f"allowed: {', '.join(known)}" if known else "it has none of its own"
            return f"argument {one}; {near(one, known)}{allowed}"
    return None


def _checked(function: Callable, name: str) -> Callable:
    """Return a function of the user's with a check that what it returns is a plain model."""

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
    """Return a model of the task, and checksums of its weights by their paths."""
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
            f"{name} gives the regularizer to no trained weight, so lambda would change nothing;"
            " allowed: for instance kernel_regularizer=regularizer in a layer"
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
    how = f"TensorFlow's {drawn[0]}" if drawn else _without_state(model, task.shape)
    if state.get_global_attribute("global_seed_generator") is not None:
        how = how if drawn else "keras.random without a seed"
    if how:
        raise UserCodeError(
            f"{name} draws random numbers that follow no seed, by {how}; allowed: layers of Keras,"
            " and keras.random with seed=self.seed_generator, a keras.random.SeedGenerator that the"
            " layer has"
        )


def _without_state(model: keras.Model, shape: tuple[int, ...]) -> str | None:
    """Return how a model draws random numbers that the states of its layers do not decide; None
    where it draws none, as far as the graph tells."""
    traced = tf.function(lambda inputs: model(inputs, training=True), autograph=False)
    graph = traced.get_concrete_function(tf.TensorSpec([None, *shape], tf.float32)).graph
    own = {id(one.value) for one in model.variables}
    if any("seed_generator_state" in one.name and id(one) not in own for one in graph.variables):
        return "a keras.random.SeedGenerator that no layer has"
    known = graph.as_graph_def()
    for nodes in (known.node, *(function.node_def for function in known.library.function)):
        by_name = {node.name: node for node in nodes}
        if any(n.op == "StatelessRandomGetKeyCounter" and _is_constant(n, by_name) for n in nodes):
            return "keras.random with a seed of its own, which draws the same in every step"
    return None


def _is_constant(node: object, by_name: Mapping[str, object]) -> bool:
    """Return whether a node of a graph follows from constants alone."""
    todo = [node]
    while todo:
        for name in todo.pop().input:
            above = by_name.get(name.lstrip("^").partition(":")[0])
            if above is None or above.op in ("Placeholder", "ReadVariableOp"):
                return False
            todo.append(above)
    return True


def _try_optimizer(model: keras.Model) -> None:
    """Check that the optimizer of a model can take a step."""
    variables = model.trainable_variables
    with _refused("training.optimizer: cannot be used"):
        model.optimizer.apply([tf.zeros_like(one.value) for one in variables], variables)


def _check_seeds(task: Task, model: keras.Model, start: dict[str, str], name: str) -> list[str]:
    """Check that the start follows from the seed, and from nothing else: `model` and `start` are
    what `_built` returns for seed 0.

    Return the paths of the weights of more than two values that start alike whatever the seed.
    """
    again = _built(task, 0)[1]
    if again != start:
        differing = [path for path in start if again.get(path) != start[path]]
        which = differing[0] if differing else "other names"
        raise UserCodeError(
            f"{name} gives other weights when it is called twice with one seed ({which}); allowed:"
            " initializers of Keras, or random numbers of NumPy, Python or TensorFlow that the"
            " function does not seed"
        )
    other, other_start = _built(task, 1)
    if other_start == start:
        raise UserCodeError(
            f"{name} starts from the same weights whatever the seed, so all runs of a lambda would"
            " start alike; allowed: initializers without a seed of their own, and no"
            " set_random_seed"
        )
    seeds, others = _seeds_of_initializers(model), _seeds_of_initializers(other)
    for place, seed in seeds.items():
        if others.get(place) == seed:
            raise UserCodeError(
                f"{name} has an initializer with the seed {seed} ({place}), so all runs of a lambda"
                " would start alike there; allowed: initializers without a seed of their own"
            )
    alike = [one for one in other.weights if start.get(one.path) == other_start[one.path]]
    return [one.path for one in alike if len(np.unique(one.numpy())) > 2]


def _seeds_of_initializers(model: keras.Model) -> dict[str, int]:
    """Return the seed of each random initializer of the layers, by layer and name."""
    return {
        f"{layer.path}/{name}": seed
        for layer in all_layers(model)
        for name, own in vars(layer).items()
        if isinstance(own, keras.initializers.Initializer)
        and isinstance(seed := getattr(own, "seed", None), int)
    }


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
    """Return how many operations of floating point a forward pass of one input takes; None where
    TensorFlow cannot tell: it counts those of a loop once."""
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

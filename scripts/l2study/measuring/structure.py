"""What a model is made of, as far as a measure needs to know: which layers follow one another.

All of it is of a model in evaluation, where layers such as Dropout do nothing.
"""

import re

import numpy as np

from l2study.training.backend import keras
from l2study.training.model import all_layers, regularized_kernels

_IDLE = {"InputLayer", "Identity"}
_IDLE |= {"Dropout", "SpatialDropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"}
"""Layers that do nothing in evaluation, by the names of their classes in Keras, as those below."""

_WITH_KERNELS = {"Dense", "Conv", "ConvTranspose", "DepthwiseConv", "SeparableConv"}

_ACTIVATIONS = {"ReLU", "Activation", "Softmax"}

_SCALABLE = {"Flatten", "Reshape", "Permute", "ZeroPadding", "Cropping", "UpSampling"}
_SCALABLE |= {"MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling"}
"""Layers without weights whose outputs are multiplied by what their inputs are multiplied by."""


def chain(model: keras.Model) -> list | None:
    """Return the layers that compute the outputs one after the other, from the input on.

    Layers that do nothing in evaluation are left out. None for a model that is no such chain: one
    with more than one path, one that uses a layer twice, or a subclass, which may do anything.
    """
    if _name(model) == "Sequential":
        parts = model.layers
    elif _name(model) == "Functional":
        parts = model.operations
        if any(_is_branched(part) for part in parts):
            return None
    else:
        return None
    found = []
    for part in parts:
        inner = chain(part) if _name(part) in ("Sequential", "Functional") else [part]
        if inner is None:
            return None
        found += inner
    return [part for part in found if _name(part) not in _IDLE]


def _is_branched(operation: object) -> bool:
    """Return whether an operation of a functional model is used twice or joins two paths."""
    nodes = operation._inbound_nodes
    return len(nodes) != 1 or len(nodes[0].input_tensors) > 1


def dense_chain(model: keras.Model) -> list[keras.layers.Layer] | None:
    """Return the layers of a chain of dense layers from the first to the last dense one.

    They take the flattened input, and the last one gives the classes. Between them may be layers of
    activations. None for a model that is no such chain.
    """
    parts = chain(model) or []
    if parts and _name(parts[0]) == "Flatten":
        parts = parts[1:]
    elif len(model.input_shape if parts else ()) != 2:
        return None
    if len(parts) > 1 and _is_softmax(parts[-1]) and _activation(parts[-2]) == "linear":
        parts = parts[:-1]
    names = {_name(part) for part in parts}
    ends = parts and _name(parts[0]) == _name(parts[-1]) == "Dense"
    if not ends or names - {"Dense", "ReLU", "Activation"}:
        return None
    return parts if _activation(parts[-1]) in ("linear", "softmax") else None


def only_relu(parts: list[keras.layers.Layer]) -> bool:
    """Return whether every dense layer of a `dense_chain` but the last is one of ReLU units."""
    *hidden, _ = parts
    followed = zip(hidden, parts[1:], strict=True)
    return all(
        _activation(part) == "relu"
        or (_activation(part), _name(part), _activation(after)) == ("linear", "Dense", "relu")
        for part, after in followed
    )


def scalable_chain(model: keras.Model) -> list[keras.layers.Layer] | None:
    """Return the layers with kernels of a chain in which one may be scaled up and the next down.

    That changes nothing where each is a dense layer or a convolution, with ReLU or nothing between
    them, and no normalisation. None for another model.
    """
    parts = chain(model)
    if not parts:
        return None
    if _is_softmax(parts[-1]) and _name(parts[-1]) in _ACTIVATIONS:
        parts = parts[:-1]
    allowed = _SCALABLE | _WITH_KERNELS | {"ReLU", "Activation"}
    for number, part in enumerate(parts):
        activation = _activation(part)
        known = activation in ("linear", "relu", None)
        if _name(part) not in allowed or not (
            known or (number == len(parts) - 1 and activation == "softmax")
        ):
            return None
    return [part for part in parts if _name(part) in _WITH_KERNELS] or None


def kernels(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return the weights of a layer that are not one number per unit, as biases are."""
    return [weight for weight in layer.weights if len(weight.shape) > 1]


def first_matrix(model: keras.Model, inputs: int) -> keras.Variable | None:
    """Return the first weight of `model`, if it carries the regulariser and has a row per input.

    It must be the kernel of a dense layer. None for another model.
    """
    first = regularized_kernels(model)[0]
    owner = _owner(model, first)
    whole = first is model.trainable_variables[0] and first.shape[0] == inputs
    return first if whole and owner == "Dense" and "Permute" not in _names(model) else None


def output_kernel(model: keras.Model, classes: int) -> keras.Variable | None:
    """Return the last weight of `model` with more than one axis, if it gives the classes.

    It must be the kernel of a dense layer. None for another model.
    """
    last = [weight for weight in model.weights if len(weight.shape) > 1][-1:]
    if not last or _owner(model, last[0]) != "Dense" or last[0].shape[-1] != classes:
        return None
    return last[0]


def _owner(model: keras.Model, kernel: keras.Variable) -> str:
    """Return the class of the layer whose `kernel` this is, if it has one; else an empty string."""
    owners = (one for one in all_layers(model) if getattr(one, "kernel", None) is kernel)
    return next(map(_name, owners), "")


def _names(model: keras.Model) -> set[str]:
    return {_name(layer) for layer in all_layers(model)}


def _name(part: object) -> str:
    """Return the name of the class without a number of axes, such as the 2D of Conv2D.

    It is empty for a class that is not Keras's own.
    """
    own = type(part).__module__.startswith("keras.")
    return re.sub("[123]D", "", type(part).__name__) if own else ""


def _activation(part: object) -> str | None:
    """Return the name of a layer's activation, None for a layer without one.

    Without a name of `keras.activations`, or with arguments that make it another, it is "other".
    """
    if _name(part) == "ReLU":
        plain = part.max_value is None and not part.threshold and not np.any(part.negative_slope)
        return "relu" if plain else "other"
    if _name(part) == "Softmax":
        return "softmax" if part.axis == -1 else "other"
    if not hasattr(part, "activation"):
        return None
    known = {getattr(keras.activations, name): name for name in ("relu", "linear", "softmax")}
    return known.get(part.activation, "linear" if part.activation is None else "other")


def _is_softmax(part: object) -> bool:
    return _activation(part) == "softmax"

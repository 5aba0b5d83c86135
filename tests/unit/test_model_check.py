"""What the model of a study is; and each model that no study can be made of, in one line."""

import json
import re

import pytest

from l2study.core.config import check
from l2study.data.preparation import prepare
from tiny import set_up, write_npz

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

MODELS = """
import keras
import numpy as np
import tensorflow as tf
from keras import layers

own = np.random.default_rng()

def good(input_shape, classes, regularizer, units=4, inside=(), last=None, **options):
    return keras.Sequential([
        keras.Input(input_shape),
        layers.Flatten(),
        layers.Dense(units, kernel_regularizer=regularizer, **options),
        *inside,
        layers.Dense(classes, activation=last),
    ])

def mixed(**given):
    return good(**given, last="softmax", dtype="mixed_bfloat16")

def rich(**given):
    return good(**given, inside=[layers.BatchNormalization(), layers.Dropout(0.5)])

def other_inputs(regularizer, classes, **given):
    return good((7, 7), classes, regularizer)

def two_outputs(**given):
    model = good(**given)
    return keras.Model(model.inputs, [model.outputs[0], model.outputs[0]])

def two_inputs(input_shape, classes, regularizer):
    inputs = [keras.Input(input_shape), keras.Input(input_shape)]
    outputs = good(input_shape, classes, regularizer)(layers.Add()(inputs))
    return keras.Model(inputs, outputs)

def frozen(**given):
    model = good(**given)
    model.layers[1].trainable = False
    return model

def unseeded(**given):
    return good(**given, kernel_initializer=keras.initializers.Constant(own.random()))

def seeds_a_layer(**given):
    return good(**given, kernel_initializer=keras.initializers.HeNormal(seed=1))

def seeds_itself(**given):
    keras.utils.set_random_seed(1)
    return good(**given)

def starts_elsewhere(**given):
    model = good(**given, inside=[layers.Dropout(0.5, seed=42)])
    model.layers[1].kernel.assign(np.arange(100).reshape(25, 4) / 100)
    return model

def compiled(**given):
    model = good(**given)
    model.compile("adam", "mse")
    return model

class Pair(layers.Layer):
    def __init__(self, classes, regularizer):
        super().__init__(name="pair")
        self.one = layers.Dense(classes, kernel_regularizer=regularizer, name="dense")
        self.two = layers.Dense(classes, name="dense")

    def call(self, inputs):
        return self.one(inputs) + self.two(inputs)

def same_names(input_shape, classes, regularizer):
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, Pair(classes, regularizer)(layers.Flatten()(inputs)))

def with_activity(**given):
    return good(**given, inside=[layers.ActivityRegularization(l2=0.1)])

def own_softmax(x):
    return tf.exp(x) / tf.reduce_sum(tf.exp(x), -1, keepdims=True)

def noisy(noise, **given):
    generator = keras.random.SeedGenerator(1)
    return good(**given, inside=[layers.Lambda(lambda x: x + noise(x, generator))])

def few(input_shape, classes, regularizer, units=4, last=None):
    return good(input_shape, classes, regularizer, units, last=last)

def needs_more(units, **given):
    return good(units=units, **given)

def narrow(input_shape, classes):
    return good(input_shape, classes, None)

class Calls(keras.Model):
    def __init__(self, regularizer, **given):
        super().__init__()
        self.dense = layers.Dense(3, kernel_regularizer=regularizer)

    def call(self, inputs):
        return self.dense(inputs[:, :, 9])
"""


def file_of(returned):
    """Return `MODELS` with a function `build` that returns this."""
    return f"{MODELS}\ndef build(**given):\n    return {returned}\n"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A function: what is found of the model `build` with these keys of its configuration."""
    from l2study.training.model_check import checked_model

    folder = tmp_path_factory.mktemp("model")
    write_npz(folder / "tiny.npz")
    dataset = {"path": str(folder / "tiny.npz")}
    prepare(set_up(dataset=dataset), folder / "data.json")

    def found(build, training=None, returned="None", **model):
        of_build = tmp_path_factory.mktemp("of_build")
        (of_build / "models.py").write_text(file_of(returned))
        own = {"build": f"{of_build}/models.py:{build}"} if build else {}
        config = check({"dataset": dataset, "model": own | model, "training": training or {}})
        return checked_model(config, folder / "data.json")

    return found


def test_what_a_model_is(study):
    found = study("rich", arguments={"units": 8}, training={"optimizer": "sgd"})
    assert [layer["class"] for layer in found["layers"]] == [
        "InputLayer", "Flatten", "Dense", "BatchNormalization", "Dropout", "Dense",
    ]  # fmt: skip
    assert [layer["output_shape"] for layer in found["layers"]][1:3] == [[25], [8]]
    assert found["parameters"] == 25 * 8 + 8 + 4 * 8 + 8 * 3 + 3
    assert [one["shape"] for one in found["regularised"]] == [[25, 8]]
    # two for each weight of a matrix, and some per unit
    assert 2 * (25 * 8 + 8 * 3) < found["operations"] < 2 * (25 * 8 + 8 * 3) + 10 * 8
    assert (found["program"], found["outputs"]) == ("graph", "logits")
    assert found["draws_random"] and found["has_training_mode"]
    assert "def rich" in found["sources"]["models.py"]
    assert found["model"]["arguments"] == {"units": 8}
    assert study("good")["program"] == "xla"
    json.dumps(found, allow_nan=False)


def test_the_built_in_network_and_half_precision_are_models_too(study):
    found = study(None, hidden_units=[6])
    assert (found["program"], found["outputs"], found["sources"]) == ("xla", "probabilities", {})
    assert [one["shape"] for one in found["regularised"]] == [[25, 6]]
    assert study("mixed")["outputs"] == "probabilities"


NOISE = {
    "tf.random.normal(tf.shape(x))": "by TensorFlow's RandomStandard",
    "keras.random.normal((1, 4))": "by keras.random without a seed",
    "keras.random.normal((1, 4), seed=1)": "by keras.random with a seed of its",
    "keras.random.normal((1, 4), seed=seeds)": "by a keras.random.SeedGenerator",
}
"""What a layer adds to its input x, and by what it is said to draw."""

REFUSED = {
    "None": "returns NoneType; allowed: a keras.Model",
    "layers.Dense(-1)": "fails in line {layers.Dense(-1)}: ValueError: ",
    "other_inputs(**given)": "cannot be used with an input of shape (5, 5): ValueError: ",
    "Calls(**given)": "cannot be used with an input of shape (5, 5) in line {[:, :, 9]}",
    "good(**given | {'classes': 4})": "has an output of shape (rows, 4); allowed: one of shape",
    "two_outputs(**given)": "has several outputs; allowed: one of shape (rows, 3)",
    "two_inputs(**given)": "has 2 inputs; allowed: one",
    "good(**given | {'regularizer': None})": "gives the regularizer to no trained weight",
    "frozen(**given)": "gives the regularizer to no trained weight",
    "unseeded(**given)": "gives other weights when it is called twice with one seed (sequential/",
    "seeds_itself(**given)": "starts from the same weights whatever the seed",
    "seeds_a_layer(**given)": "has an initializer with the seed 1 (sequential/dense/kernel_init",
    "compiled(**given)": "returns a compiled model, but its loss and its optimizer would be ign",
    "same_names(**given)": "has two weights of the name pair/dense/kernel; allowed: layers",
    "good(**given, bias_regularizer='l2')": "has a regularizer of its own on sequential/dense/bias",
    "with_activity(**given)": "adds a loss of its own, as activity_regularizer and add_loss do",
    "good(**given, last='sigmoid')": "ends with an activation, such as a sigmoid, whose outputs",
    "good(**given, last=own_softmax)": "ends with probabilities whose logits Keras does not know",
} | {
    f"noisy(lambda x, seeds: {noise}, **given)": f"draws random numbers that follow no seed, {by}"
    for noise, by in NOISE.items()
}
"""What a function returns, and what is said of it; in braces, a part of the line it names."""


@pytest.mark.parametrize("returned", REFUSED)
def test_a_model_that_no_study_can_be_made_of_is_refused_in_one_line(study, returned):
    expected = REFUSED[returned]
    if part := re.search(r"\{(.*)\}", expected):
        lines = enumerate(file_of(returned).splitlines(), 1)
        (number,) = [number for number, line in lines if part[1] in line]
        expected = expected.replace(part[0], str(number))
    with pytest.raises(ValueError) as error:
        study("build", returned=returned)
    assert f"models.py:build {expected}" in str(error.value)
    assert "\n" not in str(error.value)


def test_weights_from_elsewhere_are_named_and_seeds_of_random_layers_replaced(study):
    assert study("starts_elsewhere")["same_start"] == ["sequential/dense/kernel"]
    assert study("rich")["same_start"] == []


SCHEDULE = {"name": "cosine_decay", "initial_learning_rate": 0.1}


@pytest.mark.parametrize(
    ("build", "config", "words"),
    [
        ("few", {"arguments": {"unist": 3}}, "few takes no argument unist; did you mean units? al"),
        ("needs_more", {}, "model.arguments: units is missing, which "),
        ("narrow", {}, "narrow takes no argument regularizer; allowed: a function of input_shape"),
        (
            None,
            {"training": {"optimizer": {"name": "sgd", "nestrov": True}}},
            "training.optimizer: sgd takes no argument nestrov; did you mean nesterov? allowed: ",
        ),
        (
            None,
            {"training": {"learning_rate": SCHEDULE}},
            "training.learning_rate: cosine_decay needs decay_steps, which is missing",
        ),
        (
            None,
            {"training": {"optimizer": {"name": "adam", "ema_momentum": 2.0, "use_ema": True}}},
            "training.optimizer: adam: ",
        ),
    ],
)
def test_arguments_are_those_of_function_optimizer_and_schedule(study, build, config, words):
    with pytest.raises(ValueError) as error:
        study(build, **config)
    assert words in str(error.value) and "\n" not in str(error.value)

"""What the model of a study is; and each model that no study can be made of, in one line."""

import json

import pytest

from l2study.core.config import check
from l2study.data.preparation import prepare
from tiny import set_up, write_npz

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

MODELS = """
import random

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


def raises(**given):
    return layers.Dense(-1)


def none(**given):
    good(**given)


def other_inputs(regularizer, classes, **given):
    return good((7, 7), classes, regularizer)


def other_outputs(classes, **given):
    return good(classes=classes + 1, **given)


def two_outputs(**given):
    model = good(**given)
    return keras.Model(model.inputs, [model.outputs[0], model.outputs[0]])


def two_inputs(input_shape, classes, regularizer):
    inputs = [keras.Input(input_shape), keras.Input(input_shape)]
    outputs = good(input_shape, classes, regularizer)(layers.Add()(inputs))
    return keras.Model(inputs, outputs)


def unregularised(regularizer, **given):
    return good(regularizer=None, **given)


def frozen(**given):
    model = good(**given)
    model.layers[1].trainable = False
    return model


def unseeded(**given):
    constant = keras.initializers.Constant(own.random())
    return good(**given, kernel_initializer=constant)


def seeds_itself(**given):
    keras.utils.set_random_seed(1)
    return good(**given)


def seeds_a_layer(**given):
    return good(**given, kernel_initializer=keras.initializers.HeNormal(seed=1))


def starts_elsewhere(**given):
    model = good(**given, inside=[layers.Dropout(0.5, seed=42)])
    model.layers[1].kernel.assign(np.arange(100).reshape(25, 4) / 100)
    return model


def compiled(**given):
    model = good(**given)
    model.compile("adam", "mse")
    return model


def same_names(input_shape, classes, regularizer):
    inputs = keras.Input(input_shape)
    x = layers.Flatten()(inputs)

    class Pair(layers.Layer):
        def __init__(self):
            super().__init__(name="pair")
            self.one = layers.Dense(classes, kernel_regularizer=regularizer, name="dense")
            self.two = layers.Dense(classes, name="dense")

        def call(self, inputs):
            return self.one(inputs) + self.two(inputs)

    return keras.Model(inputs, Pair()(x))


def own_regularizer(**given):
    return good(**given, bias_regularizer="l2")


def activity(**given):
    return good(**given, inside=[layers.ActivityRegularization(l2=0.1)])


def sigmoid(**given):
    return good(**given, last="sigmoid")


def hand_made(**given):
    return good(**given, last=lambda x: tf.exp(x) / tf.reduce_sum(tf.exp(x), -1, keepdims=True))


def tensorflow_noise(**given):
    return good(**given, inside=[layers.Lambda(lambda x: x + tf.random.normal(tf.shape(x)))])


def keras_noise(**given):
    return good(**given, inside=[layers.Lambda(lambda x: x + keras.random.normal((1, 4)))])


def fixed_noise(**given):
    noise = layers.Lambda(lambda x: x + keras.random.normal((1, 4), seed=1))
    return good(**given, inside=[noise])


def lost_generator(**given):
    generator = keras.random.SeedGenerator(1)
    noise = layers.Lambda(lambda x: x + keras.random.normal((1, 4), seed=generator))
    return good(**given, inside=[noise])


def narrow(input_shape, classes):
    return good(input_shape, classes, None)


def few(input_shape, classes, regularizer, units=4, last=None):
    return good(input_shape, classes, regularizer, units, last=last)


def needs_more(units, **given):
    return good(units=units, **given)


class Calls(keras.Model):
    def __init__(self, regularizer):
        super().__init__()
        self.dense = layers.Dense(3, kernel_regularizer=regularizer)

    def call(self, inputs):
        return self.dense(inputs[:, :, 9])


def fails_when_called(regularizer, **given):
    return Calls(regularizer)
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A function: what is found of the model `build` with these keys of its configuration."""
    from l2study.training.model_check import checked_model

    folder = tmp_path_factory.mktemp("model")
    write_npz(folder / "tiny.npz")
    (folder / "models.py").write_text(MODELS)
    dataset = {"path": str(folder / "tiny.npz")}
    prepare(set_up(dataset=dataset), folder / "data.json")

    def found(build, training=None, **model):
        own = {"build": f"{folder}/models.py:{build}"} if build else {}
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


REFUSED = {
    "none": "returns NoneType; allowed: a keras.Model",
    "raises": "fails in line {layers.Dense(-1)}: ValueError: ",
    "other_inputs": "cannot be used with an input of shape (5, 5): ValueError: ",
    "fails_when_called": "cannot be used with an input of shape (5, 5) in line {inputs[:, :, 9]}",
    "other_outputs": "has an output of shape (rows, 4); allowed: one of shape (rows, 3)",
    "two_outputs": "has several outputs; allowed: one of shape (rows, 3)",
    "two_inputs": "has 2 inputs; allowed: one",
    "unregularised": "gives the regularizer to no trained weight",
    "frozen": "gives the regularizer to no trained weight",
    "unseeded": "gives other weights when it is called twice with one seed (sequential/dense/ker",
    "seeds_itself": "starts from the same weights whatever the seed",
    "seeds_a_layer": "has an initializer with the seed 1 (sequential/dense/kernel_initializer)",
    "compiled": "returns a compiled model, but its loss and its optimizer would be ignored",
    "same_names": "has two weights of the name pair/dense/kernel; allowed: layers",
    "own_regularizer": "has a regularizer of its own on sequential/dense/bias; allowed: no loss",
    "activity": "adds a loss of its own, as activity_regularizer and add_loss do",
    "sigmoid": "ends with an activation, such as a sigmoid, whose outputs do not add up to 1",
    "hand_made": "ends with probabilities whose logits Keras does not know",
    "tensorflow_noise": "draws random numbers that follow no seed, by TensorFlow's RandomStandard",
    "keras_noise": "draws random numbers that follow no seed, by keras.random without a seed",
    "fixed_noise": "draws random numbers that follow no seed, by keras.random with a seed of its",
    "lost_generator": "draws random numbers that follow no seed, by a keras.random.SeedGenerator",
    "narrow": "takes no argument regularizer; allowed: a function of input_shape, classes, reg",
}
"""What is said of a function; in braces, a line of the file whose number is said."""


@pytest.mark.parametrize("build", REFUSED)
def test_a_model_that_no_study_can_be_made_of_is_refused_in_one_line(study, build):
    expected = REFUSED[build]
    if "{" in expected:
        text = expected[expected.index("{") + 1 : expected.rindex("}")]
        (line,) = [n for n, own in enumerate(MODELS.splitlines(), 1) if text in own]
        expected = expected.replace(f"{{{text}}}", str(line))
    with pytest.raises(ValueError) as error:
        study(build)
    assert f"models.py:{build} {expected}" in str(error.value)
    assert "\n" not in str(error.value)


def test_weights_from_elsewhere_are_named_and_seeds_of_random_layers_replaced(study):
    assert study("starts_elsewhere")["same_start"] == ["sequential/dense/kernel"]
    assert study("rich")["same_start"] == []


@pytest.mark.parametrize(
    ("build", "arguments", "words"),
    [
        (
            "few",
            {"unist": 3},
            "few takes no argument unist; did you mean units? allowed: units, last",
        ),
        ("needs_more", {}, "model.arguments: units is missing, which "),
    ],
    ids=["unknown", "missing"],
)
def test_arguments_are_those_of_the_function(study, build, arguments, words):
    with pytest.raises(ValueError) as error:
        study(build, arguments=arguments)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("training", "words"),
    [
        (
            {"optimizer": {"name": "sgd", "nestrov": True}},
            "training.optimizer: sgd takes no argument nestrov; did you mean nesterov? allowed: ",
        ),
        (
            {"learning_rate": {"name": "cosine_decay", "initial_learning_rate": 0.1}},
            "training.learning_rate: cosine_decay needs decay_steps, which is missing",
        ),
        (
            {"optimizer": {"name": "adam", "ema_momentum": 2.0, "use_ema": True}},
            "training.optimizer: adam: ",
        ),
    ],
    ids=["unknown", "missing", "keras"],
)
def test_arguments_of_optimizer_and_schedule_are_those_of_keras(study, training, words):
    with pytest.raises(ValueError) as error:
        study(None, training)
    assert str(error.value).startswith(words)
    assert "\n" not in str(error.value)

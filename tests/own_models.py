"""Models of users, of every kind that the study trains: what tests name in `model.build`."""

import keras
from keras import layers


def lenet(input_shape, classes, regularizer, filters=(4, 6)):
    """Return a small CNN with logits."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Reshape((*input_shape, 1)),
            layers.Conv2D(filters[0], 3, activation="relu", kernel_regularizer=regularizer),
            layers.MaxPooling2D(),
            layers.Conv2D(filters[1], 2, activation="relu", kernel_regularizer=regularizer),
            layers.Flatten(),
            layers.Dense(classes, kernel_regularizer=regularizer),
        ]
    )


def lenet_with_state(input_shape, classes, regularizer, dropout=0.3):
    """Return a CNN with BatchNormalization and Dropout, and probabilities."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Reshape((*input_shape, 1)),
            layers.Conv2D(4, 3, use_bias=False, kernel_regularizer=regularizer),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(dropout),
            layers.Dense(classes, activation="softmax", kernel_regularizer=regularizer),
        ]
    )


def residual(input_shape, classes, regularizer):
    """Return a functional model with a skip connection and normalisation."""
    inputs = keras.Input(input_shape)
    start = layers.Dense(12, activation="relu", kernel_regularizer=regularizer)(
        layers.Flatten()(inputs)
    )
    branch = layers.Dense(12, activation="tanh", kernel_regularizer=regularizer)(start)
    added = layers.LayerNormalization()(layers.Add()([start, branch]))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(added))


def separable(input_shape, classes, regularizer):
    """Return a model with depthwise and pointwise kernels."""
    inputs = keras.Input(input_shape)
    found = layers.SeparableConv2D(
        5,
        3,
        activation="relu",
        depthwise_regularizer=regularizer,
        pointwise_regularizer=regularizer,
    )(layers.Reshape((*input_shape, 1))(inputs))
    return keras.Model(inputs, layers.Dense(classes)(layers.GlobalAveragePooling2D()(found)))


def recurrent(input_shape, classes, regularizer, words=16):
    """Return an embedding with a recurrent layer in both directions, for sequences of words."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Embedding(words, 6, embeddings_regularizer=regularizer),
            layers.Bidirectional(
                layers.SimpleRNN(
                    5, kernel_regularizer=regularizer, recurrent_regularizer=regularizer
                )
            ),
            layers.Dense(classes),
        ]
    )


def transformer(input_shape, classes, regularizer, words=16, dropout=0.1):
    """Return a block of attention, with Dropout, for sequences of words."""
    inputs = keras.Input(input_shape)
    embedded = layers.Embedding(words, 8)(inputs)
    attended = layers.MultiHeadAttention(2, 4, dropout=dropout, kernel_regularizer=regularizer)(
        embedded, embedded
    )
    normal = layers.LayerNormalization()(layers.Add()([embedded, attended]))
    dense = layers.Dense(8, activation="relu", kernel_regularizer=regularizer)(normal)
    pooled = layers.GlobalAveragePooling1D()(layers.Add()([normal, dense]))
    return keras.Model(inputs, layers.Dense(classes)(pooled))


class Subclassed(keras.Model):
    """A model that makes its weights at its first call."""

    def __init__(self, classes, regularizer):
        """Take the number of classes and the regulariser."""
        super().__init__()
        self.flat = layers.Flatten()
        self.hidden = layers.Dense(9, activation="gelu", kernel_regularizer=regularizer)
        self.output_layer = layers.Dense(classes, activation="softmax")

    def call(self, inputs):
        """Return probabilities."""
        return self.output_layer(self.hidden(self.flat(inputs)))


def subclassed(input_shape, classes, regularizer):
    """Return a subclassed model."""
    return Subclassed(classes, regularizer)


def shared(input_shape, classes, regularizer):
    """Return a model that uses one layer twice."""
    again = layers.Dense(10, activation="relu", kernel_regularizer=regularizer)
    inputs = keras.Input(input_shape)
    start = layers.Dense(10, activation="relu")(layers.Flatten()(inputs))
    return keras.Model(inputs, layers.Dense(classes)(again(again(start))))

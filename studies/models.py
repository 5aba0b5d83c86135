"""The network of studies/lenet.yaml: two convolutions and a hidden layer."""

from keras import Input, Sequential, layers


def lenet(input_shape, classes, regularizer, normalised=False, dropout=0.0):
    """Return a small LeNet for images without channels, with logits.

    `normalised` puts BatchNormalization after each convolution, `dropout` is the share of hidden
    units that are left out while training.
    """
    network = [Input(input_shape), layers.Reshape((*input_shape, 1))]
    for filters in (8, 16):
        network.append(layers.Conv2D(filters, 3, kernel_regularizer=regularizer))
        if normalised:
            # With Keras's momentum of 0.99, the averages would lag behind for the first epochs.
            network.append(layers.BatchNormalization(momentum=0.9))
        network += [layers.ReLU(), layers.MaxPooling2D()]
    network += [layers.Flatten(), layers.Dense(32, "relu", kernel_regularizer=regularizer)]
    if dropout:
        network.append(layers.Dropout(dropout))
    return Sequential([*network, layers.Dense(classes, kernel_regularizer=regularizer)])

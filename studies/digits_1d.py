"""The data and the network of studies/mnist1d.yaml. The data need `pip install mnist1d`."""

from keras import Input, Sequential, layers


def load():
    """Return the 4,000 training and 1,000 test rows of MNIST-1D, made by its package."""
    from mnist1d.data import get_dataset_args, make_dataset

    made = make_dataset(get_dataset_args())
    return (made["x"], made["y"]), (made["x_test"], made["y_test"])


def cnn(input_shape, classes, regularizer, channels=25):
    """Return three convolutions along the sequence, as in the paper, with logits."""
    network = [Input(input_shape), layers.Reshape((*input_shape, 1))]
    for size in (5, 3, 3):
        network.append(
            layers.Conv1D(
                channels, size, 2, "same", activation="relu", kernel_regularizer=regularizer
            )
        )
    return Sequential([*network, layers.Flatten(), layers.Dense(classes)])

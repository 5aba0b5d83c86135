"""The loop that a student would write: `model.fit` once per lambda and seed, in one process.

It records what Keras prints, and the test metrics at the end. With `--part I N` it trains every
N-th run from the I-th on, so that N processes share the work.
"""

import argparse
import itertools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pandas as pd
from common import mnist


def main() -> None:
    """Train the runs of the part and write their histories as one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lambdas", type=float, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=200)
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1))
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    x_train, y_train, x_test, y_test = mnist()
    x_train, x_test = x_train.astype("float32") / 255, x_test.astype("float32") / 255
    runs = list(itertools.product(options.lambdas, range(options.seeds)))
    first, step = options.part
    tables = []
    for l2, seed in runs[first::step]:
        keras.utils.set_random_seed(seed)
        hidden = keras.layers.Dense(
            128, activation="relu", kernel_regularizer=keras.regularizers.L2(l2)
        )
        output = keras.layers.Dense(10, activation="softmax")
        model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), hidden, output])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        log = model.fit(
            x_train,
            y_train,
            batch_size=options.batch_size,
            epochs=options.epochs,
            validation_split=0.1,
            verbose=0,
        )
        table = pd.DataFrame(log.history).assign(l2=l2, seed=seed)
        table["test_loss"], table["test_accuracy"] = model.evaluate(x_test, y_test, verbose=0)
        tables.append(table)
    pd.concat(tables).to_csv(options.output, index_label="epoch")


if __name__ == "__main__":
    main()

"""How the arrays of a data set are put in order for training, and what the manifest says of them.

What is prepared depends on this module and on `formats`: a change there prepares the data again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from l2study.data.rows import chosen_rows, noisy_labels


def arrange(
    arrays: Mapping[str, np.ndarray], config: Mapping, by_seed: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Return the images, the labels and the manifest of prepared data.

    If a seed chooses the rows, the arrays have those of the files as they are, and `prepared.load`
    chooses those of a run. The manifest then has what it needs for that, under `rows`: `by_seed`;
    `file`, the number of rows of the training file; `dataset` and `validation`, their part of the
    configuration. Its counts are those of every run.

    Args:
        arrays: of `sources.read_arrays`.
        config: a canonical configuration; `dataset` and `validation` are read.
        by_seed: the sources of variation whose seeds choose rows.
    """
    y_train = arrays["y_train"]
    train, held_out = chosen_rows(y_train, config)
    learned, replaced = noisy_labels(y_train, train, config)
    if by_seed:
        images = np.concatenate([arrays["x_train"], arrays["x_test"]])
        labels = np.concatenate([y_train, arrays["y_test"]])
    else:
        rows = np.concatenate([train, held_out])
        images = np.concatenate([arrays["x_train"][rows], arrays["x_test"]])
        labels = np.concatenate([learned, y_train[held_out], arrays["y_test"]])
    identity = {
        "counts": {
            "train": len(train),
            "validation": len(held_out),
            "test": len(arrays["y_test"]),
        },
        "shape": list(images.shape[1:]),
        "dtype": images.dtype.name,
        "scale": 1 / 255 if images.dtype == np.uint8 else 1.0,
        "classes": int(y_train.max()) + 1,
        "images_sha256": hashlib.sha256(np.ascontiguousarray(images)).hexdigest(),
        "labels_sha256": hashlib.sha256(labels).hexdigest(),
    }
    if replaced is not None:
        identity["noisy_labels"] = replaced
    if by_seed:
        own = ("train_size", "label_noise")
        identity["rows"] = {
            "by_seed": list(by_seed),
            "file": len(y_train),
            "dataset": {key: config["dataset"][key] for key in own if key in config["dataset"]},
            "validation": config["validation"],
        }
    text = json.dumps(identity, sort_keys=True)
    about = {
        # Before scaling: images from 0 to 16 are divided by 255 as well, and a reader should know.
        "values": [images.min().item(), images.max().item()],
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    return images, labels, identity | about

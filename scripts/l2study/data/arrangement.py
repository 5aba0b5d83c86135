"""How the arrays of a data set are put in order for training, and what the manifest says of them.

What is prepared depends on this module, `parts` and `formats`: a change there prepares the data
again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from l2study.data.parts import Parts
from l2study.data.rows import chosen_rows, noisy_labels


def arrange(
    parts: Parts, config: Mapping, by_seed: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Return the images, the labels and the manifest of prepared data.

    If a seed chooses the rows, the arrays have those of the files as they are, and `prepared.load`
    chooses those of a run. The manifest then has what it needs for that, under `rows`: `by_seed`;
    `file`, the number of rows of the training file; `dataset` and `validation`, their part of the
    configuration. Its counts are those of every run.

    Args:
        parts: all arrays of the data.
        config: a canonical configuration; `dataset` and `validation` are read.
        by_seed: the sources of variation whose seeds choose rows.
    """
    arrays, y_train = parts.arrays, parts.arrays["y_train"]
    train, held_out = chosen_rows(y_train, config, given=parts.given)
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
        "scale": _factor(config["dataset"].get("scale"), images.dtype),
        "classes": int(y_train.max()) + 1,
        "images_sha256": hashlib.sha256(np.ascontiguousarray(images)).hexdigest(),
        "labels_sha256": hashlib.sha256(labels).hexdigest(),
    }
    # Data from before there were these have none of them.
    if replaced is not None:
        identity["noisy_labels"] = replaced
    if config["dataset"].get("scale") == "standardize":
        identity["standardize"] = True
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
    if parts.class_names:
        about["class_names"] = parts.class_names
    if parts.left_out:
        about["validation_left_out"] = parts.left_out
    return images, labels, identity | about


def _factor(scale: str | None, dtype: np.dtype) -> float:
    """Return what images are multiplied by, for a `dataset.scale`."""
    if scale is None:
        scale = "pixels" if dtype == np.uint8 else "none"
    return 1 / 255 if scale == "pixels" else 1.0

"""Preparing a data set once: choosing its rows, and writing them for training jobs to map."""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from l2study.core.config import ConfigError
from l2study.core.files import replacing, write_json
from l2study.core.paths import BASE
from l2study.core.setups import Setup
from l2study.data import sources
from l2study.data.prepared import DataError, array_paths
from l2study.data.sources import RESOURCES
from l2study.data.streams import stream


def prepare(config: Mapping, output: str | os.PathLike, resources: Path = RESOURCES) -> None:
    """Write the prepared data of a canonical configuration: a manifest at `output`, arrays beside.

    Only `dataset` and `validation` are read. The same input gives the same bytes.

    Raises:
        ConfigError: the data has too few rows for what the configuration asks.
        DataError: the data is absent, damaged, or not images with integer labels.
    """
    arrays = sources.read_arrays(config["dataset"], resources)
    y_train = arrays["y_train"]
    train, held_out = chosen_rows(y_train, config)
    rows = np.concatenate([train, held_out])
    images = np.concatenate([arrays["x_train"][rows], arrays["x_test"]])
    learned, replaced = noisy_labels(y_train, train, config)
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
        "images_sha256": sources.sha256(images),
        "labels_sha256": sources.sha256(labels),
    }
    if replaced is not None:
        identity["noisy_labels"] = replaced
    for path, array in zip(array_paths(output), (images, labels), strict=True):
        with replacing(path) as unfinished:
            np.save(unfinished, array)
    text = json.dumps(identity, sort_keys=True)
    checksum = hashlib.sha256(text.encode()).hexdigest()
    write_json(
        output, {"source": sources.source_name(config["dataset"]), **identity, "sha256": checksum}
    )


def check_setups(setups: Iterable[Setup]) -> None:
    """Do what `check_against_data` does for every set-up; the error names the set-up."""
    seen = []
    for setup in setups:
        config = setup.config
        about = (config["dataset"], config["validation"], config["training"]["batch_size"])
        if about in seen:
            continue
        seen.append(about)
        try:
            check_against_data(config)
        except (ConfigError, DataError) as error:
            if setup.name == BASE:
                raise
            raise type(error)(f"set-up {setup.name}: {error}") from None


def check_against_data(config: Mapping, resources: Path = RESOURCES) -> None:
    """Raise an error if a canonical configuration does not fit its data, read but for the images.

    Meant for the moment before anything is started, so it is quick. Of a data set that Keras
    downloads nothing can be said.

    Raises:
        ConfigError: the choice of rows or their label noise is impossible (see `chosen_rows` and
            `noisy_labels`), or the batch is larger than the training part.
        DataError: a file is absent, unreadable or cut short, a header has the wrong shape or type,
            labels are out of range, or the embedded file is not the original.
    """
    labels = sources.read_labels(config["dataset"], resources)
    if labels is None:
        return
    train, _ = chosen_rows(labels["y_train"], config)
    noisy_labels(labels["y_train"], train, config)
    rows = len(train)
    batch = config["training"]["batch_size"]
    if batch > rows:
        raise ConfigError(
            f"training.batch_size: {batch} is more than the {rows} training rows;"
            f" allowed: 1 to {rows}"
        )


def chosen_rows(labels: np.ndarray, config: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows to train on and of those set aside for validation.

    The validation split comes first, so that `train_size` leaves the validation rows as they are;
    the rows of the subset keep their order.

    Args:
        labels: classes of the rows of the training file.
        config: a canonical configuration; `dataset.train_size` and `validation` are read.

    Raises:
        ConfigError: see `split_rows`; or `train_size` is more than there is, or lacks a class.
    """
    validation = config["validation"]
    train, held_out = split_rows(labels, validation["split"], validation["fraction"])
    size = config["dataset"].get("train_size")
    if size is None:
        return train, held_out
    if size > len(train):
        raise ConfigError(
            f"dataset.train_size: {size} is more than the {len(train)} rows that the validation"
            f" split leaves for training; allowed: 1 to {len(train)}"
        )
    subset = _stratified(labels[train], size, stream("subset"))
    _check_classes(labels[train], labels[train[subset]], f"dataset.train_size: {size}")
    return train[subset], held_out


def noisy_labels(
    labels: np.ndarray, train: np.ndarray, config: Mapping
) -> tuple[np.ndarray, int | None]:
    """Return the labels to train on, and how many of them were replaced by another class.

    Every row of the file has a place in a random order and another class, uniform among the classes
    of the file. `dataset.label_noise` says for which share of `train`, the first in this order, the
    label is replaced, rounded to whole rows. So more noise keeps what less noise has replaced.

    Args:
        labels: classes of the rows of the training file.
        train: the numbers of the rows to train on, shape (rows,).
        config: a canonical configuration; `dataset.label_noise` is read. Without it, the labels
            are as they are, and the count is None.

    Raises:
        ConfigError: there is noise, but all labels are of one class.
    """
    share = config["dataset"].get("label_noise")
    if share is None:
        return labels[train], None
    classes, own = np.unique(labels, return_inverse=True)
    if len(classes) == 1:
        raise ConfigError(
            f"dataset.label_noise: {share} is given, but all labels are of class {classes[0]};"
            " allowed with: at least two classes"
        )
    rng = stream("label noise")
    place = rng.random(len(labels))
    other = classes[(own + rng.integers(1, len(classes), len(labels))) % len(classes)]
    replaced = np.argsort(place[train])[: round(share * len(train))]
    noisy = labels[train]
    noisy[replaced] = other[train[replaced]]
    return noisy, len(replaced)


def split_rows(labels: np.ndarray, split: str, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers to train on and those of the validation set.

    `tail`: in file order, cut where Keras's `validation_split=fraction` cuts. `stratified`: as
    many, drawn at random with every class in proportion, both parts shuffled; always the same rows
    for the same labels.

    Raises:
        ConfigError: a part would be empty, or (stratified) would lack a class.
    """
    # the arithmetic of train_validation_split in Keras 3
    cut = math.floor(len(labels) * (1.0 - fraction))
    if cut in (0, len(labels)):
        raise ConfigError(
            f"validation.fraction: {fraction} of {len(labels)} rows leaves none for"
            f" {'training' if cut == 0 else 'validation'}; allowed: at least one row for each"
        )
    if split == "tail":
        return np.arange(cut), np.arange(cut, len(labels))
    rng = stream("split")
    train = _stratified(labels, cut, rng)
    held_out = np.setdiff1d(np.arange(len(labels)), train)
    for part in (train, held_out):
        what = f"validation.fraction: {fraction} with split: stratified"
        _check_classes(labels, labels[part], what)
    return rng.permutation(train), rng.permutation(held_out)


def _stratified(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return `size` positions in `labels`, ascending, drawn with every class in proportion.

    The largest-remainder method shares `size` out among the classes; a tie goes to the smaller
    label.
    """
    classes, members = np.unique(labels, return_counts=True)
    # whole-number arithmetic, so that equal remainders are equal
    share, remainder = np.divmod(members * size, len(labels))
    share[np.argsort(-remainder, kind="stable")[: size - share.sum()]] += 1
    drawn = [
        rng.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in zip(classes, share, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def _check_classes(labels: np.ndarray, part: np.ndarray, what: str) -> None:
    """Raise ConfigError if a class of `labels` is not in `part`."""
    lacking = np.setdiff1d(labels, part)
    if len(lacking):
        count = np.count_nonzero(labels == lacking[0])
        raise ConfigError(
            f"{what} takes {len(part)} of {len(labels)} rows, in proportion none of class"
            f" {lacking[0]}, which has {count}; allowed: what leaves a row of every class"
        )

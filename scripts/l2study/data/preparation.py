"""Preparing a data set once, and checking before that a configuration fits its data."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from l2study.core.config import ConfigError
from l2study.core.design import Setup
from l2study.core.files import replacing, write_json
from l2study.core.paths import BASE
from l2study.data import sources
from l2study.data.arrangement import arrange
from l2study.data.prepared import DataError, array_paths
from l2study.data.rows import BY_SEED, chosen_rows, split_rows, training_rows
from l2study.data.sources import RESOURCES


def prepare(setup: Setup, output: str | os.PathLike, resources: Path = RESOURCES) -> dict:
    """Write the prepared data of a set-up, a manifest at `output` and arrays beside; return the
    manifest.

    Only `dataset` and `validation` are read, and whether a seed changes the split or the sample.
    The same input gives the same bytes.

    Raises:
        ConfigError: the data has too few rows for what the configuration asks.
        DataError: the data is absent, damaged, or not images with integer labels.
    """
    dataset = setup.config["dataset"]
    arrays = sources.read_arrays(dataset, resources)
    checked_rows(arrays["y_train"], setup.config)
    by_seed = [source for source in setup.varied if source in BY_SEED]
    images, labels, manifest = arrange(arrays, setup.config, by_seed)
    manifest = {"source": sources.source_name(dataset)} | manifest
    for path, array in zip(array_paths(output), (images, labels), strict=True):
        with replacing(path) as unfinished:
            np.save(unfinished, array)
    write_json(output, manifest)
    return manifest


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
            check_against_data(setup)
        except (ConfigError, DataError) as error:
            if setup.name == BASE:
                raise
            raise type(error)(f"set-up {setup.name}: {error}") from None


def check_against_data(setup: Setup, resources: Path = RESOURCES) -> None:
    """Raise an error if a set-up does not fit its data, read but for the images.

    Meant for the moment before anything is started, so it is quick. Of a data set that Keras
    downloads nothing can be said.

    Raises:
        ConfigError: the choice of rows is impossible (see `checked_rows`), a seed is to choose a
            sample of all images, or the batch is larger than the training part.
        DataError: see `sources.read_labels`.
    """
    config = setup.config
    labels = sources.read_labels(config["dataset"], resources)
    if labels is None:
        return
    train, held_out = checked_rows(labels["y_train"], config)
    rows, left = len(train), len(labels["y_train"]) - len(held_out)
    if "sample" in setup.varied and rows == left:
        raise ConfigError(
            f"dataset.train_size: {rows} is all that the validation split leaves for training, but"
            " a seed is to change which of them are used; allowed: fewer, or no sample in what a"
            " seed changes"
        )
    batch = config["training"]["batch_size"]
    if batch > rows:
        raise ConfigError(
            f"training.batch_size: {batch} is more than the {rows} training rows;"
            f" allowed: 1 to {rows}"
        )


def checked_rows(labels: np.ndarray, config: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Return what `chosen_rows` does for labels of the training file, having checked it.

    How many rows are chosen of each class is the same for every seed, and so are the faults.

    Raises:
        ConfigError: a part would be empty or would lack a class, `train_size` is more than there
            is, or the tail of the file has images of one class alone.
    """
    split, fraction = config["validation"]["split"], config["validation"]["fraction"]
    cut, size = training_rows(len(labels), fraction), config["dataset"].get("train_size")
    if cut in (0, len(labels)):
        raise ConfigError(
            f"validation.fraction: {fraction} of {len(labels)} rows leaves none for"
            f" {'training' if cut == 0 else 'validation'}; allowed: at least one row for each"
        )
    train, held_out = split_rows(labels, split, fraction)
    if split == "tail":
        classes = np.unique(labels[held_out])
        if len(lacking := np.setdiff1d(labels, labels[train])):
            raise ConfigError(
                f"validation.split: tail leaves no training row of class {lacking[0]}, which is"
                " only at the end of the file; allowed: stratified, or a file in random order"
            )
        if len(classes) == 1 < len(held_out):
            raise ConfigError(
                f"validation.split: tail takes images of class {classes[0]} alone; allowed:"
                " stratified, or a training file that is not sorted by class"
            )
    else:
        for part in (train, held_out):
            what = f"validation.fraction: {fraction} with split: stratified"
            _check_classes(labels, labels[part], what)
    if size is not None:
        if size > len(train):
            raise ConfigError(
                f"dataset.train_size: {size} is more than the {len(train)} rows that the validation"
                f" split leaves for training; allowed: 1 to {len(train)}"
            )
        subset, _ = chosen_rows(labels, config)
        _check_classes(labels[train], labels[subset], f"dataset.train_size: {size}")
        train = subset
    return train, held_out


def _check_classes(labels: np.ndarray, part: np.ndarray, what: str) -> None:
    """Raise ConfigError if a class of `labels` is not in `part`."""
    lacking = np.setdiff1d(labels, part)
    if len(lacking):
        count = np.count_nonzero(labels == lacking[0])
        raise ConfigError(
            f"{what} takes {len(part)} of {len(labels)} rows, in proportion none of class"
            f" {lacking[0]}, which has {count}; allowed: what leaves a row of every class"
        )

"""Preparing a data set once: choosing its rows, and writing them for training jobs to map."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from l2study.core.config import ConfigError
from l2study.core.files import replacing, write_json
from l2study.core.paths import BASE
from l2study.core.setups import Setup
from l2study.core.variation import varied
from l2study.data import sources
from l2study.data.prepared import DataError, array_paths
from l2study.data.rows import BY_SEED, chosen_rows, noisy_labels
from l2study.data.sources import RESOURCES


def prepare(config: Mapping, output: str | os.PathLike, resources: Path = RESOURCES) -> None:
    """Write the prepared data of a canonical configuration: a manifest at `output`, arrays beside.

    Only `dataset` and `validation` are read, and whether a seed changes the split or the sample. If
    so, the arrays have the rows of the files as they are, and `prepared.load` chooses those of a
    run. The manifest then has what it needs for that, under `rows`: `by_seed`, the sources whose
    seeds choose them; `file`, the number of rows of the training file; `dataset` and `validation`,
    their part of the configuration. Its counts are those of every run. The same input gives the
    same bytes.

    Raises:
        ConfigError: the data has too few rows for what the configuration asks.
        DataError: the data is absent, damaged, or not images with integer labels.
    """
    arrays = sources.read_arrays(config["dataset"], resources)
    y_train = arrays["y_train"]
    train, held_out = chosen_rows(y_train, config)
    learned, replaced = noisy_labels(y_train, train, config)
    by_seed = [source for source in varied(config) if source in BY_SEED]
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
        "images_sha256": sources.sha256(images),
        "labels_sha256": sources.sha256(labels),
    }
    if replaced is not None:
        identity["noisy_labels"] = replaced
    if by_seed:
        identity["rows"] = {
            "by_seed": by_seed,
            "file": len(y_train),
            "dataset": {
                key: config["dataset"][key]
                for key in ("train_size", "label_noise")
                if key in config["dataset"]
            },
            "validation": config["validation"],
        }
    for path, array in zip(array_paths(output), (images, labels), strict=True):
        with replacing(path) as unfinished:
            np.save(unfinished, array)
    text = json.dumps(identity, sort_keys=True)
    checksum = hashlib.sha256(text.encode()).hexdigest()
    described = {
        "source": sources.source_name(config["dataset"]),
        # Before scaling: images from 0 to 16 are divided by 255 as well, and a reader should know.
        "values": [images.min().item(), images.max().item()],
    }
    write_json(output, described | identity | {"sha256": checksum})


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
        ConfigError: the choice of rows is impossible (see `chosen_rows`), a seed is to choose a
            sample of all images, or the batch is larger than the training part.
        DataError: a file is absent, unreadable or cut short, a header has the wrong shape or type,
            labels are out of range or lack a class, or the embedded file is not the original.
    """
    labels = sources.read_labels(config["dataset"], resources)
    if labels is None:
        return
    train, held_out = chosen_rows(labels["y_train"], config)
    rows, left = len(train), len(labels["y_train"]) - len(held_out)
    classes = set(labels["y_train"][held_out].tolist())
    if len(classes) == 1 < len(held_out):
        raise ConfigError(
            f"validation.split: {config['validation']['split']} takes images of class"
            f" {classes.pop()} alone; allowed: stratified, or a training file that is not sorted by"
            " class"
        )
    if "sample" in varied(config) and rows == left:
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

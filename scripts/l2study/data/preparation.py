"""Preparing a data set once, and checking before that a configuration fits its data."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache

import numpy as np

from l2study.core.config import ConfigError
from l2study.core.design import Setup
from l2study.core.files import replacing, write_json
from l2study.core.paths import BASE
from l2study.data import groups, sources
from l2study.data.arrangement import arrange
from l2study.data.parts import Parts, check_parts, parted
from l2study.data.prepared import DataError, array_paths
from l2study.data.rows import BY_SEED, chosen_rows, split_rows, training_rows

UNKNOWN_ROWS = 10_000
"""How many training rows data are taken to have where nobody knows."""


def prepare(setup: Setup, output: str | os.PathLike) -> dict:
    """Write the prepared data of a set-up, a manifest at `output` and arrays beside; return the
    manifest.

    Only `dataset` and `validation` are read, and whether a seed changes the split or the sample.
    The same input gives the same bytes.

    Raises:
        ConfigError: the data has too few rows for what the configuration asks.
        DataError: the data are absent, damaged, or not what a network can be trained on.
    """
    dataset = setup.config["dataset"]
    given = sources.read_arrays(dataset)
    parts = _parts(given, setup.config)
    checked_rows(parts, setup.config)
    by_seed = [source for source in setup.varied if source in BY_SEED]
    images, labels, manifest = arrange(parts, setup.config, by_seed)
    manifest = {"source": sources.source_name(dataset)} | manifest
    manifest |= groups.of_rows(given, parts, setup.config, by_seed)
    if others := sources.not_read(dataset, given):
        manifest["arrays_left_out"] = others
    for path, array in zip(array_paths(output), (images, labels), strict=True):
        with replacing(path) as unfinished:
            np.save(unfinished, array)
    write_json(output, manifest)
    return manifest


def _parts(arrays: Mapping[str, np.ndarray], config: Mapping) -> Parts:
    others = {name: array for name, array in arrays.items() if name not in groups.ARRAYS}
    return parted(others, config, sources.where_of(config["dataset"]))


def check_setups(setups: Iterable[Setup]) -> None:
    """Do what `check_against_data` does for every set-up; the error names the set-up."""
    seen = []
    known = cache(lambda text: sources.glance(json.loads(text)))
    for setup in setups:
        config = setup.config
        about = (config["dataset"], config["validation"], config["training"]["batch_size"])
        if about in seen:
            continue
        seen.append(about)
        try:
            check_against_data(setup, lambda dataset: known(json.dumps(dataset)))
        except (ConfigError, DataError) as error:
            if setup.name == BASE:
                raise
            raise type(error)(f"set-up {setup.name}: {error}") from None


def check_against_data(setup: Setup, glance: Callable = sources.glance) -> None:
    """Raise an error if a set-up does not fit its data, of which `glance` reads the labels.

    Meant for the moment before anything is started, so it is quick. Of a data set that Keras
    downloads only the parts are known; of a function, only that its file is there.

    Raises:
        ConfigError: the choice of rows is impossible (see `checked_rows`), a seed is to choose a
            sample of all images, or the batch is larger than the training part.
        DataError: see `sources.glance` and `parts.parted`.
    """
    config, dataset = setup.config, setup.config["dataset"]
    labels = glance(dataset)
    if labels is None:
        if "load" not in dataset:
            check_parts({"train", "test"}, config, dataset["name"])
        return
    parts = _parts(labels, config)
    train, held_out = checked_rows(parts, config)
    rows, left = len(train), len(parts.arrays["y_train"]) - len(held_out)
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


def training_count(config: Mapping) -> int:
    """Return how many rows a run of a canonical configuration is trained on, where a function makes
    the data of `UNKNOWN_ROWS`; ConfigError and DataError as of `check_against_data`."""
    part = {key: config[key] for key in ("dataset", "validation")}
    return part["dataset"].get("train_size") or _training_count(json.dumps(part))


@cache
def _training_count(text: str) -> int:
    config = json.loads(text)
    dataset = config["dataset"]
    labels = sources.glance(dataset)
    if labels is None:
        rows = sources.DOWNLOADS.get(dataset.get("name"), UNKNOWN_ROWS)
        return training_rows(rows, config["validation"]["fraction"])
    parts = _parts(labels, config)
    return len(chosen_rows(parts.arrays["y_train"], config, given=parts.given)[0])


def checked_rows(parts: Parts, config: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Return what `chosen_rows` does for the training file of data, having checked it.

    How many rows are chosen of each class is the same for every seed, and so are the faults.

    Raises:
        ConfigError: a part would be empty or would lack a class, `train_size` is more than there
            is, or the tail of the file has images of one class alone.
    """
    labels, validation = parts.arrays["y_train"], config["validation"]
    size, share = config["dataset"].get("train_size"), config["dataset"].get("test_fraction")
    if share is not None:
        own, test = labels[: len(labels) - parts.given], parts.arrays["y_test"]
        _check_fraction("dataset.test_fraction", share, len(own), len(test), "the test part")
        for part in (own, test):
            both, what = np.concatenate([own, test]), f"dataset.test_fraction: {share}"
            _check_classes(both, part, what, parts.class_names)
    if validation["split"] != "given":
        _check_split(labels, validation["split"], validation["fraction"], parts.class_names)
    train, held_out = chosen_rows(labels, config | {"dataset": {}}, given=parts.given)
    if size is not None:
        if size > len(train):
            raise ConfigError(
                f"dataset.train_size: {size} is more than the {len(train)} rows that the validation"
                f" split leaves for training; allowed: 1 to {len(train)}"
            )
        subset, _ = chosen_rows(labels, config, given=parts.given)
        what = f"dataset.train_size: {size}"
        _check_classes(labels[train], labels[subset], what, parts.class_names)
        train = subset
    return train, held_out


def _check_fraction(key: str, fraction: float, rest: int, taken: int, what: str) -> None:
    if 0 in (rest, taken):
        raise ConfigError(
            f"{key}: {fraction} of {rest + taken} rows leaves none for"
            f" {'training' if rest == 0 else what}; allowed: at least one row for each"
        )


def _check_split(labels: np.ndarray, split: str, fraction: float, names: list[str] | None) -> None:
    """Raise ConfigError if a validation split is impossible, or leaves a part without a class."""
    cut = training_rows(len(labels), fraction)
    _check_fraction("validation.fraction", fraction, cut, len(labels) - cut, "validation")
    train, held_out = split_rows(labels, split, fraction)
    if split == "stratified":
        for part in (train, held_out):
            what = f"validation.fraction: {fraction} with split: stratified"
            _check_classes(labels, labels[part], what, names)
        return
    classes = np.unique(labels[held_out])
    if len(lacking := np.setdiff1d(labels, labels[train])):
        raise ConfigError(
            f"validation.split: tail leaves no training row of class {_name(lacking[0], names)},"
            " which is only at the end of the file; allowed: stratified, or a file in random order"
        )
    if len(classes) == 1 < len(held_out):
        raise ConfigError(
            f"validation.split: tail takes rows of class {_name(classes[0], names)} alone; allowed:"
            " stratified, or a training file that is not sorted by class"
        )


def _check_classes(
    labels: np.ndarray, part: np.ndarray, what: str, names: list[str] | None
) -> None:
    """Raise ConfigError if a class of `labels` is not in `part`."""
    lacking = np.setdiff1d(labels, part)
    if len(lacking):
        count = np.count_nonzero(labels == lacking[0])
        raise ConfigError(
            f"{what} takes {len(part)} of {len(labels)} rows, too few for one of class"
            f" {_name(lacking[0], names)}, which has {count}; allowed: enough for one of every"
            " class"
        )


def _name(label: int, names: list[str] | None) -> object:
    return names[label] if names else label

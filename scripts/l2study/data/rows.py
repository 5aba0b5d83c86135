"""Choosing rows of the training file: for validation, to train on, and with another label.

Preparing does this once where the rows are the same for every run. Where a seed changes them, a run
does it by its own seeds.
"""

import math
from collections.abc import Mapping

import numpy as np

from l2study.core.config import ConfigError
from l2study.data.streams import source_stream, stream

BY_SEED = ("split", "sample")
"""The sources of variation that say which rows there are."""


def chosen_rows(
    labels: np.ndarray, config: Mapping, sources: Mapping[str, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows to train on and of those set aside for validation.

    The validation split comes first, so that `train_size` leaves the validation rows as they are;
    the rows of the subset keep their order. The subset is drawn of what the split leaves, so it
    follows a split that varies, also where the sample does not. How many rows there are, and of
    which class, is the same for every seed.

    Args:
        labels: classes of the rows of the training file.
        config: a canonical configuration; `dataset.train_size` and `validation` are read.
        sources: the seeds of `split` and `sample`, of those that vary.

    Raises:
        ConfigError: see `split_rows`; or `train_size` is more than there is, or lacks a class.
    """
    sources, validation = sources or {}, config["validation"]
    train, held_out = split_rows(labels, validation["split"], validation["fraction"], sources)
    size = config["dataset"].get("train_size")
    if size is None:
        return train, held_out
    if size > len(train):
        raise ConfigError(
            f"dataset.train_size: {size} is more than the {len(train)} rows that the validation"
            f" split leaves for training; allowed: 1 to {len(train)}"
        )
    subset = _stratified(labels[train], size, source_stream("sample", sources))
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
    """
    share = config["dataset"].get("label_noise")
    if share is None:
        return labels[train], None
    classes, own = np.unique(labels, return_inverse=True)
    rng = stream("label noise")
    place = rng.random(len(labels))
    other = classes[(own + rng.integers(1, len(classes), len(labels))) % len(classes)]
    replaced = np.argsort(place[train])[: round(share * len(train))]
    noisy = labels[train]
    noisy[replaced] = other[train[replaced]]
    return noisy, len(replaced)


def split_rows(
    labels: np.ndarray, split: str, fraction: float, sources: Mapping[str, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers to train on and those of the validation set.

    `tail`: in file order, cut where Keras's `validation_split=fraction` cuts. `stratified`: as
    many, drawn at random with every class in proportion, both parts shuffled; always the same rows
    for the same labels and seed of `split` in `sources`.

    Raises:
        ConfigError: a part would be empty, the training part would lack a class, or (stratified)
            the validation part would.
    """
    # the arithmetic of train_validation_split in Keras 3
    cut = math.floor(len(labels) * (1.0 - fraction))
    if cut in (0, len(labels)):
        raise ConfigError(
            f"validation.fraction: {fraction} of {len(labels)} rows leaves none for"
            f" {'training' if cut == 0 else 'validation'}; allowed: at least one row for each"
        )
    if split == "tail":
        if len(lacking := np.setdiff1d(labels, labels[:cut])):
            raise ConfigError(
                f"validation.split: tail leaves no training row of class {lacking[0]}, which is"
                " only at the end of the file; allowed: stratified, or a file in random order"
            )
        return np.arange(cut), np.arange(cut, len(labels))
    rng = source_stream("split", sources or {})
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

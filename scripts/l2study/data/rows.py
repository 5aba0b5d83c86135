"""Choosing rows of the training file: for validation, to train on, and with another label.

Preparing does this once where the rows are the same for every run. Where a seed changes them, a run
does it by its own seeds. That a choice is possible is checked before, by `preparation`.
"""

import math
from collections.abc import Mapping

import numpy as np

from l2study.data.streams import source_stream, stream

BY_SEED = ("split", "sample")
"""The sources of variation that say which rows there are."""


def chosen_rows(
    labels: np.ndarray, config: Mapping, sources: Mapping[str, int] | None = None, given: int = 0
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
        given: how many of the last rows are those of `validation.split: given`.
    """
    sources, validation = sources or {}, config["validation"]
    if validation["split"] == "given":
        train, held_out = np.split(np.arange(len(labels)), [len(labels) - given])
    else:
        train, held_out = split_rows(labels, validation["split"], validation["fraction"], sources)
    size = config["dataset"].get("train_size")
    if size is not None:
        train = train[_stratified(labels[train], size, source_stream("sample", sources))]
    return train, held_out


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


def training_rows(rows: int, fraction: float) -> int:
    """Return how many of `rows` rows the validation fraction leaves for training."""
    # the arithmetic of train_validation_split in Keras 3
    return math.floor(rows * (1.0 - fraction))


def split_rows(
    labels: np.ndarray, split: str, fraction: float, sources: Mapping[str, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers to train on and those of the validation set.

    `tail`: in file order, cut where Keras's `validation_split=fraction` cuts. `stratified`: as
    many, drawn at random with every class in proportion, both parts shuffled; always the same rows
    for the same labels and seed of `split` in `sources`.
    """
    cut = training_rows(len(labels), fraction)
    if split == "tail":
        return np.arange(cut), np.arange(cut, len(labels))
    rng = source_stream("split", sources or {})
    train = _stratified(labels, cut, rng)
    held_out = np.setdiff1d(np.arange(len(labels)), train)
    return rng.permutation(train), rng.permutation(held_out)


def set_aside(labels: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers that stay, and those of a test part, both ascending.

    The test part is drawn at random with every class in proportion: always the same rows for the
    same labels and fraction.
    """
    kept = _stratified(labels, training_rows(len(labels), fraction), stream("test part"))
    return kept, np.setdiff1d(np.arange(len(labels)), kept)


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

"""What a reader should know of prepared data before an answer that rests on them.

Counts, shares and ranges, each with whether it is a finding: something that misleads, or that a
person can mend. Nothing here decides a number of a run.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from l2study.data.groups import groups_in
from l2study.data.prepared import array_paths, reading

ALL = "all"
"""In place of a part or of a class, for what is of all of them."""

FEW_ROWS = 5
"""A class with fewer training rows than this is too small to be learned."""

LARGE_SHARE = 2 / 3
"""Where a class has this share of the test rows, accuracy says little without saying so."""

SCALES = (0.03, 3.0)
"""The standard deviations of inputs for which the noise and the attacks of the study are made:
within a factor of 10 of that of MNIST's pixels, 0.3."""

OTHER_SCALE = 3.0
"""The factor between the standard deviations of two parts above which these are scaled unlike."""

_PIECE = 2**23
"""Bytes of inputs that are looked at at a time, so that it takes little memory."""


class Ranges(NamedTuple):
    """What is known of each number of an input over some rows: arrays of shape (numbers,)."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def check_prepared(manifest: str | os.PathLike) -> list[dict]:
    """Return what `checked` does for the data of a manifest, of which the arrays are beside it; one
    row where they have been deleted, and DataError where they are damaged."""
    with reading(f"{manifest}: not a manifest of prepared data"):
        known = json.loads(Path(manifest).read_text(encoding="utf-8"))
    images, labels = array_paths(manifest)
    if not (images.exists() and labels.exists()):
        return [_row(ALL, "not checked", images.name, finding=True)]
    with reading(f"{manifest}: the arrays beside it cannot be read"):
        return checked(np.load(images, mmap_mode="r"), np.load(labels), known)


def checked(images: np.ndarray, labels: np.ndarray, manifest: Mapping) -> list[dict]:
    """Return the rows of the table `data_check` of prepared data, without their set-up.

    schemas/tables.yaml says what the columns are. Where a seed chooses which rows are set aside for
    validation, these are among the training rows.

    `images`, shape (rows, ...), are read in pieces, `labels` have the shape (rows,), and the
    manifest is of `arrangement.arrange`.
    """
    counts, choice = manifest["counts"], manifest.get("rows")
    ends = [choice["file"]] if choice else [counts["train"], counts["validation"]]
    ends = np.cumsum([0, *ends, counts["test"]]).tolist()
    names = ("train", "test") if choice else ("train", "val", "test")
    parts = {name: slice(*ends[i : i + 2]) for i, name in enumerate(names)}
    images = images.reshape(len(images), -1)
    return [
        *_of_classes({name: labels[rows] for name, rows in parts.items()}, manifest),
        *_of_inputs({name: images[rows] for name, rows in parts.items()}, manifest),
        *_of_copies(_digests(images), labels, parts, manifest),
        *_of_groups(manifest),
        *_of_what_is_left_out(manifest),
    ]


def _row(part: str, check: str, which: str = ALL, finding: bool = False, **numbers) -> dict:
    count, of = numbers.get("count"), numbers.get("of")
    share = {} if of is None else {"share": count / of}
    said = {"finding": "yes" if finding else "no"}
    return {"part": part, "check": check, "which": which} | numbers | share | said


def _of_classes(labels: Mapping[str, np.ndarray], manifest: Mapping) -> Iterator[dict]:
    """Yield how many rows of each part each class has, and which classes have few or none."""
    classes = manifest["classes"]
    names = manifest.get("class_names") or list(map(str, range(classes)))
    for part, own in labels.items():
        counts = np.bincount(own, minlength=classes).tolist()
        for name, count in zip(names, counts, strict=True):
            yield _row(part, "class", name, count=count, of=len(own))
        largest = max(range(classes), key=counts.__getitem__)
        found = part == "test" and counts[largest] / len(own) >= LARGE_SHARE
        yield _row(part, "largest class", names[largest], found, count=counts[largest], of=len(own))
        if part == "train":
            few = sum(count < FEW_ROWS for count in counts)
            yield _row(part, "small classes", finding=few > 0, count=few, of=classes)
        else:
            lacking = counts.count(0)
            yield _row(part, "missing classes", finding=lacking > 0, count=lacking, of=classes)


def _of_inputs(images: Mapping[str, np.ndarray], manifest: Mapping) -> Iterator[dict]:
    """Yield in which range the inputs of each part are as the network sees them."""
    ranges = {part: _ranges(own) for part, own in images.items()}
    first = ranges["train"]
    shift, scale = np.float64(0), np.float64(manifest["scale"])
    if manifest.get("standardize"):
        same = first.low == first.high
        shift, scale = first.mean, 1 / np.where(same, 1.0, np.sqrt(first.variance))
    known = None
    for part, own in ranges.items():
        count, of = int((own.low == own.high).sum()), len(own.low)
        constant = count == of and len(images[part]) > 1
        deviation = float(np.sqrt(np.mean(own.variance * scale**2)))
        if part == "train":
            known, unlike = deviation, not SCALES[0] <= deviation <= SCALES[1]
        else:
            unlike = not known <= OTHER_SCALE * deviation <= OTHER_SCALE**2 * known
        said = len(images[part]) > 1 and known > 0 and not constant
        yield _row(part, "constant inputs", finding=constant, count=count, of=of)
        yield _row(part, "lowest", value=float(((own.low - shift) * scale).min()))
        yield _row(part, "highest", value=float(((own.high - shift) * scale).max()))
        yield _row(part, "deviation", finding=said and unlike, value=deviation)


def _ranges(images: np.ndarray) -> Ranges:
    first = np.asarray(images[0], np.float64)
    low, high = np.array(images[0]), np.array(images[0])
    total, squares = np.zeros_like(first), np.zeros_like(first)
    for piece in _pieces(images):
        np.minimum(low, piece.min(axis=0), out=low)
        np.maximum(high, piece.max(axis=0), out=high)
        # Less the first row: else rounding would hide how little large numbers vary.
        apart = piece - first
        total += apart.sum(axis=0)
        squares += np.einsum("ij,ij->j", apart, apart)
    mean = total / len(images)
    variance = np.maximum(squares / len(images) - mean**2, 0.0)
    return Ranges(low.astype(float), high.astype(float), first + mean, variance)


def _pieces(images: np.ndarray) -> Iterator[np.ndarray]:
    at_once = max(_PIECE // (8 * images.shape[1]), 1)
    for start in range(0, len(images), at_once):
        yield np.asarray(images[start : start + at_once])


def _digests(images: np.ndarray) -> np.ndarray:
    """Return a number for each row, shape (rows,): equal rows have equal numbers, and others by
    chance in one pair of 10^19."""
    found = np.empty(len(images), np.uint64)
    place = 0
    for piece in _pieces(images):
        # 0.0 and -0.0 are the same number
        rows = np.ascontiguousarray(piece + 0 if piece.dtype.kind == "f" else piece)
        digests = (hashlib.blake2b(row, digest_size=8).digest() for row in rows)
        found[place : place + len(rows)] = np.frombuffer(b"".join(digests), np.uint64)
        place += len(rows)
    return found


def _of_copies(
    digests: np.ndarray, labels: np.ndarray, parts: Mapping[str, slice], manifest: Mapping
) -> Iterator[dict]:
    """Yield how many rows are also in another part, and how many have another label elsewhere in
    their own."""
    for part, rows in parts.items():
        own, size = digests[rows], rows.stop - rows.start
        for other in list(parts)[: list(parts).index(part)]:
            copied = int(np.isin(own, digests[parts[other]]).sum())
            yield _row(part, "copies", other, copied > 0, count=copied, of=size)
        order = np.argsort(own, kind="stable")
        starts = np.flatnonzero(np.diff(own[order], prepend=~own[order[0]]))
        alike, sizes = labels[rows][order], np.diff(starts, append=size)
        low, high = (extreme.reduceat(alike, starts) for extreme in (np.minimum, np.maximum))
        unlike = int(sizes[low != high].sum())
        # Labels of training rows may be wrong because the configuration says so.
        meant = part == "train" and bool(manifest.get("noisy_labels"))
        yield _row(part, "other label", finding=unlike > 0 and not meant, count=unlike, of=size)


def _of_groups(manifest: Mapping) -> Iterator[dict]:
    """Yield how many groups of a part have training rows, too, where that is known."""
    known, trained = groups_in(manifest), manifest.get("groups", {}).get("also_trained", {})
    for part, count in trained.items():
        of = int(known[part].max()) + 1
        yield _row(part, "shared groups", "train", count > 0, count=count, of=of)


def _of_what_is_left_out(manifest: Mapping) -> Iterator[dict]:
    if rows := manifest.get("validation_left_out"):
        yield _row("val", "rows left out", finding=True, count=rows)
    for name in manifest.get("arrays_left_out", []):
        yield _row(ALL, "array left out", name, finding=True)

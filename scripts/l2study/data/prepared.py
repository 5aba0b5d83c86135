"""Prepared data: a manifest, and the arrays that training jobs map into memory.

The manifest is JSON, with the checksum that identifies the data. Beside it are the images and the
labels as NumPy files: training rows first, then validation, then test. Where a seed changes which
rows these are, the files have those of the training file, then test, and are put into that order
when they are loaded. Then numbers are standardised too, by the training rows of the run.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from l2study.data.rows import BY_SEED, chosen_rows, noisy_labels

MOST_EXACT = 2**24
"""The whole numbers up to this one are exact as 32-bit floats."""

_AT_ONCE = 100
"""Rows whose numbers are computed at a time, so that it takes little memory."""


class DataError(ValueError):
    """The data cannot be used. The message is one line: the file, the array and what is wrong."""


@dataclass(frozen=True)
class Prepared:
    """Prepared data, with the images mapped into memory, or in it where they are made for a run.

    `images` has the shape (rows, *image shape) and is uint8, to be multiplied by `scale`, or
    float32; `labels` has the shape (rows,), int32, from 0 to `classes` - 1. `train`, `validation`
    and `test` are the slices of the rows; `counts` has their lengths by the same names. `sha256`
    identifies the data, whatever the file it came from is called; `chosen_by` has the seeds that
    chose the rows, by the sources that vary, and is empty where they are the same for every run.
    """

    images: np.ndarray
    labels: np.ndarray
    counts: dict[str, int]
    classes: int
    scale: float
    sha256: str
    source: str
    chosen_by: dict[str, int] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self.images.shape[1:]

    @property
    def train(self) -> slice:
        """Rows to train on."""
        return slice(0, self.counts["train"])

    @property
    def validation(self) -> slice:
        """Rows set aside for validation."""
        return slice(self.train.stop, self.train.stop + self.counts["validation"])

    @property
    def test(self) -> slice:
        """Rows of the test set."""
        return slice(self.validation.stop, self.validation.stop + self.counts["test"])

    @property
    def parts(self) -> dict[str, range]:
        """Row numbers of each part, under the names that the columns of a history begin with."""
        parts = {"train": self.train, "val": self.validation, "test": self.test}
        return {name: range(rows.start, rows.stop) for name, rows in parts.items()}


def load(manifest: str | os.PathLike, sources: Mapping[str, int] | None = None) -> Prepared:
    """Return the prepared data of the manifest at `manifest`.

    Shapes and types are compared with the manifest; the checksums are not computed again.

    Args:
        manifest: the path of it.
        sources: the seed of every source that varies in a run. Those of `split` and `sample` choose
            its rows, and must be there exactly where the data have been prepared for them.

    Raises:
        DataError: a file is absent, damaged or does not fit the manifest, or the manifest does not
            fit `sources`.
    """
    with reading(f"{manifest}: not a manifest of prepared data"):
        expected = json.loads(Path(manifest).read_text(encoding="utf-8"))
        choice, counts = expected.get("rows", {}), expected["counts"]
        rows = choice["file"] + counts["test"] if choice else sum(counts.values())
        by_seed = choice.get("by_seed", [])
        headers = [
            ((rows, *expected["shape"]), np.dtype(expected["dtype"])),
            ((rows,), np.dtype(np.int32)),
        ]
        known = {name: expected[name] for name in ("classes", "scale", "sha256", "source")}
    chosen_by = {source: seed for source, seed in (sources or {}).items() if source in BY_SEED}
    if set(chosen_by) != set(by_seed):
        raise DataError(
            f"{manifest}: is for runs in which a seed changes {' and '.join(by_seed) or 'no rows'},"
            f" but in this one it changes {' and '.join(chosen_by) or 'none'}; prepare the data"
            " with the same variation"
        )
    arrays = []
    for path, header in zip(array_paths(manifest), headers, strict=True):
        with reading(f"{path}: cannot be read"):
            # copy-on-write, not read-only: TensorFlow borrows the memory of writeable arrays only
            array = np.load(path, mmap_mode="c")
        if (array.shape, array.dtype) != header:
            raise DataError(
                f"{path}: has shape {array.shape} and type {array.dtype}, but {Path(manifest).name}"
                f" says {header[0]} and {header[1]}; prepare the data again"
            )
        arrays.append(array)
    images, labels = arrays[0], np.array(arrays[1])
    if choice:
        images, labels = _chosen(images, labels, choice, chosen_by, counts["validation"])
    if expected.get("standardize"):
        images = standardized(images, counts["train"])
    return Prepared(images=images, labels=labels, counts=counts, chosen_by=chosen_by, **known)


def standardized(images: np.ndarray, rows: int) -> np.ndarray:
    """Return images less the mean of the first `rows`, over their standard deviation, as float32.

    Mean and deviation are those of every number of an image by itself, and in double precision. A
    number that is the same in all of these rows is divided by 1.
    """
    parts = [images[i : min(i + _AT_ONCE, rows)] for i in range(0, rows, _AT_ONCE)]
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in parts) / rows
    variance = sum(np.square(part - mean).sum(axis=0) for part in parts) / rows
    constant = images[:rows].min(axis=0) == images[:rows].max(axis=0)
    deviation = np.where(constant, 1.0, np.sqrt(variance))
    mean = np.where(constant, images[0], mean)  # without what rounding adds to it
    found = np.empty(images.shape, np.float32)
    for i in range(0, len(images), _AT_ONCE):
        found[i : i + _AT_ONCE] = (images[i : i + _AT_ONCE] - mean) / deviation
    return found


def _chosen(
    images: np.ndarray,
    labels: np.ndarray,
    choice: Mapping,
    chosen_by: Mapping[str, int],
    given: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and the labels of a run: training, validation, test."""
    of_file = labels[: choice["file"]]
    train, held_out = chosen_rows(of_file, choice, chosen_by, given)
    learned, _ = noisy_labels(of_file, train, choice)
    rows = np.concatenate([train, held_out, np.arange(len(of_file), len(labels))])
    return np.asarray(images)[rows], np.concatenate([learned, labels[rows[len(train) :]]])


def checksum(manifest: str | os.PathLike) -> str:
    """Return the checksum that identifies the data of the manifest at `manifest`.

    Raises:
        DataError: it is absent or damaged.
    """
    with reading(f"{manifest}: not a manifest of prepared data"):
        return json.loads(Path(manifest).read_text(encoding="utf-8"))["sha256"]


def array_paths(manifest: str | os.PathLike) -> tuple[Path, Path]:
    """Return the paths of the images and of the labels that belong to a manifest."""
    path = Path(manifest)
    return path.with_name(f"{path.stem}.images.npy"), path.with_name(f"{path.stem}.labels.npy")


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a DataError of one line that begins with `what`.

    A damaged file makes zipfile, gzip, json and NumPy raise errors of a dozen kinds.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{what}: {reason(error)}") from None


def reason(error: BaseException) -> str:
    """Return an error's message in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__

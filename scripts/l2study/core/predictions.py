"""What every run of a lambda predicts for each validation and test image, in one file."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

BEST = "best"
"""Stands for the epoch at which a run has the lowest validation cross-entropy."""

PARTS = ("val", "test")
"""The images that predictions are kept of, by the names of the columns of a history."""

_SMALLEST = float(np.finfo(np.float32).tiny)
"""Where a probability is too small for its type, this stands for it."""


class Predicted(NamedTuple):
    """What a network predicts for the images of a part, in the order of the prepared data.

    `label` is the right class of every image and `predicted` the most probable one, both of shape
    (images,) and the smallest unsigned type that holds them; `probability` is that of the right
    class, float32.
    """

    label: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Whether the most probable class of an image is the right one, as 0.0 or 1.0."""
        return (self.predicted == self.label).astype(float)

    @property
    def cross_entropy(self) -> np.ndarray:
        """The cross-entropy of every image in nats.

        Keras computes it from the logits, so it takes no probability for larger than it is.
        """
        return -np.log(np.maximum(self.probability.astype(float), _SMALLEST))


def predicted_of(probabilities: np.ndarray, labels: np.ndarray) -> Predicted:
    """Return what `probabilities`, shape (images, classes), say of images with these labels."""
    kind = np.min_scalar_type(probabilities.shape[1] - 1)
    return Predicted(
        label=labels.astype(kind),
        predicted=probabilities.argmax(axis=1).astype(kind),
        probability=probabilities[np.arange(len(labels)), labels],
    )


def part_at(part: str, epoch: int | str | None = None) -> str:
    """Return the name of the predictions of a part of the images after an epoch: "val@8".

    `epoch` is a number, `BEST`, or None for the last one, whose name is that of the part.
    """
    return part if epoch is None else f"{part}@{epoch}"


def write_predictions(path: Path, runs: Mapping[int, Mapping[str, Predicted]]) -> None:
    """Write the predictions of the runs of a lambda, by seed and part; the same give equal bytes.

    The arrays are named seed~<seed>/<part>/<field of Predicted>, with the part as `part_at` names
    it. The suffix of `path` is npz.

    Raises:
        OSError: the file cannot be written.
    """
    arrays = {
        f"seed~{seed}/{part}/{field}": array
        for seed, parts in runs.items()
        for part, predicted in parts.items()
        for field, array in predicted._asdict().items()
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def read_predictions(content: bytes) -> dict[int, dict[str, Predicted]]:
    """Return the predictions in the content of a file of `write_predictions`.

    Raises:
        ValueError: it is no such file.
    """
    runs: dict[int, dict[str, dict]] = {}
    try:
        with np.load(io.BytesIO(content)) as arrays:
            for name, array in arrays.items():
                seed, part, field = name.removeprefix("seed~").split("/")
                runs.setdefault(int(seed), {}).setdefault(part, {})[field] = array
        return {
            seed: {part: Predicted(**fields) for part, fields in parts.items()}
            for seed, parts in runs.items()
        }
    except (zipfile.BadZipFile, zlib.error, OSError, TypeError, EOFError) as error:
        raise ValueError(f"not a file of predictions ({error})") from None

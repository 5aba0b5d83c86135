"""Groups of rows: the writer, the patient or the site that rows of data come from.

The arrays `groups_train`, `groups_val` and `groups_test` say of each row which group it is of. They
are no input and decide nothing of training. The manifest of prepared data has the groups of the
validation and of the test rows, and only where there are any. They are no part of its checksum.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from l2study.data.formats import PARTS
from l2study.data.parts import Parts
from l2study.data.prepared import reading
from l2study.data.rows import chosen_rows, set_aside

ARRAYS = tuple(f"groups_{part}" for part in PARTS)
"""What the arrays are called, in an .npz file and by a function of the user's."""


def in_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the groups that an .npz file has; DataError where an array cannot be read."""
    with reading(f"{path}: cannot be read"), np.load(path, allow_pickle=False) as archive:
        found = {}
        for name in (name for name in ARRAYS if name in archive.files):
            with reading(f"{path}: {name} cannot be read"):
                found[name] = archive[name]
        return found


def faults(arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Yield where groups are not one word or whole number for each row of their part."""
    for part, name in zip(PARTS, ARRAYS, strict=True):
        groups, labels = arrays.get(name), arrays.get(f"y_{part}")
        if groups is None:
            continue
        if labels is None:
            yield f"has {name}, but no {part} part; allowed: groups of its rows"
        rows = len(labels)
        if groups.shape not in ((rows,), (rows, 1)):
            yield (
                f"{name} has shape {groups.shape}, but y_{part} has {rows} rows; allowed: (rows,),"
                " one group for each row"
            )
        flat = groups.reshape(-1)
        for row, group in enumerate(flat.tolist()):
            if group is None or group != group or (isinstance(group, str) and not group.strip()):
                yield (
                    f"{name} has no value in row {row}, counted from 0; allowed: a group for each"
                    " row"
                )
        if flat.dtype.kind not in "iubU":
            yield f"{name} has type {flat.dtype}; allowed: whole numbers, words or booleans"


def of_rows(
    arrays: Mapping[str, np.ndarray], parts: Parts, config: Mapping, by_seed: Sequence[str]
) -> dict[str, dict]:
    """Return what the manifest says of the groups of validation and test rows; {} without groups.

    `numbers` has the number of the group of every row, counted from 0 in each part, in the order of
    the prepared data and as one text, by val and test. Validation rows that a seed chooses have
    none. `also_trained` has how many of the groups have training rows too, where that is known.

    Args:
        arrays: of data, as they are read.
        parts: the same with classes numbered and parts as the configuration says.
        config: a canonical configuration; `dataset` and `validation` are read.
        by_seed: the sources of variation whose seeds choose rows.
    """
    names = {part: name for part, name in zip(PARTS, ARRAYS, strict=True) if name in arrays}
    groups = {part: arrays[name].reshape(-1) for part, name in names.items()}
    found = {"test": groups["test"]} if "test" in groups else {}
    validation = config["validation"]["split"]
    if validation == "given" and "val" in groups:
        found["val"] = groups["val"]
    trained = None
    if "train" in groups:
        own, fraction = groups["train"], config["dataset"].get("test_fraction")
        if fraction is not None:
            kept, test = set_aside(arrays["y_train"].reshape(-1), fraction)
            own, found["test"] = own[kept], own[test]
        train, held_out = chosen_rows(parts.arrays["y_train"], config, given=parts.given)
        if validation != "given" and "split" not in by_seed:
            found["val"] = own[held_out]
        # Which are trained on, another seed may choose.
        trained = None if by_seed else own[train]
    if not found:
        return {}
    told = {"numbers": {}}
    for part in sorted(found, reverse=True):
        numbers = np.unique(found[part], return_inverse=True)[1].reshape(-1)
        told["numbers"][part] = " ".join(map(str, numbers.tolist()))
    if trained is not None:
        told["also_trained"] = {
            part: len(np.intersect1d(found[part], trained)) for part in told["numbers"]
        }
    return {"groups": told}


def groups_in(manifest: Mapping) -> dict[str, np.ndarray]:
    """Return the number of the group of every row that has one, by val and test."""
    numbers = manifest.get("groups", {}).get("numbers", {})
    return {part: np.array(text.split(), int) for part, text in numbers.items()}


def counted(manifest: Mapping) -> dict:
    """Return a manifest with how many groups each part has in place of their numbers."""
    if "groups" not in manifest:
        return dict(manifest)
    others = {key: own for key, own in manifest["groups"].items() if key != "numbers"}
    counts = {part: int(numbers.max()) + 1 for part, numbers in groups_in(manifest).items()}
    return manifest | {"groups": {"counts": counts} | others}

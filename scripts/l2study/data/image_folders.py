"""Reading images: a folder for each class, perhaps in one folder for each part of the data."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from l2study.data.prepared import DataError, reading

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
"""How the names of image files end."""

PART_FOLDERS = {"train": ("train",), "val": ("val", "validation"), "test": ("test",)}
"""What the folders of the parts may be called."""

DEPTHS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""The modes of Pillow that have 8 bits or fewer for a colour. To cut others to 8 bits would change
what the images show."""


def read_image_folder(folder: Path, dataset: Mapping, quick: bool) -> dict[str, np.ndarray]:
    """Return the images of a folder, uint8, and the names of their classes.

    The order is that of the names of classes and files, on every system. Images have the shape
    (height, width, 3), or (height, width) with `color: grayscale`. With `image_size`, they are
    scaled to it, bilinear, whatever their proportions.

    Raises:
        DataError: a file is no image, or cannot be read; a folder is empty; or the images have
            several sizes, and `image_size` is not given.
    """
    size, first = dataset.get("image_size"), None
    if isinstance(size, int):
        size = [size, size]
    colours, mode = ([], "L") if dataset.get("color") == "grayscale" else ([3], "RGB")
    arrays = {}
    for part, files in _parts(folder).items():
        if size is None:
            first = files[0][0]
            size = _size(first)
        shape = (len(files), *size, *colours)
        images = np.broadcast_to(np.uint8(), shape) if quick else np.empty(shape, np.uint8)
        for place, (file, _) in enumerate(files):
            own = _size(file)
            if first is not None and own != size:
                raise DataError(
                    f"dataset.image_size: missing, but {file} has {_words(own)} pixels and"
                    f" {first} {_words(size)}; allowed: a size for all, or images of one size"
                )
            if not quick:
                images[place] = _read(file, size, mode)
        arrays |= {f"x_{part}": images, f"y_{part}": _classes([name for _, name in files])}
    return arrays


def _words(size: tuple[int, int]) -> str:
    """Return a size of images in words, height first."""
    return " x ".join(map(str, size))


def _classes(names: list[str]) -> np.ndarray:
    """Return the classes of images: words, or whole numbers where all names are."""
    if all(name.isdecimal() and name == str(int(name)) for name in names):
        return np.array(names, int)
    return np.array(names)


def image_files(folder: Path) -> list[Path]:
    """Return all image files of a folder, in the order in which they are read.

    Raises:
        DataError: see `read_image_folder`.
    """
    return [file for files in _parts(folder).values() for file, _ in files]


def _parts(folder: Path) -> dict[str, list[tuple[Path, str]]]:
    """Return the image files of each part, each with its class."""
    there = {entry.name for entry in _entries(folder) if entry.is_dir()}
    if "train" not in there:
        return {"train": _of_classes(folder)}
    known = {name for names in PART_FOLDERS.values() for name in names}
    if others := sorted(there - known):
        raise DataError(
            f"{folder / others[0]}: is beside {folder / 'train'}; allowed there:"
            f" {', '.join(sorted(known))}"
        )
    parts = {}
    for part, names in PART_FOLDERS.items():
        if found := [name for name in names if name in there]:
            parts[part] = _of_classes(folder / found[0])
    return parts


def _of_classes(folder: Path) -> list[tuple[Path, str]]:
    """Return the image files in the folders of the classes in `folder`, each with its class."""
    found = []
    for of_class in _entries(folder):
        if not of_class.is_dir():
            raise DataError(f"{of_class}: is no folder; allowed here: a folder for each class")
        files = _entries(of_class)
        for file in files:
            if file.suffix.lower() not in SUFFIXES or not file.is_file():
                raise DataError(
                    f"{file}: is no image; allowed in the folder of a class: files whose names end"
                    f" in {', '.join(SUFFIXES)}"
                )
        if not files:
            raise DataError(f"{of_class}: has no image; allowed: at least one for each class")
        found += [(file, of_class.name) for file in files]
    if not found:
        raise DataError(f"{folder}: is empty; allowed: a folder for each class, with images")
    return found


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted by name, but for hidden files."""
    found = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return sorted(found, key=lambda entry: entry.name)


def _size(file: Path) -> tuple[int, int]:
    """Return height and width of an image, by the beginning of its file."""
    with _opened(file) as image:
        return image.height, image.width


def _read(file: Path, size: tuple[int, int], mode: str) -> np.ndarray:
    """Return an image with this height and width, in a mode of Pillow."""
    from PIL import Image

    with _opened(file) as image:
        if image.mode not in DEPTHS:
            raise DataError(
                f"{file}: has more than 8 bits for a pixel's colour (mode {image.mode});"
                " allowed: 8 bits"
            )
        image = image.convert(mode)
        if image.size != (size[1], size[0]):
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        return np.asarray(image)


@contextmanager
def _opened(file: Path) -> Iterator["Image.Image"]:
    """Open an image; that it is none, or is damaged, is a DataError."""
    from PIL import Image

    fault, kinds = f"{file}: cannot be read as PNG or JPEG", ["PNG", "JPEG"]
    with reading(fault), Image.open(file, formats=kinds) as image:
        yield image

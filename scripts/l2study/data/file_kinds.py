"""What a file is that is no .npz file, by how it begins, and what to do with it."""

import zipfile
from pathlib import Path

_SAVE = "read it in Python, and write it with numpy.savez(file, x_train=..., y_train=..., ...)"
_UNPACK = "unpack it, and name the file or the folder that is in it"

_BEGINNINGS = (
    (b"PAR1", "a Parquet file", "let its name end in .parquet"),
    (b"\x93NUMPY", "a single array (.npy)", _SAVE),
    (b"MATLAB", "a MATLAB file", _SAVE.replace("it in", "it with scipy.io.loadmat in", 1)),
    (b"\x89HDF", "an HDF5 file, as of MATLAB 7.3 or of Keras", _SAVE),
    (b"ARROW1", "a Feather file", "write it with pandas.DataFrame.to_parquet"),
    (b"\0\0\x08", "an IDX file", "name the folder that it is in, with the others"),
    (b"\x1f\x8b", "packed with gzip", _UNPACK),
    (b"BZh", "packed with bzip2", _UNPACK),
    (b"\xfd7zXZ", "packed with xz", _UNPACK),
    (b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"SQLite", "an SQLite database", _SAVE),
    (b"\x89PNG", "an image", "name the folder that has a folder of images for each class"),
    (b"\xff\xd8\xff", "an image", "name the folder that has a folder of images for each class"),
)

_MEMBERS = (
    ("xl/", "an Excel file", "save its sheet as .csv"),
    ("data.pkl", "a file of PyTorch", _SAVE),
)
"""What a ZIP archive is that has a member whose name has this in it."""


def kind(path: Path) -> tuple[str, str] | None:
    """Return what a file is, and what to do; None of what is, or may be in part, an .npz file."""
    with path.open("rb") as file:
        begin = file.read(4096)
    if not begin:
        return "empty", "copy or download it again"
    for known, words, to_do in _BEGINNINGS:
        if begin.startswith(known):
            return words, to_do
    if begin.startswith(b"PK\x03\x04"):
        return _of_zip(path)
    if begin[0] == 0x80 and begin[1] < 6:
        return "a pickle file, which could run any code", _SAVE
    try:
        text = begin.decode(errors="strict" if len(begin) < 4096 else "ignore")
    except UnicodeDecodeError:
        return None
    if "\0" in text:
        return None
    first = text.splitlines()[0] if text.splitlines() else ""
    if first.lstrip("\ufeff \t").startswith(("<", "{", "[")):
        return "text, such as a page of a website or JSON", _SAVE
    if "\t" in first or ";" in first:
        to_do = "write it with commas, and let its name end in .csv"
        return "a table that is not separated by commas", to_do
    return "text", "let its name end in .csv if it is a table that is separated by commas"


def _of_zip(path: Path) -> tuple[str, str] | None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return None
    if any(member.endswith(".npy") for member in members):
        return None
    for part, words, to_do in _MEMBERS:
        if any(part in member for member in members):
            return words, to_do
    return "a ZIP archive without arrays", _UNPACK

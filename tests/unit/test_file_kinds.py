"""Files as people have them: which are read, and what is said of the others."""

import gzip
import pickle
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from test_data import arrays, write_idx

from l2study.data.formats import fingerprint, read
from l2study.data.sources import read_arrays
from tiny import refused, set_up


def said_of(path):
    return refused(set_up(dataset={"path": str(path)}), path.parent)


def csv(separator=","):
    return "\n".join(separator.join(row) for row in (["a", "b", "label"], ["1", "2", "x"]))


def zipped(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)


def a_matlab_file(path):
    from scipy.io import savemat

    savemat(path, {"x_train": np.zeros((3, 4))}, appendmat=False)


def a_parquet_file(path):
    import pandas as pd

    pd.DataFrame({"a": [1]}).to_parquet(path)


def a_packed_folder(path):
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__, "data.py")


KINDS = {
    "a table": (lambda path: path.write_text(csv()), "text", ".csv"),
    "a table with tabs": (lambda path: path.write_text(csv("\t")), "not separated", ".csv"),
    "a table of Excel in Europe": (lambda path: path.write_text(csv(";")), "not separated", ".csv"),
    "JSON": (lambda path: path.write_text('{"x_train": []}'), "JSON", "numpy.savez"),
    "a page that says that one must log in": (
        lambda path: path.write_text("<!DOCTYPE html><html>"), "page of a website", "numpy.savez",
    ),
    "MATLAB": (a_matlab_file, "MATLAB", "scipy.io.loadmat"),
    "HDF5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "HDF5", "numpy.savez"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps(arrays())), "pickle", "numpy.savez"),
    "Parquet": (a_parquet_file, "Parquet", ".parquet"),
    "one array": (lambda path: np.save(path.open("wb"), np.zeros(3)), ".npy", "numpy.savez"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"x")), "gzip", "unpack"),
    "a packed folder": (a_packed_folder, "gzip", "unpack"),
    "zipped images": (lambda path: zipped(path, cat__1_png=b"x"), "ZIP", "unpack"),
    "Excel": (lambda path: zipped(path, xl__workbook_xml=b"x"), "Excel", ".csv"),
    "PyTorch": (lambda path: zipped(path, archive__data_pkl=b"x"), "PyTorch", "numpy.savez"),
    "one IDX file": (lambda path: path.write_bytes(b"\0\0\x08\x01" + bytes(9)), "IDX", "folder"),
    "nothing": (lambda path: path.write_bytes(b""), "empty", "again"),
}  # fmt: skip
"""How a file is made, and what must be said of it: what it is, and what to do."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["data.npz", "data", "data.mat"])
def test_a_file_that_is_no_npz_file_is_called_what_it_is(tmp_path, kind, name):
    make, what, to_do = KINDS[kind]
    make(tmp_path / name)
    message = said_of(tmp_path / name)
    assert message.startswith(f"{tmp_path / name}: is ")
    assert what in message and to_do in message and "dataset.load" in message


def test_a_folder_of_other_files_is_told_what_is_in_it(tmp_path):
    (tmp_path / "train.csv").write_text(csv())
    message = said_of(tmp_path)
    assert "train.csv" in message and "single file" in message


# ---- IDX files


@pytest.fixture
def unpacked(tmp_path):
    """A folder as the archive of MNIST on Kaggle: each file twice, once in a folder of its name."""
    folder = write_idx(tmp_path / "kaggle", arrays(), packed=False)
    for file in list(folder.iterdir()):
        content = file.read_bytes()
        (folder / file.name.replace("-idx", ".idx")).write_bytes(content)
        file.unlink()
        file.mkdir()
        (file / file.name).write_bytes(content)
    return folder


@pytest.mark.parametrize("left", ["both", "in folders", "beside folders"])
def test_an_archive_with_folders_that_are_called_like_files_is_read(unpacked, left):
    for entry in list(unpacked.iterdir()):
        if left == "in folders" and entry.is_file():
            entry.unlink()
        if left == "beside folders" and entry.is_dir():
            (entry / entry.name).unlink()
    found = read(unpacked, {})
    for name, array in arrays().items():
        np.testing.assert_array_equal(found[name], array)
    assert len(fingerprint(unpacked)) == 4


def test_a_folder_without_a_file_in_it_is_absent(unpacked):
    for entry in list(unpacked.iterdir()):
        if "labels" in entry.name:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    assert "has no file for y_train" in said_of(unpacked)


# ---- arrays of other types


def with_labels(tmp_path, change):
    content = arrays()
    content |= {name: change(content[name]) for name in ("y_train", "y_test")}
    np.savez(tmp_path / "data.npz", **content)
    return tmp_path / "data.npz"


@pytest.mark.parametrize(
    ("change", "to_do"),
    [
        (lambda y: y.astype(float), "y.astype(int)"),
        (lambda y: np.array([b"a", b"b", b"c"])[y], "y.astype(str)"),
        (lambda y: np.array(["a", "b", "c"], object)[y], "y.astype(str)"),
        (lambda y: np.eye(3)[y], "numpy.argmax(y, axis=1)"),
        (lambda y: np.eye(3, dtype=int)[y], "numpy.argmax(y, axis=1)"),
        (lambda y: np.eye(3, dtype=bool)[y], "numpy.argmax(y, axis=1)"),
        (lambda y: y + 0.5, "booleans; numbers between are no classes"),
    ],
    ids=["floats", "bytes", "objects", "one-hot", "one-hot, whole", "one-hot, boolean", "between"],
)
def test_labels_that_are_refused_are_told_how_they_become_classes(tmp_path, change, to_do):
    message = said_of(with_labels(tmp_path, change))
    assert "y_train" in message and message.endswith(to_do)


@pytest.mark.parametrize(
    "change",
    [lambda y: y + 1, lambda y: 5 * y, lambda y: np.array(["a", "b", "c"])[y], lambda y: y > 0],
    ids=["from 1", "with gaps", "words", "booleans"],
)
def test_labels_that_are_read(tmp_path, change):
    found = read_arrays({"path": str(with_labels(tmp_path, change))})
    np.testing.assert_array_equal(found["y_train"], change(arrays()["y_train"]))

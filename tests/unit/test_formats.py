"""Data in each of the formats: what is read, and the one line on what cannot be."""

import gzip
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import test_data

from l2study.core.config import check
from l2study.data.preparation import check_against_data, prepare, training_count
from l2study.data.prepared import DataError, load
from l2study.data.rows import set_aside
from l2study.data.sources import source_fingerprint
from tiny import PROJECT, refused, set_up

RANDOM = np.random.default_rng(0)
TABLE = "a,kind,b\n" + "".join(f"{i},{'xyz'[i % 3]},{i / 8}\n" for i in range(30))
TEST = {"test_fraction": 0.2}


def setup_of(dataset, split="stratified"):
    validation = {"split": split, "fraction": 0.25}
    return set_up(dataset=dataset, validation=validation, training={"batch_size": 1})


def prepared(folder, dataset, split="stratified"):
    """Return the prepared data and their manifest, after the check that comes before a study."""
    setup = setup_of(dataset, split)
    check_against_data(setup)
    manifest = prepare(setup, folder / "out" / "data.json")
    known = load(folder / "out" / "data.json")
    assert training_count(setup.config) == known.counts["train"]
    return known, manifest


def rows_of(known):
    """Return the rows of prepared data in an order of their own, each with its label."""
    rows = zip(known.images.reshape(len(known.labels), -1).tolist(), known.labels, strict=True)
    return sorted((*row, label) for row, label in rows)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_parquet(path, text=TABLE):
    import pandas as pd

    pd.read_csv(io.StringIO(text)).to_parquet(path)
    return path


def png(pixels, kind="PNG"):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(file, kind)
    return file.getvalue()


def write_images(folder, classes=("cat", "dog"), number=10, shape=(4, 6, 3), kind="PNG"):
    """Write random images to a folder for each class, the last by name first."""
    for name in classes:
        for i in reversed(range(number)):
            pixels = RANDOM.integers(0, 256, shape).astype(np.uint8)
            write(folder / name / f"{i:02}.{kind.lower()}", png(pixels, kind))
    return folder


# ---- tables


@pytest.mark.parametrize("end", [".csv", ".csv.gz", ".parquet"])
def test_a_table_has_a_class_in_one_column_and_numbers_in_all_others(tmp_path, end):
    path = tmp_path / f"mine{end}"
    packed = gzip.compress(TABLE.encode()) if end == ".csv.gz" else TABLE
    write_parquet(path) if end == ".parquet" else write(path, packed)
    known, manifest = prepared(tmp_path, {"path": str(path), "label": "kind"} | TEST)
    assert rows_of(known) == [(i, i / 8, i % 3) for i in range(30)]
    assert (known.shape, known.scale, known.images.dtype) == ((2,), 1.0, np.float32)
    assert manifest["class_names"] == ["x", "y", "z"]
    assert known.counts == {"train": 18, "validation": 6, "test": 6}


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["2", "10", "-1"], ["-1", "2", "10"]),
        (["True", "False"], ["False", "True"]),
        (["b", "None", "a"], ["None", "a", "b"]),
        (["1", "0", "2"], None),
    ],
)
def test_classes_are_numbered_in_sorted_order_and_named_where_they_are_not_numbers_from_0(
    tmp_path, values, names
):
    rows = [f"{i},{values[i % len(values)]}\n" for i in range(30)]
    path = write(tmp_path / "mine.csv", "a,kind\n" + "".join(rows))
    known, manifest = prepared(tmp_path, {"path": str(path), "label": "kind"} | TEST)
    assert manifest.get("class_names") == names
    number = [(names or sorted(values)).index(value) for value in values]
    assert rows_of(known) == [(i, number[i % len(values)]) for i in range(30)]


# ---- what scikit-learn has


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "iris"])
def test_what_scikit_learn_has_needs_no_file(tmp_path, name):
    from sklearn import datasets

    original = getattr(datasets, f"load_{name}")()
    known, manifest = prepared(tmp_path, {"name": name} | TEST)
    names = manifest.get("class_names", list(range(known.classes)))
    named = [names.index(label) for label in original["target_names"].tolist()]
    inputs = original["data"].astype(np.float32).tolist()
    labels = zip(inputs, original["target"], strict=True)
    assert rows_of(known) == sorted((*row, named[label]) for row, label in labels)
    assert known.source == name and source_fingerprint({"name": name}) == []
    assert known.shape == ((8, 8) if name == "digits" else original["data"].shape[1:])


# ---- images


def test_images_are_read_in_the_order_of_their_names(tmp_path):
    folder = write_images(tmp_path / "mine")
    known, manifest = prepared(tmp_path, {"path": str(folder)} | TEST)
    assert (known.shape, known.scale, known.images.dtype) == ((4, 6, 3), 1 / 255, np.uint8)
    assert manifest["class_names"] == ["cat", "dog"]
    copy = tmp_path / "copy"
    for file in sorted(folder.rglob("*.*")):  # written in another order
        write(copy / file.relative_to(folder), file.read_bytes())
    write(copy / ".DS_Store", b"")
    again, _ = prepared(tmp_path / "2", {"path": str(copy)} | TEST)
    np.testing.assert_array_equal(again.images, known.images)


@pytest.mark.parametrize("validation", ["val", "validation"])
def test_images_may_come_in_parts(tmp_path, validation):
    from PIL import Image

    folder = tmp_path / "mine"
    for part, number in (("train", 8), (validation, 3), ("test", 5)):
        write_images(folder / part, ("3", "11"), number, (4, 6), "PNG")
    known, manifest = prepared(tmp_path, {"path": str(folder), "color": "grayscale"}, "given")
    assert known.counts == {"train": 16, "validation": 6, "test": 10}
    assert known.shape == (4, 6) and manifest["class_names"] == ["3", "11"]
    place = 0
    for part in ("train", validation, "test"):
        for name, label in (("11", 1), ("3", 0)):  # the order of files is that of words
            for file in sorted((folder / part / name).iterdir()):
                np.testing.assert_array_equal(known.images[place], np.asarray(Image.open(file)))
                assert known.labels[place] == label
                place += 1
    assert place == len(known.labels)


@pytest.mark.parametrize(("size", "shape"), [(2, (2, 2, 3)), ([3, 5], (3, 5, 3))])
def test_images_of_several_sizes_are_scaled_to_one(tmp_path, size, shape):
    folder = write_images(tmp_path / "mine", kind="JPEG")
    green = np.broadcast_to(np.array([0, 200, 0], np.uint8), (7, 3, 3))
    for name in ("cat", "dog"):
        write(folder / name / "99.PNG", png(green))
    known, _ = prepared(tmp_path, {"path": str(folder), "image_size": size} | TEST)
    assert known.shape == shape
    assert np.count_nonzero((known.images == [0, 200, 0]).all(axis=(1, 2, 3))) == 2


def test_the_fingerprint_of_images_is_of_their_names_and_contents(tmp_path):
    folder = write_images(tmp_path / "mine")
    found = [source_fingerprint({"path": str(folder)})]
    (folder / "cat" / "00.png").rename(folder / "cat" / "0.png")
    found.append(source_fingerprint({"path": str(folder)}))
    write(folder / "cat" / "0.png", png(np.zeros((4, 6, 3), np.uint8)))
    found.append(source_fingerprint({"path": str(folder)}))
    assert [len(sums) for sums in found] == [1, 1, 1]
    assert len({sums[0] for sums in found}) == 3


# ---- the parts of .npz files


def arrays(**parts):
    """Return arrays by the names of Keras, with so many rows in each part."""
    found = {}
    for part, rows in parts.items():
        found[f"x_{part}"] = RANDOM.integers(0, 256, (rows, 2, 2)).astype(np.uint8)
        found[f"y_{part}"] = (np.arange(rows) % 2)[:, None]
    return found


def medmnist(content):
    kinds = {"x": "images", "y": "labels"}
    return {f"{name[2:]}_{kinds[name[0]]}": array for name, array in content.items()}


def save(path, content):
    np.savez(path, **content)
    return str(path)


def test_the_names_of_medmnist_are_known(tmp_path):
    content = arrays(train=20, val=8, test=6)
    known, manifest = prepared(
        tmp_path, {"path": save(tmp_path / "m.npz", medmnist(content))}, "given"
    )
    for part, rows in (("train", known.train), ("val", known.validation), ("test", known.test)):
        np.testing.assert_array_equal(known.images[rows], content[f"x_{part}"])
        np.testing.assert_array_equal(known.labels[rows], content[f"y_{part}"][:, 0])
    assert "validation_left_out" not in manifest
    again, _ = prepared(tmp_path, {"path": save(tmp_path / "k.npz", content)}, "given")
    assert again.sha256 == known.sha256


@pytest.mark.parametrize("split", ["tail", "stratified"])
def test_a_validation_part_that_is_not_used_is_left_out_and_the_manifest_says_so(tmp_path, split):
    content = arrays(train=20, val=8, test=6)
    known, manifest = prepared(tmp_path, {"path": save(tmp_path / "a.npz", content)}, split)
    without = {name: array for name, array in content.items() if "val" not in name}
    plain, plainly = prepared(tmp_path, {"path": save(tmp_path / "b.npz", without)}, split)
    assert manifest["validation_left_out"] == 8 and "validation_left_out" not in plainly
    assert known.sha256 == plain.sha256


def test_a_test_part_is_drawn_in_proportion_and_is_always_the_same(tmp_path):
    content = arrays(train=200) | {"y_train": np.repeat([0, 1], [150, 50])}
    dataset = {"path": save(tmp_path / "a.npz", content)} | TEST
    known, _ = prepared(tmp_path, dataset)
    assert known.counts == {"train": 120, "validation": 40, "test": 40}
    assert np.bincount(known.labels[known.test]).tolist() == [30, 10]
    test = known.images[known.test].tolist()
    kept = [row for row in content["x_train"].tolist() if row in test]
    assert kept == test  # in the order of the file
    assert test != content["x_train"][-40:].tolist()
    # as it was when there first were test parts
    assert set_aside(np.arange(40) % 2, 0.2)[1].tolist() == [9, 11, 14, 17, 24, 27, 30, 34]
    for other in ({"train_size": 60}, {"label_noise": 0.3}, {"scale": "none"}):
        again, _ = prepared(tmp_path, dataset | other)
        np.testing.assert_array_equal(again.images[again.test], known.images[known.test])


def test_a_validation_part_stays_whole_where_a_test_part_is_set_aside(tmp_path):
    content = arrays(train=40, val=8)
    dataset = {"path": save(tmp_path / "a.npz", content)} | TEST
    known, _ = prepared(tmp_path, dataset, "given")
    assert known.counts == {"train": 32, "validation": 8, "test": 8}
    np.testing.assert_array_equal(known.images[known.validation], content["x_val"])
    assert rows_of(known) == sorted(
        (*image.ravel().tolist(), int(label))
        for part in ("train", "val")
        for image, (label,) in zip(content[f"x_{part}"], content[f"y_{part}"], strict=True)
    )


# ---- a function

FUNCTION = """
import numpy as np
import words

def load():
    x = np.arange(40).reshape(20, 2)
    return {"x_train": x, "y_train": words.of(20), "x_val": x[:6], "y_val": words.of(6)}

def keras():
    (x, y), test = (np.ones((9, 2, 2), np.uint8), [0, 1, 2] * 3), (np.ones((3, 2, 2)), [0, 1, 2])
    return (x, y), (test[0].astype(np.uint8), test[1])

def nothing():
    return None

def half():
    return {"x_train": np.ones((9, 2)), "y_train": [0, 1, 2] * 3, "x_test": np.ones((9, 2))}

def other():
    return half() | {"features": 1}

def fails():
    raise KeyError("year")
"""


@pytest.fixture
def function(tmp_path, monkeypatch):
    """The file of a function, which imports another one."""
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path / "words.py", "def of(n):\n    return [['no', 'yes'][i % 2] for i in range(n)]\n"
    )
    return write(tmp_path / "mine.py", FUNCTION)


def test_a_function_returns_data_and_is_tracked_by_its_files(tmp_path, function):
    dataset = {"load": "mine.py:load"} | TEST
    setup = setup_of(dataset, "given")
    check_against_data(setup)
    manifest = prepare(setup, tmp_path / "out" / "data.json")
    known = load(tmp_path / "out" / "data.json")
    assert known.counts == {"train": 16, "validation": 6, "test": 4}
    assert (manifest["class_names"], manifest["source"]) == (["no", "yes"], "mine.py:load")
    assert known.images[known.validation].tolist() == np.arange(12).reshape(6, 2).tolist()
    first = source_fingerprint(dataset)
    write(tmp_path / "words.py", "def of(n):\n    return ['a', 'b'] * (n // 2)\n")
    assert source_fingerprint(dataset) != first


def test_files_that_a_function_reads_are_part_of_the_data(tmp_path, function):
    (tmp_path / "scans").mkdir()
    for name in ("scans/a.npy", "scans/b.npy", "key.csv"):
        write(tmp_path / name, name)
    dataset = {"load": "mine.py:load", "files": ["key.csv", "scans"]} | TEST
    first = source_fingerprint(dataset)
    write(tmp_path / "scans" / "b.npy", "another")
    second = source_fingerprint(dataset)
    write(tmp_path / "key.csv", "another")
    assert len({*map(tuple, [first, second, source_fingerprint(dataset)])}) == 3
    (tmp_path / "key.csv").unlink()
    with pytest.raises(DataError, match=r"^dataset\.files: key\.csv: there is no such file$"):
        check_against_data(setup_of(dataset, "given"))


def test_a_function_may_return_what_keras_does(tmp_path, function):
    prepare(setup_of({"load": "mine.py:keras"}), tmp_path / "data.json")
    known = load(tmp_path / "data.json")
    assert known.counts["test"] == 3 and known.shape == (2, 2) and known.classes == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mine.py:nothing", "mine.py:nothing: returns NoneType; allowed: a dict with the arrays"),
        ("mine.py:half", "mine.py:half: returns no y_test; allowed: x and y of a part, or neither"),
        ("mine.py:other", "mine.py:other: returns features; allowed: x_train, y_train, x_val"),
        ("mine.py:fails", "dataset.load: mine.py:fails fails in line 23: KeyError: 'year'"),
        ("mine.py:lod", "dataset.load: mine.py: has no function lod; it has: load, keras, nothing"),
        ("mein.py:load", "dataset.load: mein.py: there is no such file"),
        ("mine.py:load", "dataset.test_fraction: missing, and mine.py:load has no test part"),
    ],
)
def test_a_function_that_cannot_be_used_is_refused(tmp_path, function, name, words):
    runs = name not in ("mein.py:load", "mine.py:lod")
    assert refused(setup_of({"load": name}), tmp_path, late=runs).startswith(words)


# ---- scale


def test_numbers_are_divided_by_255_only_where_that_is_said_or_they_are_uint8(tmp_path):
    pixels = arrays(train=20, test=6)
    floats = {n: a.astype(float) if n[0] == "x" else a for n, a in pixels.items()}
    found = {}
    for name, content in (("uint8", pixels), ("float", floats)):
        for scale in (None, "pixels", "none"):
            dataset = {"path": save(tmp_path / "a.npz", content)}
            known, _ = prepared(tmp_path, dataset | ({"scale": scale} if scale else {}))
            found[name, scale] = known.scale
    expected = {None: 1 / 255, "pixels": 1 / 255, "none": 1.0}
    assert {scale: found["uint8", scale] for scale in expected} == expected
    assert {scale: found["float", scale] for scale in expected} == expected | {None: 1.0}


@pytest.mark.parametrize("kind", [np.uint8, np.float64])
@pytest.mark.parametrize("variation", [None, ["split", "sample"]])
def test_standardizing_is_by_the_training_rows_of_a_run(tmp_path, kind, variation):
    from sklearn.preprocessing import StandardScaler

    content = {
        f"x_{part}": (RANDOM.integers(0, 99, (rows, 2, 3)) + [0, 50, 100]).astype(kind)
        for part, rows in (("train", 300), ("test", 40))
    }
    content["x_train"][:, 0, 0] = 0.1 if kind is np.float64 else 7  # never varies
    content |= {"y_train": np.arange(300) % 2, "y_test": np.arange(40) % 2}
    path = save(tmp_path / "a.npz", content)
    found = {}
    for scale in ("none", "standardize"):
        seeds = {"variation": variation} if variation else {}
        config = {"dataset": {"path": path, "scale": scale, "train_size": 150}, **seeds}
        config["validation"] = {"split": "stratified", "fraction": 0.2}
        prepare(set_up(**config), tmp_path / "data.json")
        sources = [dict.fromkeys(variation or [], seed) for seed in (0, 1)]
        found[scale] = [load(tmp_path / "data.json", chosen) for chosen in sources]
    for raw, known in zip(found["none"], found["standardize"], strict=True):
        flat = raw.images.reshape(len(raw.labels), -1)
        scaler = StandardScaler().fit(flat[raw.train].astype(np.float64))
        given = known.images.reshape(len(raw.labels), -1)
        np.testing.assert_allclose(given, scaler.transform(flat), rtol=1e-5, atol=1e-5)
        assert (given[raw.train][:, 0] == 0).all()
        assert (known.scale, known.images.dtype) == (1.0, np.float32)
        assert known.sha256 != raw.sha256
    first, second = found["standardize"]
    assert np.array_equal(first.images, second.images) == (variation is None)


# ---- faults


def row_5(cells):
    """Return the table with other cells in its row 5, of which the header is row 1."""
    lines = TABLE.splitlines(keepends=True)
    return "".join([*lines[:4], f"{cells}\n", *lines[5:]])


def table(text, name="mine.csv", **keys):
    keys = {"label": "kind"} | TEST | keys
    return lambda folder: {"path": str(write(folder / name, text))} | keys


def parquet(folder):
    path = write_parquet(folder / "mine.parquet", "a,b\n1,0.5\n2,0.0\n")
    return {"path": str(path), "label": "b"} | TEST


def images(change, **keys):
    def fault(folder):
        change(write_images(folder / "mine"))
        return {"path": str(folder / "mine")} | TEST | keys

    return fault


def image(content, **keys):
    return images(lambda folder: write(folder / "cat" / "00.png", content), **keys)


def parts(change=lambda content: content, keys=(), train=20, **rows):
    def fault(folder):
        return {"path": save(folder / "a.npz", change(arrays(train=train, **rows)))} | dict(keys)

    return fault


def groups(**changes):
    return parts(lambda content: content | changes, train=40, test=12)


def npz(**changes):
    """Return a fault: these functions change arrays of a valid .npz file."""

    def fault(folder):
        found = test_data.arrays()
        changed = {name: change(found[name]) for name, change in changes.items()}
        return {"path": save(folder / "mine.npz", found | changed)}

    return fault


def cut(path, length):
    path.write_bytes(path.read_bytes()[:length])


def cut_npz(folder):
    found = npz()(folder)
    cut(folder / "mine.npz", 300)
    return found


def idx(name, change):
    def fault(folder):
        path = test_data.write_idx(folder / "mine", test_data.arrays(), packed=False) / name
        path.write_bytes(change(path.read_bytes())) if change else path.unlink()
        return {"path": str(path.parent)}

    return fault


def not_finite(array):
    array = array.astype(np.float64)
    array[5, 0, 0] = np.nan
    return array


ONE_Y = "a,kind\n" + "1,x\n" * 30 + "2,y\n"
TABLES = {
    "": "mine.csv: cannot be read as CSV: Empty CSV file",
    "a,kind\n": "mine.csv: has no row",
    "kind\nx\ny\n": "mine.csv: has no column but kind",
    row_5("1,x"): "Row #5: Expected 3 columns, got 2: 1,x",
    row_5("none,x,2"): "no numbers in column a ('none' in row 5 (the header is row 1)); allowed:",
    "a,kind,on\n1,x,2020-01-02\n": "no numbers in column on ('2020-01-02' in row 2 (the header",
    row_5(",x,2"): "column a in row 5 (the header is row 1) has no value",
    row_5("1,x,nan"): "column b in row 5 (the header is row 1) has no value",
    row_5("1,,2"): "column kind in row 5 (the header is row 1) has no value",
    "a,kind\n,x\n,y\n": "column a in row 2 (the header is row 1) has no value",
    row_5("1,x,-inf"): "column b in row 5 (the header is row 1) has the value -inf",
    row_5("1,x,1e39"): "has the value 1e+39; allowed: finite 32-bit",
    row_5("16777217,x,2"): "has the value 16777217; allowed: whole numbers",
    "a,kind\n1,x\n2,x\n": "mine.csv: all labels in y_train are x; allowed: two",
    "a,a,kind\n1,2,x\n": "2 columns have the name a; allowed: each",
    ",a,kind\n0,1,x\n": "column 1 has no name, as the row numbers that pandas",
    "Unnamed: 0,a,kind\n0,1,x\n": "column 1 has the name Unnamed: 0, as the row numbers that",
    "a;kind\n1;x\n": "mine.csv: has semicolons between the columns; allowed: commas",
    TABLE.encode("utf-16"): "mine.csv: is in UTF-16; allowed: UTF-8",
    ONE_Y: "dataset.test_fraction: 0.2 takes 7 of 31 rows, too few for one of class y, which has 1",
}
"""Tables, and what is said of each."""

GROUPED = "a,who,kind\n1,{},x\n2,{},y\n"
IMAGES, LABELS = "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"

EARLY = [(table(text), words) for text, words in TABLES.items()] + [
    (table(TABLE, label=None), "dataset.label: missing; allowed: the column of "),
    (table(TABLE, label="class"), "dataset.label: there is no column class; allowed: the column"),
    (table(TABLE, "mine.parquet"), "mine.parquet: cannot be read as Parquet: "),
    (table(gzip.compress(b"a\tkind\n1\tx\n"), "mine.csv.gz"), "has tabs between the columns; "),
    (table(gzip.compress(TABLE.encode())[:60], "mine.csv.gz"), "Truncated compressed stream"),
    (parquet, "column b has type double; allowed: whole numbers, or"),
    (table(TABLE, group="whom"), "dataset.group: whom: there is no such column; allowed: a column"),
    (table(TABLE, group="kind"), "dataset.group: kind: is dataset.label too; allowed: a column"),
    (table("who,kind\np,x\nq,y\n", group="who"), "mine.csv: has no column but kind and who"),
    (
        table(GROUPED.format("p", ""), group="who"),
        "column who in row 3 (the header is row 1) has no value",
    ),
    (table(GROUPED.format(0.5, 1), group="who"), "column who has type double; allowed: whole"),
    (
        images(lambda folder: write(folder / "cat" / "notes.txt", "")),
        "notes.txt: is no image; allowed in the folder of a class: files whose names end in .png,",
    ),
    (image("PNG", image_size=3), "00.png: cannot be read as PNG or JPEG: cannot identify image"),
    (images(lambda folder: (folder / "eel").mkdir()), "eel: has no image; allowed:"),
    (
        images(lambda folder: write(folder / "a.png", "")),
        "a.png: is no folder; allowed here: a fol",
    ),
    (image(png(np.zeros((9, 6), np.uint8))), "has 4 x 6 pixels and "),
    (
        images(lambda folder: [(folder / name).mkdir() for name in ("train", "others")]),
        "cat: is beside ",
    ),
    (lambda folder: {"path": str(folder / "absent.npz")}, "absent.npz: there is no such file"),
    (cut_npz, "mine.npz: not a complete .npz file"),
    (
        parts(lambda c: {n: a for n, a in c.items() if n != "x_train"}, test=9),
        "a.npz: has no array x_train; it holds y_train",
    ),
    (
        parts(lambda c: {n: a for n, a in medmnist(c).items() if n != "val_labels"}, val=5),
        "a.npz: has no array val_labels; it holds train_images, ",
    ),
    (npz(x_train=np.ravel), "x_train has shape (360,)"),
    (npz(x_test=lambda a: a[:0], y_test=lambda a: a[:0]), "y_test has shape (0,)"),
    (npz(x_train=lambda a: a + 1j), "x_train has type complex128"),
    (npz(x_test=lambda a: a / 255), "x_test has type float64"),
    (npz(x_test=lambda a: a[:, :2]), "a row of x_test has shape (2, 3)"),
    (
        parts(lambda c: c | {"x_val": c["x_val"][1:]}, val=5, test=4),
        "x_val has shape (4, 2, 2) and y_val (5, 1); allowed: as many rows in both",
    ),
    (
        parts(lambda c: c | {"y_test": c["y_test"] + 1}, test=9),
        "y_test has the label 2, in row 1 counted from 0; allowed: the labels of y_train, 0, 1",
    ),
    (parts(medmnist, val=9), "dataset.test_fraction: missing, and "),
    (parts(keys=TEST, test=9), "a.npz has a test part; allowed: none, to use that"),
    (parts(keys={"image_size": 8}, test=9), "a.npz is an .npz file; allowed with a folder of"),
    (
        lambda folder: {"name": "iris", "label": "species"} | TEST,
        "dataset.label: is given, but iris is no file; allowed with a table",
    ),
    (
        groups(groups_test=np.zeros(11, int)),
        "groups_test has shape (11,), but y_test has 12 rows; allowed: (rows,)",
    ),
    (groups(groups_train=np.array([1.0, np.nan] * 20)), "groups_train has no value in row 1, cou"),
    (groups(groups_test=np.array(["a"] * 9 + [" "] * 3)), "groups_test has no value in row 9"),
    (groups(groups_test=np.full(12, 0.5)), "groups_test has type float64; allowed: whole numbers"),
    (groups(groups_val=np.zeros(12, int)), "has groups_val, but no val part; allowed: groups of"),
    (groups(groups_test=np.array([None] * 12)), "groups_test cannot be read: Object arrays cannot"),
    (idx(IMAGES, lambda raw: b"\1" + raw[1:]), f"{IMAGES}: x_train cannot be read"),
    (idx(IMAGES, lambda raw: raw[:-1]), "359 bytes of elements"),
    (idx(LABELS, None), f"no file for y_test; {LABELS}"),
]
"""Data, and what is said of them before anything starts, and where they are prepared."""

LATE = [
    (
        images(lambda folder: cut(folder / "cat" / "00.png", -60)),
        "cat/00.png: cannot be read as PNG or JPEG: ",
    ),
    (
        image(png(np.zeros((4, 6), np.uint16))),
        "00.png: has more than 8 bits for a pixel's colour (mode I;16); allowed: 8 bits",
    ),
    (npz(x_train=not_finite, x_test=not_finite), "x_train has a value that is not finite"),
    (
        npz(x_train=lambda a: a + np.int64(2**24), x_test=lambda a: a.astype(int)),
        "x_train has a whole number beyond 16777216, not exact as a 32-bit float, in row 0",
    ),
]
"""What is found where data are prepared: of images only the beginning is read before."""


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("fault", "words"), EARLY + LATE, ids=[words for _, words in EARLY + LATE])
def test_one_line_names_the_place_and_what_is_allowed_and_nothing_is_written(
    tmp_path, fault, words
):
    setup = setup_of(fault(tmp_path))
    assert words in refused(setup, tmp_path, late=(fault, words) in LATE)


@pytest.mark.parametrize("name", ["mine", "cifar10"])
def test_a_validation_part_that_is_not_there_cannot_be_given(tmp_path, name):
    mine = {"path": save(tmp_path / "a.npz", arrays(train=20, test=6))}
    dataset = mine if name == "mine" else {"name": name}
    with pytest.raises(DataError, match=r"^validation\.split: given, but .* allowed: tail, strat"):
        check_against_data(setup_of(dataset, "given"))


def test_arrays_are_prepared_without_what_other_formats_need(tmp_path):
    dataset = {"path": save(tmp_path / "a.npz", arrays(train=20, test=6))}
    script = (
        "import sys; from l2study.core.config import check; from l2study.core.design import Setup;"
        "from l2study.data.preparation import check_against_data, prepare;"
        f"setup = Setup.of(check({{'dataset': {dataset}, 'training': {{'batch_size': 1}}}}));"
        f"check_against_data(setup); prepare(setup, {str(tmp_path / 'data.json')!r});"
        "print({'PIL', 'pandas', 'pyarrow', 'sklearn', 'scipy', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(PROJECT / "scripts")},
    )
    assert done.stdout == "set()\n", done.stderr


def test_a_configuration_from_before_these_keys_is_as_it_was():
    dataset = {"path": "a.npz", "train_size": 9, "label_noise": 0.1}
    assert json.dumps(check({"dataset": dataset})["dataset"]) == json.dumps(dataset)

import gzip
import hashlib
import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import types

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from l2study.core.config import ConfigError, check
from l2study.data import sources
from l2study.data.formats import read_idx
from l2study.data.parts import Parts
from l2study.data.preparation import check_against_data, checked_rows, prepare, training_count
from l2study.data.prepared import DataError, load
from l2study.data.rows import chosen_rows, noisy_labels, split_rows, training_rows
from l2study.data.sources import source_fingerprint
from tiny import PROJECT, refused, set_up

# of the arrays of any copy of MNIST, as published with the embedded one
MNIST_TEST_IMAGES = "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161"
MNIST_TEST_LABELS = "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5"

quick = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def arrays(train=30, test=9, shape=(4, 3), classes=3, seed=0):
    """Return a small valid data set: random uint8 images, labels 0, 1, 2, 0, 1, 2 and so on."""
    rng = np.random.default_rng(seed)
    return {
        "x_train": rng.integers(0, 256, (train, *shape)).astype(np.uint8),
        "y_train": (np.arange(train) % classes).astype(np.uint8),
        "x_test": rng.integers(0, 256, (test, *shape)).astype(np.uint8),
        "y_test": (np.arange(test) % classes).astype(np.uint8),
    }


def write_npz(path, content):
    np.savez_compressed(path, **content)
    return path


def write_idx(folder, content, packed=True):
    """Write arrays of uint8 as IDX files, by the description of the format."""
    folder.mkdir(exist_ok=True)
    names = {"x_train": "train-images", "y_train": "train-labels"}
    names |= {"x_test": "t10k-images", "y_test": "t10k-labels"}
    for name, start in names.items():
        array = content[name]
        header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        raw = header + array.tobytes()
        path = folder / f"{start}-idx{array.ndim}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(raw) if packed else raw)
    return folder


def setup_of(path, **changes):
    dataset = {"path": str(path)} | changes.pop("dataset", {})
    training = {"batch_size": 1} | changes.pop("training", {})
    return set_up(dataset=dataset, training=training, **changes)


def prepared(path, output, **changes):
    prepare(setup_of(path, **changes), output)
    return load(output)


# ---- what is prepared


def test_the_rows_are_training_validation_test_in_file_order(tmp_path):
    content = arrays()
    path = write_npz(tmp_path / "mine.npz", content)
    known = prepared(path, tmp_path / "out" / "data.json", validation={"fraction": 0.2})
    assert known.counts == {"train": 24, "validation": 6, "test": 9}
    assert (known.classes, known.scale, known.shape) == (3, 1 / 255, (4, 3))
    assert known.source == "mine.npz"
    assert known.images.dtype == np.uint8
    assert isinstance(known.images, np.memmap)
    assert known.labels.dtype == np.int32
    for part, name, rows in [
        (known.train, "train", slice(0, 24)),
        (known.validation, "train", slice(24, 30)),
        (known.test, "test", slice(0, 9)),
    ]:
        np.testing.assert_array_equal(known.images[part], content[f"x_{name}"][rows])
        np.testing.assert_array_equal(known.labels[part], content[f"y_{name}"][rows])


def test_the_checksum_is_that_of_the_content_whatever_its_container(tmp_path):
    content = arrays()
    column = content | {"y_train": content["y_train"].astype(np.int64)[:, None]}
    fortran = {name: np.asfortranarray(array) for name, array in content.items()}
    sources = [
        write_npz(tmp_path / "a.npz", content),
        write_npz(tmp_path / "b.npz", column),
        write_npz(tmp_path / "c.npz", fortran),
        write_idx(tmp_path / "packed", content),
        write_idx(tmp_path / "plain", content, packed=False),
    ]
    found = {
        (prepared(path, tmp_path / "data.json").sha256, (tmp_path / "data.images.npy").read_bytes())
        for path in sources
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    ("shape", "kind"), [((5,), np.float16), ((3, 2, 3), ">f8"), ((7,), np.int8), ((7,), bool)]
)
def test_numbers_of_any_shape_and_type_but_uint8_stay_as_they_are(tmp_path, shape, kind):
    content = arrays(shape=shape)
    for name in ("x_train", "x_test"):
        content[name] = (content[name] / 16 - 3).astype(kind)
    known = prepared(write_npz(tmp_path / "mine.npz", content), tmp_path / "data.json")
    assert (known.scale, known.shape, known.images.dtype) == (1.0, shape, np.float32)
    np.testing.assert_array_equal(known.images[known.train], content["x_train"][:27])


# ---- the embedded data


def test_mnist_is_embedded_unchanged(tmp_path):
    prepare(set_up(), tmp_path / "data.json")
    known = load(tmp_path / "data.json")
    assert known.counts == {"train": 54000, "validation": 6000, "test": 10000}
    assert (known.source, known.classes, known.shape) == ("mnist", 10, (28, 28))
    images = hashlib.sha256(known.images[known.test].tobytes()).hexdigest()
    labels = hashlib.sha256(known.labels[known.test].astype(np.uint8).tobytes()).hexdigest()
    assert (images, labels) == (MNIST_TEST_IMAGES, MNIST_TEST_LABELS)
    # the sizes of the classes, from the MNIST literature
    counts = np.bincount(known.labels[: known.validation.stop])
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    with np.load(PROJECT / "resources" / "mnist.npz") as original:
        tail = original["y_train"][-6000:]
    np.testing.assert_array_equal(known.labels[known.validation], tail)


def embedded(folder, content, monkeypatch):
    """Embed `content` as data in a folder, with its true checksums, and return these."""
    monkeypatch.setattr(sources, "RESOURCES", folder)
    path = write_npz(folder / "mnist.npz", content)
    checksums = {"mnist.npz": hashlib.sha256(path.read_bytes()).hexdigest()}
    (folder / "checksums.json").write_text(json.dumps(checksums))
    return checksums


def test_a_file_that_is_not_the_original_is_refused(tmp_path, monkeypatch):
    config = set_up(training={"batch_size": 5})
    checksums = embedded(tmp_path, arrays(), monkeypatch)
    prepare(config, tmp_path / "data.json")
    check_against_data(config)
    write_npz(tmp_path / "mnist.npz", arrays(seed=1))
    message = refused(config, tmp_path)
    assert "mnist.npz: its SHA-256" in message and checksums["mnist.npz"] not in message
    for text in ("[]", ""):
        (tmp_path / "checksums.json").write_text(text)
        assert "checksums.json: not a list of checksums" in refused(config, tmp_path)


# ---- rows


@given(st.integers(2, 2000), st.floats(0.001, 0.999))
@example(60000, 0.1)
@example(60000, 1 / 3)
@example(100, 0.29)
@quick
@pytest.mark.slow  # imports Keras
def test_the_tail_is_where_keras_cuts(rows, fraction):
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    try:
        expected = train_validation_split(np.arange(rows), fraction)
    except ValueError:
        assert training_rows(rows, fraction) in (0, rows)  # which is refused
        return
    for part, keras_part in zip(
        split_rows(np.zeros(rows, int), "tail", fraction), expected, strict=True
    ):
        np.testing.assert_array_equal(part, keras_part[:])


LABELS = st.lists(st.integers(0, 5), min_size=30, max_size=300).map(np.array)


@given(LABELS, st.floats(0.1, 0.9))
@quick
def test_a_stratified_split_has_every_class_in_proportion(labels, fraction):
    try:
        config = {"dataset": {}, "validation": {"split": "stratified", "fraction": fraction}}
        train, held_out = checked_rows(Parts({"y_train": labels}, 0, 0, None), config)
    except ConfigError as error:
        assert np.bincount(labels)[np.unique(labels)].min() < 1 / min(fraction, 1 - fraction) + 1
        assert "too few for one of class" in str(error)
        return
    assert len(train) == len(split_rows(0 * labels, "tail", fraction)[0])
    assert sorted([*train, *held_out]) == list(range(len(labels)))
    for label in np.unique(labels):
        members = np.sum(labels == label)
        assert abs(np.sum(labels[train] == label) - members * len(train) / len(labels)) < 1
        assert 0 < np.sum(labels[held_out] == label) < members


def noisy(labels, share, **dataset):
    """Return the training rows of a stratified split, and their labels with noise."""
    noise = {"label_noise": share} if share is not None else {}
    config = check({"dataset": dataset | noise, "validation": {"split": "stratified"}})
    train, _ = chosen_rows(labels, config)
    return train, noisy_labels(labels, train, config)


@pytest.mark.parametrize("share", [0.001, 1 / 3, 0.999])
@pytest.mark.parametrize("dataset", [{}, {"train_size": 777}])
def test_label_noise_replaces_exactly_its_share_by_another_class(share, dataset):
    labels = np.array([1, 2, 2, 5] * 500)
    train, (learned, count) = noisy(labels, share, **dataset)
    assert np.count_nonzero(learned != labels[train]) == count == round(share * len(train))
    assert set(learned) <= {1, 2, 5}


def test_label_noise_is_uniform_over_rows_and_over_the_other_classes():
    labels = np.arange(40000) % 4
    train, (learned, count) = noisy(labels, 0.5)
    pairs = np.zeros((4, 4))
    np.add.at(pairs, (labels[train], learned), 1)
    expected = len(train) / 4 * (0.5 * np.eye(4) + 0.5 / 3 * (1 - np.eye(4)))
    assert np.abs((pairs - expected) / np.sqrt(expected)).max() < 4
    replaced = train[learned != labels[train]]
    spread = np.std(train) / np.sqrt(count)
    assert replaced.mean() == pytest.approx(train.mean(), abs=4 * spread)


def test_more_label_noise_keeps_what_less_has_replaced():
    labels = np.arange(1000) % 5
    train, (little, count) = noisy(labels, 0.2)
    _, (much, _) = noisy(labels, 0.4)
    replaced = little != labels[train]
    np.testing.assert_array_equal(much[replaced], little[replaced])
    assert np.count_nonzero(much != labels[train]) == 2 * count


@pytest.mark.parametrize(
    ("labels", "config", "words"),
    [
        ([0, 1] * 5, {"validation": {"fraction": 1e-17}}, "validation.fraction: 1e-17 of 10 rows"),
        ([0, 1] * 5, {"validation": {"fraction": 0.99}}, "leaves none for training"),
        ([0, 1] * 5, {"dataset": {"train_size": 10}}, "dataset.train_size: 10 is more than the 9"),
        ([0] * 99 + [1], {"validation": {"split": "stratified"}}, "too few for one of class 1"),
        ([0] * 90 + [1] * 10, {}, "validation.split: tail leaves no training row of class 1"),
        ([0] * 80 + [1] * 20, {}, "validation.split: tail takes rows of class 1 alone"),
        (
            [3] + [5] * 98 + [3],
            {"dataset": {"train_size": 20}, "validation": {"fraction": 0.5}},
            "dataset.train_size: 20 takes 20 of 50 rows, too few for one of class 3",
        ),
    ],
)
def test_rows_that_cannot_be_chosen_are_refused(labels, config, words):
    with pytest.raises(ConfigError) as caught:
        checked_rows(Parts({"y_train": np.array(labels)}, 0, 0, None), check(config))
    (message,) = str(caught.value).splitlines()
    assert words in message and "allowed: " in message


# ---- IDX


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\0\0\x08\x01\0\0\0\x03\x00\x01\xff", np.array([0, 1, 255], "u1")),
        (b"\0\0\x09\x01\0\0\0\x02\x80\x7f", np.array([-128, 127], "i1")),
        (b"\0\0\x0b\x01\0\0\0\x02\x01\x00\xff\xfe", np.array([256, -2], "i2")),
        (b"\0\0\x0c\x01\0\0\0\x01\x00\x01\x00\x02", np.array([65538], "i4")),
        (b"\0\0\x0d\x01\0\0\0\x01\x3f\x80\0\0", np.array([1], "f4")),
        (b"\0\0\x0e\x01\0\0\0\x01\x40\0\0\0\0\0\0\0", np.array([2], "f8")),
        (b"\0\0\x08\x02\0\0\0\x02\0\0\0\x02\1\2\3\4", np.array([[1, 2], [3, 4]], "u1")),
        (b"\0\0\x08\x03\0\0\0\x01\0\0\0\x02\0\0\0\x01\7\t", np.array([[[7], [9]]], "u1")),
    ],
)
def test_idx_is_read_as_the_format_says(tmp_path, raw, expected, packed):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    found = read_idx(path)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["train-images.idx3-ubyte", "train-images-idx3-ubyte.gz"])
def test_the_usual_names_of_idx_files_are_found_and_unpacked_ones_come_first(tmp_path, name):
    content = arrays()
    folder = write_idx(tmp_path / "mine", content, packed=False)
    (folder / "train-images-idx3-ubyte").rename(folder / name)
    write_idx(tmp_path / "other", arrays(seed=1))
    shutil.copy(tmp_path / "other" / "t10k-images-idx3-ubyte.gz", folder)
    (folder / "train-images.png").write_bytes(b"something else")
    known = prepared(folder, tmp_path / "data.json")
    for part, rows in (("train", slice(0, 27)), ("test", slice(0, 9))):
        of_part = known.images[getattr(known, part)]
        np.testing.assert_array_equal(of_part, content[f"x_{part}"][rows])


# ---- before anything starts


def test_of_a_download_only_the_number_of_images_is_known():
    assert training_count(check({"dataset": {"name": "cifar10"}})) == 45000
    check_against_data(set_up(dataset={"name": "cifar10"}, training={"batch_size": 10**6}))
    assert training_count(check({})) == 54000


def test_a_study_that_does_not_fit_its_data_is_refused(tmp_path):
    path = write_npz(tmp_path / "mine.npz", arrays())
    check_against_data(setup_of(path, training={"batch_size": 27}))
    for change, words in (
        ({"training": {"batch_size": 28}}, "training.batch_size: 28 is more than the 27 training"),
        ({"dataset": {"train_size": 28}}, "dataset.train_size: 28 is more than the 27 rows"),
    ):
        with pytest.raises(ConfigError, match=f"^{words}"):
            check_against_data(setup_of(path, **change))


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_npz(tmp_path / "mine.npz", arrays())
    assert prepared("~/mine.npz", tmp_path / "data.json").counts["train"] == 27
    assert source_fingerprint({"path": "~/mine.npz"})
    with pytest.raises(DataError, match="no such file"):
        check_against_data(setup_of("~nobody-of-this-name/mine.npz"))


@given(st.integers(0, 2000), st.binary(min_size=1, max_size=20), st.booleans(), st.booleans())
@example(1242, b"\0\0\0\0\0\0\n", True, False)  # a line break in the name of an array
@quick
def test_damage_anywhere_is_a_data_error_or_harmless(tmp_path, place, damage, npz, cut_there):
    if npz:
        path = write_npz(tmp_path / "fuzz.npz", arrays())
        file = path
    else:
        path = write_idx(tmp_path / "fuzz", arrays())
        file = path / "train-images-idx3-ubyte.gz"
    raw = file.read_bytes()
    place %= len(raw)
    file.write_bytes(raw[:place] + damage + (b"" if cut_there else raw[place + len(damage) :]))
    for action in (lambda c: prepare(c, tmp_path / "data.json"), check_against_data):
        try:
            action(setup_of(path))
        except (DataError, ConfigError) as error:
            assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "x.npz/y"])
def test_a_path_that_no_file_can_have_is_refused(tmp_path, path):
    (tmp_path / "x.npz").write_bytes(b"")
    refused(setup_of(tmp_path / path), tmp_path)


# ---- what Keras downloads

DOWNLOADED = set_up(dataset={"name": "cifar10"})


@pytest.fixture
def keras_with(tmp_path, monkeypatch):
    """A function: let Keras load cifar10 by this function, and keep what it downloads here."""

    def put(load_data):
        keras = types.SimpleNamespace(
            datasets=types.SimpleNamespace(cifar10=types.SimpleNamespace(load_data=load_data)),
            config=types.SimpleNamespace(keras_home=lambda: str(tmp_path)),
        )
        monkeypatch.setitem(sys.modules, "keras", keras)

    return put


@pytest.mark.parametrize(
    ("error", "fault", "advice"),
    [
        (
            Exception("URL fetch failure on https://x: None --\n [Errno -2] Name not known"),
            "cifar10 could not be downloaded by Keras (URL fetch failure on https://x: None -- ",
            "name them in dataset.path",
        ),
        (
            EOFError("Compressed file ended"),
            "what Keras has downloaded of cifar10 before is damaged (Compressed file ended)",
            "delete the folder {folder}",
        ),
    ],
    ids=["no network", "cut short"],
)
def test_a_failing_download_says_what_to_do(tmp_path, keras_with, error, fault, advice):
    def fails():
        raise error

    folder = tmp_path / "datasets" / "cifar-10-batches-py-target"
    folder.mkdir(parents=True)
    keras_with(fails)
    message = refused(DOWNLOADED, tmp_path, late=True)
    assert message.startswith(f"dataset.name: {fault}")
    assert message.endswith(advice.format(folder=folder))


def test_what_keras_loads_is_prepared(tmp_path, keras_with):
    content = arrays(shape=(4, 4, 3))
    labels = {name: content[f"y_{name}"][:, None] for name in ("train", "test")}
    parts = (content["x_train"], labels["train"]), (content["x_test"], labels["test"])
    keras_with(lambda: parts)
    prepare(DOWNLOADED, tmp_path / "data.json")
    known = load(tmp_path / "data.json")
    assert (known.source, known.shape, known.classes) == ("cifar10", (4, 4, 3), 3)
    np.testing.assert_array_equal(known.labels[known.test], content["y_test"])


# ---- loading what was prepared


def test_loaded_images_can_be_written_to_without_changing_the_file(tmp_path):
    path = write_npz(tmp_path / "mine.npz", arrays())
    known = prepared(path, tmp_path / "data.json")
    before = (tmp_path / "data.images.npy").read_bytes()
    known.images[0] = 0
    assert (tmp_path / "data.images.npy").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("data.json", None),
        ("data.json", lambda raw: raw[:-20]),
        ("data.json", lambda raw: raw.replace(b'"train": 27', b'"train": 26')),
        ("data.images.npy", None),
        ("data.images.npy", lambda raw: raw[:-1]),
        ("data.labels.npy", lambda raw: b"not an array"),
    ],
)
def test_prepared_data_that_is_damaged_is_refused(tmp_path, name, change):
    prepared(write_npz(tmp_path / "mine.npz", arrays()), tmp_path / "data.json")
    path = tmp_path / name
    path.unlink() if change is None else path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        load(tmp_path / "data.json")
    (message,) = str(caught.value).splitlines()
    assert message.startswith(str(tmp_path / "data."))


# ---- what a workflow has to notice


def test_the_fingerprint_changes_with_the_files_alone(tmp_path):
    path = write_npz(tmp_path / "a.npz", arrays())
    first = source_fingerprint({"path": str(path)})
    assert first == [hashlib.sha256(path.read_bytes()).hexdigest()]
    os.utime(path, (1, 1))
    assert source_fingerprint({"path": str(path)}) == first
    write_npz(path, arrays(seed=1))
    assert source_fingerprint({"path": str(path)}) != first
    assert source_fingerprint({"name": "cifar10"}) == []
    folder = write_idx(tmp_path / "idx", arrays())
    assert len(set(source_fingerprint({"path": str(folder)}))) == 4
    with pytest.raises(DataError):
        source_fingerprint({"path": str(tmp_path / "absent")})


# ---- the program


def test_the_program_says_why_it_cannot_write(tmp_path):
    """A limit on the size of files stands for a full disk: both cut a write short."""
    path = write_npz(tmp_path / "mine.npz", arrays(train=3000))
    config = json.dumps({"dataset": {"path": str(path)}})
    program = PROJECT / "scripts" / "prepare.py"
    result = subprocess.run(
        [sys.executable, program, "--config", config, "--output", tmp_path / "data.json"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert result.returncode == 1
    assert re.fullmatch(r"prepare\.py: \S+: cannot be written: is the disk full.*\n", result.stderr)
    assert [left.name for left in tmp_path.iterdir()] == ["mine.npz"]

"""The rows of a run: the same for every run as ever, or chosen by the seeds of its sources."""

import hashlib
import json

import numpy as np
import pytest

from l2study.core.config import ConfigError
from l2study.data.preparation import check_against_data, prepare
from l2study.data.prepared import DataError, load
from l2study.data.rows import chosen_rows, split_rows
from l2study.data.streams import source_stream
from tiny import set_up, write_npz

STRATIFIED = {"split": "stratified", "fraction": 0.2}
SOURCES = ("weights", "order", "split", "sample")
LABELS = np.arange(300) % 3


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def prepared(folder, variation=None, validation=STRATIFIED, **dataset):
    if not (folder / "tiny.npz").exists():
        write_npz(folder / "tiny.npz")
    dataset["path"] = str(folder / "tiny.npz")
    config = {"dataset": dataset, "validation": validation}
    config |= {"variation": variation} if variation else {}
    prepare(set_up(**config), folder / "data.json")
    return folder / "data.json"


# ---- streams


@pytest.mark.parametrize("changed", SOURCES)
def test_another_seed_of_a_source_changes_its_own_stream_alone(changed):
    before = dict(zip(SOURCES, (3, 5, 7, 9), strict=True))
    after = before | {changed: 4}
    for source in SOURCES:
        keys = (2,) if source == "order" else ()
        draws = [source_stream(source, of, *keys).integers(1 << 62) for of in (before, after)]
        assert (draws[0] != draws[1]) == (source == changed)


# ---- rows


def test_every_split_has_parts_of_the_same_size_and_classes():
    parts = [split_rows(LABELS, "stratified", 0.2, {"split": seed}) for seed in range(4)]
    for train, held_out in parts:
        assert sorted([*train, *held_out]) == list(range(300))
        assert np.bincount(LABELS[train]).tolist() == [80, 80, 80]
    assert len({tuple(sorted(held_out)) for _, held_out in parts}) == 4
    again = split_rows(LABELS, "stratified", 0.2, {"split": 2, "sample": 5})
    np.testing.assert_array_equal(again[1], parts[2][1])


def test_a_sample_follows_the_split_and_its_own_seed():
    config = {"dataset": {"train_size": 60}, "validation": STRATIFIED}

    def chosen(**sources):
        train, held_out = chosen_rows(LABELS, config, sources)
        assert np.bincount(LABELS[train]).tolist() == [20, 20, 20]
        assert not set(train) & set(held_out)
        return set(train), set(held_out)

    first, other = chosen(sample=1), chosen(sample=2)
    assert first[0] != other[0] and first[1] == other[1]
    assert chosen(split=1)[0] != chosen(split=2)[0]
    assert chosen() == chosen(split=0, sample=0)
    # the sample is drawn by places among the rows that are left, whatever the split
    places = []
    for split in (1, 2):
        left, _ = split_rows(LABELS, "stratified", 0.2, {"split": split})
        train, _ = chosen_rows(LABELS, config, {"split": split, "sample": 4})
        of_class = [left[LABELS[left] == label] for label in range(3)]
        places.append([np.flatnonzero(np.isin(rows, train)).tolist() for rows in of_class])
    assert places[0] == places[1]


# ---- prepared data


@pytest.mark.parametrize(
    ("split", "dataset", "manifest", "images", "labels"),
    [
        ("tail", {}, "61b87a90e1202524", "69f17714f46a7e0b", "b73c3cb9a1ee9133"),
        ("stratified", {}, "eb45e30f0d0dd4da", "06ca179eef47d0fd", "9b23de0b64fba807"),
        *(
            (split, {"train_size": 60, "label_noise": 0.2}, *sums)
            for split, *sums in (
                ("tail", "8a687ee687c0e6e8", "66183185b39bfc40", "b5403ec705380f09"),
                ("stratified", "53fddec3c8328d9c", "07998c860490b16a", "8504b91fbdf41503"),
            )
        ),
    ],
)
@pytest.mark.parametrize("variation", [None, ["weights"]])
def test_data_whose_rows_no_seed_changes_are_what_they_were_before_there_were_sources(
    tmp_path, split, dataset, manifest, images, labels, variation
):
    """The checksums were taken with the code before sources of variation."""
    path = prepared(tmp_path, variation, {"split": split, "fraction": 0.2}, **dataset)
    assert json.loads(path.read_text())["sha256"].startswith(manifest)
    assert sha256(path.with_name("data.images.npy")).startswith(images)
    assert sha256(path.with_name("data.labels.npy")).startswith(labels)
    assert load(path, {"weights": 7}).chosen_by == {}


@pytest.mark.parametrize("by_seed", [["split"], ["sample"], ["split", "sample"]])
def test_a_run_of_seed_0_has_the_rows_of_data_that_no_seed_changes(tmp_path, by_seed):
    dataset = {"train_size": 60, "label_noise": 0.2}
    plain = load(prepared(tmp_path, **dataset))
    images, labels = np.array(plain.images), np.array(plain.labels)
    path = prepared(tmp_path, by_seed, **dataset)
    run = load(path, dict.fromkeys(by_seed, 0) | {"weights": 3})
    np.testing.assert_array_equal(run.images, images)
    np.testing.assert_array_equal(run.labels, labels)
    assert (run.counts, run.classes, run.scale) == (plain.counts, plain.classes, plain.scale)
    assert run.sha256 != plain.sha256
    assert run.chosen_by == dict.fromkeys(by_seed, 0)
    assert json.loads(path.read_text())["noisy_labels"] == 12


def test_the_files_are_in_the_order_of_the_source_and_labels_are_as_given(tmp_path):
    path = prepared(tmp_path, ["split"], train_size=60, label_noise=0.2)
    with np.load(tmp_path / "tiny.npz") as given:
        for array, name in (("images", "x"), ("labels", "y")):
            stored = np.load(tmp_path / f"data.{array}.npy")
            expected = np.concatenate([given[f"{name}_train"], given[f"{name}_test"]])
            np.testing.assert_array_equal(stored, expected)
    manifest = json.loads(path.read_text())
    assert manifest["counts"] == {"train": 60, "validation": 60, "test": 90}
    assert manifest["rows"] == {
        "by_seed": ["split"],
        "file": 300,
        "dataset": {"train_size": 60, "label_noise": 0.2},
        "validation": STRATIFIED,
    }


def test_an_image_keeps_its_noisy_label_whichever_split_it_is_drawn_by(tmp_path):
    path = prepared(tmp_path, ["split"], label_noise=0.5)
    with np.load(tmp_path / "tiny.npz") as given:
        right = {image.tobytes(): label for image, label in
                 zip(given["x_train"], given["y_train"], strict=True)}  # fmt: skip
    seen, checksums = {}, set()
    for seed in range(3):
        run = load(path, {"split": seed})
        checksums.add(run.sha256)
        learned = zip(run.images[run.train], run.labels[run.train], strict=True)
        noisy = {i.tobytes(): label for i, label in learned if label != right[i.tobytes()]}
        assert len(noisy) == 120
        for image in set(noisy) & set(seen):
            assert noisy[image] == seen[image]
        seen |= noisy
        held_out = zip(run.images[run.validation], run.labels[run.validation], strict=True)
        assert all(label == right[image.tobytes()] for image, label in held_out)
    assert len(seen) > 120 and len(checksums) == 1


@pytest.mark.parametrize(
    ("variation", "sources", "words"),
    [
        (["split"], None, "a seed changes split, but in this one it changes none"),
        (["split"], {"weights": 1}, "a seed changes split, but in this one it changes none"),
        (None, {"split": 1}, "a seed changes no rows, but in this one it changes split"),
        (["split"], {"split": 1, "sample": 2}, "it changes split and sample; prepare the data"),
    ],
)
def test_data_that_are_not_for_the_sources_of_a_run_are_refused(
    tmp_path, variation, sources, words
):
    path = prepared(tmp_path, variation, train_size=60)
    with pytest.raises(DataError, match=words):
        load(path, sources)


def test_there_must_be_something_to_sample(tmp_path):
    write_npz(tmp_path / "tiny.npz")

    def check_size(size, **seeds):
        dataset = {"path": str(tmp_path / "tiny.npz"), "train_size": size}
        training = {"batch_size": 9}
        config = {"dataset": dataset, "validation": STRATIFIED, "training": training}
        check_against_data(set_up(**config, **seeds))

    check_size(239, variation=["sample"])
    check_size(240)
    for seeds in ({"variation": ["sample", "split"]}, {"seeds": {"sample": 3}}):
        with pytest.raises(ConfigError, match=r"train_size: 240 is all .* allowed: fewer, or no"):
            check_size(240, **seeds)

"""What is found about prepared data, by hand, and what the report says of it."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import reported
from l2study.data import check
from l2study.data.check import check_prepared, checked
from l2study.data.preparation import prepare
from l2study.report import answer, claim_text, data_text, summary
from l2study.report.study import verdicts
from synthetic import Effects
from tiny import set_up


def manifest(train=60, val=20, test=20, classes=4, **more):
    counts = {"train": train, "validation": val, "test": test}
    return {"counts": counts, "classes": classes, "scale": 1.0} | more


def made(numbers=5, seed=0, **more):
    """Return inputs, labels and a manifest in which nothing is found."""
    about = manifest(**more)
    rows = sum(about["counts"].values())
    images = np.random.default_rng(seed).normal(size=(rows, numbers)).astype(np.float32)
    return images, (np.arange(rows) % about["classes"]).astype(np.int32), about


def findings(images, labels, about):
    """Return the rows that are findings, by check, part and which."""
    return {
        (row["check"], row["part"], row["which"]): row
        for row in checked(images, labels, about)
        if row["finding"] == "yes"
    }


def row_of(rows, check, part, which="all"):
    (row,) = (r for r in rows if (r["check"], r["part"], r["which"]) == (check, part, which))
    return row


def said(*data, **options):
    return data_text.sentences(checked(*data), **options)


def test_nothing_is_found_where_nothing_is_and_a_number_that_never_varies_is_counted():
    images, labels, about = made()
    images[:, 2] = 3
    assert findings(images, labels, about) == {}
    assert said(images, labels, about) == []
    assert row_of(checked(images, labels, about), "constant inputs", "train")["count"] == 1


def test_classes_and_the_largest_of_each_part():
    images, labels, about = made(class_names=["a", "b", "c", "d"])
    labels[80:] = [3] * 15 + [0] * 5
    rows = checked(images, labels, about)
    assert row_of(rows, "class", "test", "a")["count"] == 5
    assert row_of(rows, "class", "train", "b")["share"] == 0.25
    largest = row_of(rows, "largest class", "test", "d")
    assert (largest["count"], largest["of"], largest["share"]) == (15, 20, 0.75)
    found = findings(images, labels, about)
    assert set(found) == {("largest class", "test", "d"), ("missing classes", "test", "all")}
    assert found["missing classes", "test", "all"]["count"] == 2
    text = said(images, labels, about)
    assert "d" in text[0].split() and "75 %" in text[0]
    assert "b and c" in text[1]


def test_groups_that_are_trained_on():
    images, labels, about = made()
    numbers = {"val": " ".join(map(str, range(20))), "test": " ".join("0123" * 5)}
    about["groups"] = {"numbers": numbers, "also_trained": {"val": 0, "test": 3}}
    assert row_of(checked(images, labels, about), "shared groups", "val", "train")["count"] == 0
    (row,) = findings(images, labels, about).values()
    assert [row[key] for key in ("part", "check", "count", "of")] == ["test", "shared groups", 3, 4]
    (text,) = said(images, labels, about)
    assert text.startswith("3 of the 4 groups of test images")


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_inputs_that_are_all_the_same(part):
    images, labels, about = made()
    images[{"train": slice(60), "val": slice(60, 80), "test": slice(80, 100)}[part]] = 7
    found = findings(images, labels, about)
    row = found["constant inputs", part, "all"]
    assert (row["count"], row["of"]) == (5, 5)
    assert "other scale" not in {name for name, *_ in found}
    (text,) = said(images, labels, about)  # what follows from it is not said as well
    assert text.startswith("No lambda")


def test_one_row_alone_is_not_called_constant():
    assert findings(*made(val=1, test=40)) == {("missing classes", "val", "all"): {
        "part": "val", "check": "missing classes", "which": "all",
        "count": 3, "of": 4, "share": 0.75, "finding": "yes",
    }}  # fmt: skip


@pytest.mark.parametrize(
    ("factor", "added", "is_found"),
    [(1, 0, False), (2.5, 0, False), (100, 0, True), (0.001, 0, True), (1, 1e6, False)],
)
def test_the_scale_of_the_inputs(factor, added, is_found):
    images, labels, about = made()
    images = (factor * images.astype(float) + added).astype(np.float32)
    rows = checked(images, labels, about)
    row = row_of(rows, "deviation", "train")
    each = images[:60].astype(float).std(axis=0)
    assert row["value"] == pytest.approx(np.sqrt(np.mean(each**2)))
    assert row_of(rows, "lowest", "train")["value"] == images[:60].min()
    assert (row["finding"] == "yes") == is_found
    assert bool(said(images, labels, about)) == is_found
    assert said(images, labels, about, to_noise=False) == []


def test_numbers_are_as_the_network_sees_them():
    images, labels, about = made(scale=1 / 255)
    images = np.random.default_rng(0).integers(0, 256, images.shape).astype(np.uint8)
    rows = checked(images, labels, about)
    assert row_of(rows, "highest", "test")["value"] == images[80:].max() / 255
    assert row_of(rows, "deviation", "train")["finding"] == "no"
    raw = about | {"scale": 1.0}
    (text,) = said(images.astype(np.float32), labels, raw)
    assert "dataset.scale: pixels" in text


def test_standardised_numbers_are_those_of_a_run():
    from l2study.data.prepared import standardized

    images, labels, about = made(standardize=True)
    images = 1000 * images + 50
    images[:60, 1] = 4  # does not vary in the training rows, and is divided by 1
    own = standardized(images, 60)
    rows = checked(images, labels, about)
    for part, of_part in (("train", own[:60]), ("test", own[80:])):
        known = {name: row_of(rows, name, part)["value"] for name in ("lowest", "highest")}
        assert known["lowest"] == pytest.approx(of_part.min(), rel=1e-4)
        assert known["highest"] == pytest.approx(of_part.max(), rel=1e-4)
    assert row_of(rows, "deviation", "train")["value"] == pytest.approx(np.sqrt(4 / 5))


def test_parts_that_are_scaled_unlike():
    images, labels, about = made()
    images[:80] /= 255
    found = findings(255 * images, labels, about)
    assert set(found) == {("deviation", "test", "all")}
    assert said(255 * images, labels, about, to_noise=False)


def test_copies_in_two_parts():
    images, labels, about = made()
    images[80:83] = images[0]
    images[83] = images[70]
    images[84] = -images[5]
    images[6], images[85] = 0.0, -0.0
    labels[:] = 0
    labels[:60:4], labels[60:80:4], labels[80::4] = 1, 1, 1
    about["classes"] = 2
    found = findings(images, labels, about)
    assert found["copies", "test", "train"]["count"] == 4
    assert found["copies", "test", "val"]["count"] == 1
    assert ("copies", "val", "train") not in found
    texts = [text for text in said(images, labels, about) if "copies" in text]
    assert texts[0].startswith("4 of the 20 test") and texts[1].startswith("1 of the 20 test")


def test_rows_that_have_two_labels():
    images, labels, about = made()
    images[4] = images[0]  # the same label
    images[[9, 10]] = images[8]  # three labels
    found = findings(images, labels, about)
    assert set(found) == {("other label", "train", "all")}
    assert found["other label", "train", "all"]["count"] == 3
    assert len(said(images, labels, about)) == 1
    assert findings(images, labels, about | {"noisy_labels": 12}) == {}


def test_classes_of_few_training_rows():
    images, labels, about = made()
    labels[:60][labels[:60] == 2] = 1
    labels[:3] = 2
    found = findings(images, labels, about)
    assert found["small classes", "train", "all"]["count"] == 1
    (text,) = said(images, labels, about)
    assert "2." in text


def test_where_a_seed_chooses_the_rows_the_training_part_has_all_of_the_file():
    images, labels, about = made(rows={"file": 80})
    images[85] = images[75]
    found = findings(images, labels, about)
    assert set(found) == {("copies", "test", "train")}
    assert {row["part"] for row in checked(images, labels, about)} == {"train", "test"}


def test_pieces_change_nothing(monkeypatch):
    images, labels, about = made(standardize=True)
    images[90] = images[3]
    whole = checked(images, labels, about)
    monkeypatch.setattr(check, "_PIECE", 7 * 8 * 5)
    for one, other in zip(whole, checked(images, labels, about), strict=True):
        assert one == pytest.approx(other)


def test_memory_does_not_grow_with_the_data(tmp_path):
    about = manifest(train=25_000, val=2_000, test=3_000)
    shape = (30_000, 4_000)  # 120 MB
    images = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, shape)
    images[:, 0] = np.arange(len(images)) % 251
    del images
    images = np.load(tmp_path / "a.npy", mmap_mode="r")
    labels = (np.arange(len(images)) % 4).astype(np.int32)
    tracemalloc.start()
    checked(images, labels, about)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


# ---- with files


def prepared_rows(tmp_path, content, **config):
    np.savez(tmp_path / "mine.npz", **content)
    dataset = {"path": str(tmp_path / "mine.npz")}
    prepare(set_up(dataset=dataset, training={"batch_size": 1}, **config), tmp_path / "data.json")
    return check_prepared(tmp_path / "data.json")


def arrays(**more):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (100, 4, 4)).astype(np.uint8),
        "y_train": np.arange(100) % 3,
        "x_test": rng.integers(0, 256, (30, 4, 4)).astype(np.uint8),
        "y_test": np.arange(30) % 3,
    } | more


def test_a_validation_part_that_is_not_used_is_a_finding(tmp_path):
    own = arrays()
    content = own | {"x_val": own["x_test"][:9], "y_val": own["y_test"][:9]}
    rows = prepared_rows(tmp_path, content)
    assert row_of(rows, "rows left out", "val")["count"] == 9
    given = prepared_rows(tmp_path, content, validation={"split": "given"})
    assert {row["check"] for row in given if row["finding"] == "yes"} == {"copies"}


def test_arrays_that_are_not_read_are_a_finding_and_groups_are_read(tmp_path):
    others = {"x_valid": np.zeros(3), "y_valid": np.zeros(3), "groups_test": np.arange(30)}
    rows = prepared_rows(tmp_path, arrays(**others))
    assert [row["which"] for row in rows if row["finding"] == "yes"] == ["x_valid", "y_valid"]
    assert "x_valid and y_valid" in data_text.sentences(rows)[0]


def test_arrays_that_were_deleted_are_said_to_be_so(tmp_path):
    prepared_rows(tmp_path, arrays())
    (tmp_path / "data.images.npy").unlink()
    (row,) = check_prepared(tmp_path / "data.json")
    assert (row["check"], row["finding"]) == ("not checked", "yes")
    assert "data.images.npy" in data_text.sentences([row])[0]


@pytest.mark.slow  # reads all of MNIST
def test_nothing_is_found_in_mnist(tmp_path):
    prepare(set_up(), tmp_path / "data.json")
    rows = check_prepared(tmp_path / "data.json")
    assert [row for row in rows if row["finding"] == "yes"] == []
    assert row_of(rows, "largest class", "test", "1")["count"] == 1135
    assert row_of(rows, "constant inputs", "train")["count"] == 67


# ---- what the answer may say


def with_check(study, *rows):
    """Return a made-up study with rows of its data; others say of them only what they must."""
    own = {"data_check": pd.DataFrame(list(rows))}
    own["verdicts"] = verdicts(study.tables["claims"].assign(setup="base"))
    return replace(study, tables=dict(study.tables) | own)


def largest(share):
    return {"part": "test", "check": "largest class", "which": "7", "count": 1, "of": 2,
            "share": share, "finding": "no"}  # fmt: skip


CONSTANT = {"part": "test", "check": "constant inputs", "which": "all", "count": 2, "of": 2,
            "finding": "yes"}  # fmt: skip


def shown(**options):
    return reported.shown(**{"epochs": 2} | options)


@pytest.mark.slow  # makes the tables of studies
class TestAnswer:
    def test_a_study_from_before_there_was_a_check_has_nothing_to_say(self):
        assert data_text.text(shown()) == []
        assert not data_text.withholds(shown())

    @pytest.mark.parametrize(
        ("row", "withheld"), [(CONSTANT, True), (largest(0.5), False), (largest(0.99), True)]
    )
    def test_constant_inputs_and_networks_that_are_no_better_withhold_it(self, row, withheld):
        study = with_check(shown(), row)
        assert data_text.withholds(study) == withheld
        text = " ".join(data_text.text(study))
        if row == largest(0.99):
            means = study.over_seeds["means"].query("measure == 'test_accuracy'")["mean"]
            assert f"{100 * means.max():.3g} %" in text and "99 %" in text and "class 7" in text
        else:
            assert data_text.no_better(study) is None

    def test_networks_that_are_not_shown_to_be_better_qualify_it(self):
        study = shown(effects=Effects(test_accuracy=(0.978, 0.978)), seeds=[0, 1, 2])
        means = study.over_seeds["means"].query("measure == 'test_accuracy'")
        between = float((means["low"].max() + means["high"].max()) / 2)
        study = with_check(study, largest(between))
        assert not data_text.withholds(study)
        assert not data_text.no_better(study)["surely"]
        assert len(data_text.text(study)) == 1

    def test_constant_networks_withhold_it_with_one_seed_and_with_many(self):
        for seeds in ([0], [0, 1, 2]):
            study = shown(seeds=seeds, lambdas=[0, 0.01])
            means = study.tables["means"].copy()
            own = means["measure"] == "test_accuracy"
            ends = ["low", "high"] if len(seeds) > 1 else []
            means.loc[own, ["mean", *ends]] = np.float64(np.float32(140 / 152))
            study = replace(study, tables=dict(study.tables) | {"means": means})
            assert data_text.withholds(with_check(study, largest(140 / 152)))

    def test_where_it_is_withheld_no_lambda_is_named(self):
        free, held = (answer.of(with_check(shown(), largest(share))) for share in (0.5, 0.99))
        assert free.headline.startswith("Use ") and free.sentences and free.choice
        assert held.headline.startswith("No lambda is recommended")
        assert held.sentences == held.choice == []
        assert all("add lambda" not in text for text, _ in held.state)
        texts = [summary.summary(with_check(shown(), largest(share))) for share in (0.5, 0.99)]
        assert ["| **" in text for text in texts] == [True, False]
        assert ["## Choice" in text for text in texts] == [True, False]

    def test_other_findings_stand_beside_it(self):
        copies = {"part": "test", "check": "copies", "which": "train", "count": 3, "of": 9,
                  "finding": "yes"}  # fmt: skip
        study = with_check(shown(), copies, largest(0.5))
        found = answer.of(study)
        assert found.headline == answer.of(shown()).headline
        (text,) = [text for text, wrong in found.state if wrong and "copies" in text]
        assert text in summary.summary(study)

    def test_claims_on_noise_say_that_the_scale_leaves_it_no_meaning(self):
        study = shown(seeds=[0, 1, 2])
        own, _, claim = next(claim_text.claims(study))
        noisy = own.assign(measure="accuracy_lost_0.1")
        unscaled = {"part": "train", "check": "deviation", "which": "all", "value": 74.0,
                    "finding": "yes"}  # fmt: skip
        ends = [unscaled | {"check": name, "value": value, "finding": "no"}
                for name, value in (("lowest", 0.0), ("highest", 255.0))]  # fmt: skip
        checked_study = with_check(study, unscaled, *ends)
        said = {
            name: "this scale" in claim_text.found(table, claim, one)
            for name, (table, one) in {
                "noise": (noisy, checked_study),
                "another": (own, checked_study),
                "scaled": (noisy, with_check(study, largest(0.5))),
            }.items()
        }
        assert said == {"noise": True, "another": False, "scaled": False}

    def test_all_runs_diverged(self):
        lost = {(l2, seed): 1 for l2 in (0, 0.01) for seed in (0, 1)}
        study = shown(lambdas=[0, 0.01], seeds=[0, 1], diverged=lost)
        assert not data_text.withholds(with_check(study, largest(0.99)))

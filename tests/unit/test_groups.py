"""Groups of rows: from the user's data to intervals for other groups, and what is said of them."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from aggregate import write_tables
from l2study.core.files import read_json, read_table
from l2study.core.predictions import PARTS, Predicted
from l2study.core.scope_rows import SEEDS_AND_IMAGES
from l2study.data.groups import groups_in
from l2study.data.preparation import check_against_data, prepare
from l2study.data.prepared import array_paths, load
from l2study.report import answer
from l2study.report.study import read_results
from l2study.tables import dose_response, laws
from l2study.tables.image_intervals import Images, spread_of, wide_mean
from synthetic import write_study
from tiny import PROJECT, set_up

SIZES = (1, 9, 3, 5, 2, 8, 4)
GROUPS = np.random.default_rng(1).permutation(np.repeat(range(len(SIZES)), SIZES))
NOISE = np.random.default_rng(2)

# ---- the error of a mean


def test_groups_of_one_image_are_independent_images():
    table, alone = NOISE.normal(size=(4, 30)) + NOISE.normal(size=30), NOISE.permutation(30)
    assert spread_of(table, alone) == pytest.approx(spread_of(table), rel=1e-12)
    assert spread_of(table).within == pytest.approx(table.var(axis=1, ddof=1).mean(), rel=1e-12)


def test_the_error_is_the_cluster_robust_one_of_statsmodels():
    table = NOISE.normal(size=(3, len(GROUPS))) + NOISE.normal(size=len(SIZES))[GROUPS]
    found, n = spread_of(table, GROUPS), len(GROUPS)
    effective = n**2 / np.square(SIZES).sum()
    assert (found.images, found.groups) == (n, pytest.approx(effective))
    own = sm.OLS(table.mean(axis=0), np.ones(n)).fit()
    robust = own.get_robustcov_results("cluster", groups=GROUPS, use_correction=False)
    variance = robust.cov_params().item() * effective / (effective - 1)
    assert found.image / (3 * n) == pytest.approx(variance)
    # With what a seed alone has of each group, the rest is what one-way effects leave.
    values = table.mean(axis=1)
    wide = wide_mean(values, [(1.0, found)])
    rest = found.rest / (3 * n)
    assert wide.error**2 == pytest.approx(values.var(ddof=1) / 3 + variance - rest)
    assert wide.df >= 2


def test_a_single_group_leaves_the_error_unknown():
    table = NOISE.normal(size=(3, 5))
    assert np.isnan(
        wide_mean(table.mean(axis=1), [(1.0, spread_of(table, np.zeros(5, int)))]).error
    )


@pytest.mark.parametrize("largest", [10, 60])
def test_coverage(largest):
    """Of a mean for other seeds and other groups: 5 seeds, 15 groups of 10 to so many images."""
    draw, held, studies = np.random.default_rng(largest), np.zeros(2), 1000
    for _ in range(studies):
        groups = np.repeat(range(15), draw.integers(10, largest, 15, endpoint=True))
        images = draw.normal(size=15)[groups] + 2 * draw.normal(size=len(groups))
        table = images + draw.normal(size=(5, len(groups))) + 0.2 * draw.normal(size=(5, 1))
        for place, spread in enumerate((spread_of(table, groups), spread_of(table))):
            ends = wide_mean(table.mean(axis=1), [(1.0, spread)]).interval(0.95)
            held[place] += ends.low <= 0 <= ends.high
    found, as_if_independent = held / studies
    assert 0.93 <= found <= 0.97
    assert as_if_independent < 0.85


def test_bootstraps_draw_groups():
    seeds, lambdas, count = range(4), (0.0, 0.001, 0.01), 60
    groups = np.repeat(np.arange(count), NOISE.integers(2, 12, count))
    right = NOISE.random(count)[groups] < 0.8
    label = np.zeros(len(groups), np.uint8)
    one = Predicted(label, ~right, np.where(right, 0.9, 0.1).astype("f4"))
    predicted = {(l2, seed): dict.fromkeys(PARTS, one) for l2 in lambdas for seed in seeds}
    images = Images(predicted, groups={"val": groups})
    error = np.sqrt(spread_of(one.right[None], groups).within / len(groups))
    alone = np.sqrt(spread_of(one.right[None]).within / len(groups))
    (first, *_) = images.resampled("val", "right", lambdas, seeds, 2000)
    assert first.mean() == pytest.approx(right.mean(), abs=0.01)
    assert first[:, 0].std() == pytest.approx(error, rel=0.1) and error > 2 * alone
    table = pd.DataFrame({l2: [right.mean()] * 4 for l2 in lambdas})
    drawn = dose_response.points("val_accuracy", table, 0.95, images).drawn
    assert drawn[:, 0].std() == pytest.approx(error, rel=0.1)


def test_a_law_on_images_is_judged_for_other_groups():
    label, groups = np.zeros(300, np.uint8), np.repeat(range(15), 20)
    chance = np.where(NOISE.random(15) < 0.3, 0.9, 0.1)[groups]
    predicted = {}
    for seed in range(4):
        wrong = NOISE.random(300) < chance
        one = Predicted(label, wrong.astype(np.uint8), label.astype("f4"))
        predicted[0.0, seed] = dict.fromkeys(PARTS, one)
    plain, grouped = (
        laws.over_images("disagreement", None, Images(predicted, groups=own))(0.95)
        for own in ({}, {"test": groups})
    )
    assert grouped.value == plain.value
    assert grouped.high / grouped.low > 1.5 * plain.high / plain.low


# ---- from the data to the manifest


def arrays(**parts):
    """Return arrays whose inputs have the number of their group, a row's own number and noise."""
    found, names = {}, np.array(["ann", "bob", "cay", "dan", "eve"])
    for part, rows in parts.items():
        group = NOISE.integers(0, 5, rows)
        x = np.stack([group, np.arange(rows)], axis=1).astype(float)
        found |= {f"x_{part}": x, f"y_{part}": np.arange(rows) % 2, f"groups_{part}": names[group]}
    return found


def prepared(folder, content, **config):
    np.savez(folder / "a.npz", **content)
    config["dataset"] = {"path": str(folder / "a.npz")} | config.get("dataset", {})
    setup = set_up(training={"batch_size": 1}, **config)
    check_against_data(setup)
    manifest = prepare(setup, folder / "out" / "data.json")
    return manifest, folder / "out" / "data.json"


TAIL = {"split": "tail", "fraction": 0.25}
STRATIFIED = TAIL | {"split": "stratified"}


@pytest.mark.parametrize(
    ("parts", "config", "known"),
    [
        ({"train": 40, "test": 12}, {"validation": TAIL}, ["test", "val"]),
        ({"train": 40, "test": 12}, {"validation": STRATIFIED}, ["test", "val"]),
        ({"train": 40, "val": 9, "test": 12}, {"validation": {"split": "given"}}, ["test", "val"]),
        (
            {"train": 60, "val": 9},
            {"validation": {"split": "given"}, "dataset": {"test_fraction": 0.3, "train_size": 20}},
            ["test", "val"],
        ),
        (
            {"train": 60},
            {"validation": STRATIFIED, "dataset": {"test_fraction": 0.3}, "variation": ["split"]},
            ["test"],
        ),
        (
            {"train": 60, "test": 12},
            {"validation": STRATIFIED, "dataset": {"train_size": 20}, "variation": ["sample"]},
            ["test", "val"],
        ),
    ],
)  # fmt: skip
def test_every_prepared_row_has_the_group_of_its_own(tmp_path, parts, config, known):
    manifest, path = prepared(tmp_path, arrays(**parts), **dict(config))
    data = load(path, dict.fromkeys(config.get("variation", []), 3))
    numbers = groups_in(read_json(path))
    assert sorted(numbers) == known
    for part, rows in (("val", data.validation), ("test", data.test)):
        if part in known:
            # a group has one number, and a number one group
            pairs = set(zip(data.images[rows, 0].tolist(), numbers[part].tolist(), strict=True))
            assert len(pairs) == len(dict(pairs)) == numbers[part].max() + 1
    trained = set(data.images[data.train, 0].tolist())
    if "variation" not in config:
        shared = {part: len(trained & set(data.images[rows, 0].tolist()))
                  for part, rows in (("val", data.validation), ("test", data.test))}  # fmt: skip
        assert manifest["groups"]["also_trained"] == shared


def test_groups_change_neither_data_nor_checksum(tmp_path):
    content = arrays(train=40, test=12)
    found = []
    for own in (content, {name: a for name, a in content.items() if name[0] != "g"}):
        manifest, path = prepared(tmp_path, own, validation=TAIL)
        found.append((manifest, *(one.read_bytes() for one in array_paths(path))))
    (grouped, *bytes_grouped), (plain, *bytes_plain) = found
    assert bytes_grouped == bytes_plain
    assert {key: own for key, own in grouped.items() if key != "groups"} == plain
    assert "groups" in grouped


def test_a_function_returns_groups(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grouped.py").write_text(
        "def load():\n    x, y = [[0.0, i] for i in range(8)], [0, 1] * 4\n"
        "    return {'x_train': x, 'y_train': y, 'x_test': x, 'y_test': y,"
        " 'groups_test': ['b', 'b', 'a', 'a', 'c', 'c', 'c', 'a']}\n"
    )
    setup = set_up(dataset={"load": "grouped.py:load"}, validation=TAIL, training={"batch_size": 1})
    assert prepare(setup, tmp_path / "data.json")["groups"] == {
        "numbers": {"test": "1 1 0 0 2 2 2 0"}
    }


def test_a_column_of_a_table_has_the_groups_and_is_no_input(tmp_path):
    """Column b has the group once more, as a number."""
    text = "a,who,kind,b\n" + "".join(f"{i},p{i // 4},{'xy'[i % 2]},{i // 4}\n" for i in range(40))
    (tmp_path / "a.csv").write_text(text)
    pd.read_csv(tmp_path / "a.csv").drop(columns="who").to_csv(tmp_path / "b.csv", index=False)
    manifests = {}
    for name, keys in (("b", {}), ("a", {"group": "who"})):
        dataset = {"path": str(tmp_path / f"{name}.csv"), "label": "kind", "test_fraction": 0.3}
        setup = set_up(dataset=dataset | keys, validation=STRATIFIED, training={"batch_size": 1})
        check_against_data(setup)
        manifests[name] = prepare(setup, tmp_path / "data.json")
    data, numbers = load(tmp_path / "data.json"), groups_in(manifests["a"])
    assert data.shape == (2,) and manifests["a"]["class_names"] == ["x", "y"]
    for part, rows in (("val", data.validation), ("test", data.test)):
        of_rows = data.images[rows, 1]
        expected = pd.factorize(np.char.mod("p%d", of_rows), sort=True)[0]
        np.testing.assert_array_equal(numbers[part], expected)
    assert "groups" not in manifests["b"]
    assert manifests["b"]["sha256"] == manifests["a"]["sha256"]


# ---- from the manifest to tables and text


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A made-up study before and after it is said that its test images come in seven groups."""
    folder = tmp_path_factory.mktemp("made")
    config = write_study(folder, lambdas=[0, 0.01], seeds=range(3), epochs=3)
    ledger = PROJECT / "reports" / "claims" / "exercise.yaml"
    found = []
    for groups in (None, {"numbers": {"test": " ".join(str(i % 7) for i in range(2000))}}):
        manifest = {"sha256": "0" * 64} | ({"groups": groups} if groups else {})
        (folder / "data.json").write_text(json.dumps(manifest))
        write_tables(config, ledger, folder)
        means = read_table(folder / "tables" / "means.csv")
        means = means[means["scope"] == SEEDS_AND_IMAGES]
        found.append((read_results(folder), means.set_index(["measure", "l2"])))
    return found


def test_intervals_of_tables_are_for_other_groups(results):
    (plain, before), (grouped, after) = results
    changed = before["high"] != after["high"]
    of_test = before.index.get_level_values("measure").isin(["test_accuracy", "gap_split"])
    of_val = before.index.get_level_values("measure").isin(["val_accuracy", "val_ce"])
    assert changed[of_test].all() and not changed[of_val].any()
    np.testing.assert_array_equal(before["mean"], after["mean"])
    # page and comparison need no more than how many there are
    assert grouped.data["groups"] == {"counts": {"test": 7}} and "groups" not in plain.data


def covered(study):
    return " ".join(answer.of(study).coverage)


def test_what_other_images_are_is_said(results):
    plain, grouped = (study for study, _ in results)
    for study, words in (
        (plain, ["test images, taken as independent"]),
        (grouped, ["test images of other groups (7 groups here)", "validation images taken as"]),
    ):
        assert all(word in covered(study) for word in words)
    assert "Fewer than 10 groups say little about others" in covered(grouped)


def test_groups_of_two_parts_are_named(results):
    data = {"groups": {"counts": {"val": 12, "test": 25}}}
    said = covered(dataclasses.replace(results[0][0], data=data))
    assert "of other groups (12 groups of validation and 25 groups of test images here)" in said
    assert "Fewer than" not in said

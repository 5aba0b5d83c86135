"""A crossed study: what a level of a source changes, what it costs, and what the runs are for."""

import csv
import itertools
import json
import re

import numpy as np
import pytest

from l2study.data.prepared import load
from project import STUDY, Project

pytestmark = pytest.mark.xdist_group("crossed")

VALIDATION = STUDY["validation"] | {"split": "stratified"}
LEVELS = {"weights": 2, "order": 2, "split": 2}
SEEDS = [0, 1, 100, 101, 10000, 10001, 10100, 10101]


def crossed(project, **levels):
    project.configure(seeds=LEVELS | levels, validation=VALIDATION, lambdas=[0, 0.03])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("crossed") / "study")
    project.shorten_report()
    crossed(project)
    project.make()
    return project


def record(project, seed, l2="0"):
    return json.loads((project.run_folder(l2, seed) / "run.json").read_text())


def history(project, seed):
    with open(project.run_folder("0", seed) / "history.csv") as file:
        return list(csv.DictReader(file))


def test_every_combination_is_a_run_with_its_sources(study):
    folders = sorted((study.results / "runs" / "l2~0").iterdir(), key=lambda p: int(p.name[5:]))
    assert [folder.name for folder in folders] == [f"seed~{seed}" for seed in SEEDS]
    found = [record(study, seed)["sources"] for seed in SEEDS]
    rows = itertools.product(range(2), repeat=3)
    assert found == [{"weights": w, "order": o, "split": s} for s, o, w in rows]
    assert len({record(study, seed)["weights_sha256"] for seed in SEEDS}) == len(SEEDS)


def test_a_level_of_one_source_leaves_the_others_as_they_are(study):
    """The network before any step shows the weights and the split that a run has."""
    start = {seed: history(study, seed)[0] for seed in SEEDS}
    for seed in SEEDS:
        weights, order, split = seed % 100, seed // 100 % 100, seed // 10000
        # another order, and the same split and weights
        assert start[seed]["val_ce"] == start[split * 10000 + (1 - order) * 100 + weights]["val_ce"]
        # other weights, and another split
        assert start[seed]["weight_norm"] != start[seed + 1 - 2 * weights]["weight_norm"]
        other = start[(1 - split) * 10000 + order * 100 + weights]
        assert start[seed]["val_ce"] != other["val_ce"]
        assert start[seed]["weight_norm"] == other["weight_norm"]
        assert start[seed]["test_ce"] == other["test_ce"]


def test_every_run_is_measured_with_its_own_rows(study):
    for l2 in ("0", "0.03"):
        measured = json.loads((study.results / "measures" / f"l2~{l2}.json").read_text())["runs"]
        assert {int(seed): run["weights_sha256"] for seed, run in measured.items()} == {
            seed: record(study, seed, l2)["weights_sha256"] for seed in SEEDS
        }
    first, second = (load(study.results / "data.json", {"split": split}) for split in range(2))
    assert first.counts == second.counts == {"train": 240, "validation": 60, "test": 90}
    assert not np.array_equal(first.images[first.train], second.images[second.train])
    np.testing.assert_array_equal(first.images[first.test], second.images[second.test])


def test_the_tables_have_all_runs_and_means_of_all(study):
    runs = study.table("runs")
    assert [int(row["seed"]) for row in runs] == SEEDS * 2
    assert {row["seed_sample"] for row in runs} == {""}
    assert [row["seed_split"] for row in runs[:8]] == ["0"] * 4 + ["1"] * 4
    gaps = study.table("gap")
    assert {row["n"] for row in gaps} == {"8"}
    own = [row for row in runs if row["l2"] == "0"]
    (mean,) = [
        float(row["mean"])
        for row in gaps
        if (row["l2"], row["epoch"], row["gap"]) == ("0", "3", "exchangeable")
        and row["scope"] == "seeds"
    ]
    assert mean == pytest.approx(np.mean([float(row["gap_exchangeable"]) for row in own]))
    (base,) = study.table("setups")
    assert (base["runs"], base["completed"], base["missing"]) == ("16", "16", "0")
    summary = (study.results / "report" / "summary.md").read_text()
    assert "16 runs (2 lambdas, 8 seeds each)" in summary


@pytest.mark.parametrize("source", LEVELS)
def test_a_further_level_trains_the_new_combinations_alone(study, tmp_path, source):
    project = study.copy(tmp_path / "copy")
    crossed(project, **{source: 3})
    text = project.make("--dry-run")
    rules = re.findall(r"^(?:local)?rule (\w+):$", text, re.MULTILINE)
    trained = re.findall(r"^ +wildcards: place=, l2=(\S+), seed=(\d+)$", text, re.MULTILINE)
    place = {"weights": 1, "order": 100, "split": 10000}[source]
    new = {(l2, str(2 * place + seed)) for l2 in ("0", "0.03") for seed in SEEDS
           if seed // place % 100 == 0}  # fmt: skip
    assert set(trained) == new and rules.count("train") == len(new) == 8
    assert rules.count("prepare") == 0 and rules.count("measure") == 2


def test_the_new_runs_join_those_that_are_there(study, tmp_path):
    project = study.copy(tmp_path / "copy")
    before = {seed: record(project, seed) for seed in SEEDS}
    crossed(project, split=3)
    done = project.program("plan", "--cores", "2", "--configfile", "tiny.yaml")
    assert done.stdout.startswith("24 runs: 16 kept, 8 to train\n")
    assert "3 split: 12 runs of every lambda" in done.stdout
    project.make("aggregate")
    assert {seed: record(project, seed) for seed in SEEDS} == before
    assert len(project.table("runs")) == 24

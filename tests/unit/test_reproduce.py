import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import reproduce as command
from l2study.core.files import read_json
from l2study.core.measures import MEASURES
from l2study.tables import reproduction
from l2study.tables.datapackage import file_hash
from reported import write_results

pytestmark = pytest.mark.slow  # makes whole studies

STUDY = {"lambdas": [0, 1e-4, 1e-2], "seeds": range(5), "epochs": 3}
CONFIDENCE = 0.95


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """A made-up study, the reference that was made of it, and the same study with other noise."""
    folder = tmp_path_factory.mktemp("studies")
    for name, noise in (("made-up", 0), ("other", 1)):
        write_results(folder / name, **STUDY, random_state=noise)
    command.keep(folder / "made-up", folder / "reference")
    return folder


@pytest.fixture
def place(studies, tmp_path):
    shutil.copytree(studies, tmp_path, dirs_exist_ok=True)
    return tmp_path


def written(path, **changes):
    """Change keys of a JSON file."""
    path.write_text(json.dumps(read_json(path) | changes))


def another_processor(reference):
    processor = read_json(reference / "made.json")["processor"]
    written(reference / "made.json", processor=processor | {"machine": "vax"})


def rewrite(folder, name, change):
    """Change a table and what the data package says of it, as one would who wants to cheat."""
    path = folder / "tables" / name
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        change(table)
        table.to_parquet(path, index=False)
    else:
        table = pd.read_csv(path)
        change(table)
        table.to_csv(path, index=False)
    package = folder / "tables" / "datapackage.json"
    resources = read_json(package)["resources"]
    for part in resources:
        if part["path"] == name:
            part["hash"] = file_hash(path)
    written(package, resources=resources)


def refusal(place, study="made-up"):
    with pytest.raises((command.ReproductionError, command.ReportError)) as caught:
        command.reproduce(place / study, place / "reference")
    (line,) = str(caught.value).splitlines()
    return line


def test_a_reference_has_what_made_it_and_no_name_of_a_machine(studies):
    made = read_json(studies / "reference" / "made.json")
    assert made["environments"][0]["runs"] == 15
    assert "hostname" not in json.dumps(made)
    assert len(made["lock_sha256"]) == 64
    kept = {path.name for path in (studies / "reference" / "tables").iterdir()}
    there = {path.name for path in (studies / "made-up" / "tables").iterdir()}
    assert there - kept == set(command.LEFT_OUT)
    assert kept < there


def test_the_same_histories_reproduce_it_on_another_machine_too(place):
    said = command.reproduce(place / "made-up", place / "reference")
    assert said.endswith("all 15 histories equal the reference's byte for byte")
    means = pd.read_csv(place / "made-up" / "reproduction.csv")
    assert means["inside"].all()
    runs = pd.read_csv(place / "made-up" / "tables" / "runs.csv")
    assert len(means) == 3 * sum(name in runs for name in MEASURES)
    another_processor(place / "reference")
    said = command.reproduce(place / "made-up", place / "reference")
    assert said.endswith("instead of vax")


def test_a_history_that_differs_in_the_last_bit_does_not(place):
    def change(table):
        row = table.index[(table["l2"] == 1e-4) & (table["seed"] == 3) & (table["epoch"] == 2)]
        table.loc[row, "val_ce"] = np.nextafter(table.loc[row, "val_ce"], 1)

    rewrite(place / "reference", "histories.parquet", change)
    line = refusal(place)
    assert "the machine is of the same kind, and 1 of 15 histories differ" in line
    assert line.endswith("first at l2 0.0001, seed 3, epoch 2")


def test_nor_do_equal_histories_with_a_mean_that_was_changed(place):
    def change(table):
        table.loc[table["l2"] == 0.01, "jacobian_norm"] += 1

    rewrite(place / "reference", "runs.csv", change)
    line = refusal(place)
    assert "above all jacobian_norm at lambda 0.01 of base" in line


def test_other_noise_reproduces_it_on_another_machine_only(place):
    assert "machine is of the same kind" in refusal(place, "other")
    another_processor(place / "reference")
    said = command.reproduce(place / "other", place / "reference")
    assert "means lie outside the joint 95 % interval, and chance allows" in said


def test_many_small_differences_do_not(place):
    def change(table):
        for name in set(MEASURES) & set(table):
            table[name] += 1.5 * table.groupby("l2")[name].transform("std").fillna(0)

    another_processor(place / "reference")
    rewrite(place / "reference", "runs.csv", change)
    numbers = re.search(r"reference: (\d+) .*chance allows (\d+)", refusal(place, "other"))
    outside, allowed = map(int, numbers.groups())
    assert outside > allowed


def test_a_table_that_is_not_the_one_described_is_refused(place):
    with open(place / "reference" / "tables" / "runs.csv", "a") as file:
        file.write("\n")
    assert "runs.csv: is not what datapackage.json describes" in refusal(place)


def configured(folder, **keys):
    """Let the tables in a folder say that they are of another configuration."""
    path = folder / "tables" / "datapackage.json"
    written(path, config=read_json(path)["config"] | keys)


@pytest.mark.parametrize(
    ("key", "value"), [("training", {"epochs": 4}), ("seeds", [0, 1]), ("factors", {"a": {}})]
)
def test_another_study_is_refused(place, key, value):
    configured(place / "made-up", **{key: value})
    assert refusal(place).endswith(f"they differ in {key}")


def test_other_data_are_refused(place):
    package = place / "reference" / "tables" / "datapackage.json"
    written(package, data={"base": {"sha256": "1"}})
    assert "does not have the data of" in refusal(place)


def test_what_changes_no_run_is_no_other_study(place):
    changed = {"confidence": 0.9, "reference_lambda": "0.0001", "claims": "general"}
    configured(place / "made-up", **changed, choose_by="val_accuracy")
    assert "byte for byte" in command.reproduce(place / "made-up", place / "reference")


def test_a_study_without_a_reference_is_told_which_there_are(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    (place / "new.yaml").write_text("study: new\n")
    (place / "results").mkdir()
    monkeypatch.setattr(command, "REFERENCE", place)
    (place / "made-up").rename(place / "results" / "new")
    configfile = ["--configfile", "new.yaml"]
    with pytest.raises(SystemExit) as caught:
        command.main(configfile)
    assert caught.value.code == "new: there is no such reference; there are reference"
    command.main([*configfile, "--keep"])
    assert capsys.readouterr().out == "new: has the tables of 15 runs\n"
    command.main(configfile)


# --- the numbers ----------------------------------------------------------------------------------


def made_runs(stream, seeds=5, shift=0.0):
    """Runs whose measures depend on one another."""
    rows = [("base", l2, seed) for l2 in (0, 0.01) for seed in range(seeds)]
    table = pd.DataFrame(rows, columns=reproduction.RUN)
    common = stream.normal(size=len(rows))
    for name in list(MEASURES)[:12]:
        table[name] = shift + common + stream.normal(size=len(rows))
    return table


def test_the_joint_interval_is_welch_s():
    stream = np.random.default_rng(3)
    ours, reference = made_runs(stream), made_runs(stream)
    ours.loc[2, "val_ce"] = np.nan  # of a run that diverged
    table = reproduction.compared_means(ours, reference, 0.9).set_index(["l2", "measure"])
    row = table.loc[(0, "val_ce")]
    a = ours.loc[ours["l2"] == 0, "val_ce"].dropna()
    b = reference.loc[reference["l2"] == 0, "val_ce"]
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    assert (row["n"], row["n_reference"]) == (4, 5)
    assert row["difference"] == pytest.approx(a.mean() - b.mean())
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected))
    assert (table["inside"] == ((table["low"] <= 0) & (table["high"] >= 0))).all()


def test_a_lambda_that_diverged_on_one_machine_alone_is_outside():
    ours = made_runs(np.random.default_rng(3))
    reference = ours.copy()
    reference.loc[reference["l2"] == 0.01, list(MEASURES)[:12]] = np.nan
    table = reproduction.compared_means(ours, reference, CONFIDENCE)
    assert table.groupby("l2")["inside"].agg(["all", "any"]).to_numpy().tolist() == [
        [True, True],
        [False, False],
    ]


def test_faithful_studies_are_refused_as_often_as_chance_says(monkeypatch):
    """Also where measures depend on one another; and a large shift is seen."""
    monkeypatch.setattr(reproduction, "SWAPS", 99)
    stream = np.random.default_rng(0)
    refused = {0.0: 0, 2.0: 0}
    for shift in refused:
        for _ in range(40):
            ours, reference = made_runs(stream), made_runs(stream, shift=shift)
            outside = ~reproduction.compared_means(ours, reference, CONFIDENCE)["inside"]
            allowed = reproduction.outside_by_chance(ours, reference, CONFIDENCE)
            refused[shift] += outside.sum() > allowed
    assert refused[0.0] <= stats.binom.ppf(0.999, 40, 1 - CONFIDENCE)
    assert refused[2.0] >= 16

"""The results that travel with the project say the same in words and in tables."""

import re

import pandas as pd
import pytest
import yaml

from l2study.core.config import read_config
from l2study.core.files import read_json
from l2study.report.study import read_package, read_tables
from tiny import PROJECT

FOLDER = PROJECT / "reference" / "confirmatory"
NAMES = sorted(tables.parent.name for tables in (PROJECT / "reference").glob("*/tables"))
STUDIES = {name: f"studies/{name}.yaml" for name in NAMES} | {"mnist": "config.yaml"}


def test_the_page_has_the_verdicts_and_estimates_of_the_table():
    claims = pd.read_csv(FOLDER / "claims.csv")
    whole = claims[claims["estimand"] == "overall"].set_index("id")["verdict"].to_dict()
    page = (FOLDER / "README.md").read_text()
    rows = re.findall(r"^\| ([\w-]+) \| ([a-z ]+) \| ([a-z ]+) \|", page, re.M)
    assert {claim: verdict for claim, verdict, _ in rows if claim != "claim"} == whole
    words = " ".join(page.split())
    said = re.findall(r"`([\w.]+)` at lambda ([\d.]+)[^:]*: (\S+) \((\S+) to (\S+)\)", words)
    assert len(said) >= 8
    for measure, l2, *numbers in said:
        at = claims[(claims["measure"] == measure) & (claims["l2"] == float(l2))]
        found = {
            tuple(f"{scale * row[name]:.{digits}f}" for name in ("estimate", "low", "high"))
            for _, row in at.iterrows()
            for scale, digits in ((100, 2), (1, 2), (1, 4))
        }
        assert tuple(number.replace("−", "-") for number in numbers) in found, (measure, l2)


def test_the_study_names_the_commit_in_which_its_rules_were_frozen():
    text = (PROJECT / "studies" / "confirmatory.yaml").read_text()
    (commit,) = re.findall(r"in commit (\w{7})", text)
    assert f"commit {commit}" in (FOLDER / "README.md").read_text()
    claims = pd.read_csv(FOLDER / "claims.csv")
    seeds = len(yaml.safe_load(text)["seeds"])
    assert seeds == 30
    assert set(claims.loc[claims["statistic"] == "difference", "n"]) == {seeds}


@pytest.mark.parametrize("study", STUDIES)
class TestReference:
    def test_is_of_the_study_as_it_is_configured(self, study):
        config = read_config(PROJECT / STUDIES[study])
        package = read_package(PROJECT / "reference" / study)
        assert package["config"] == {k: v for k, v in config.items() if k != "tensorboard"}

    def test_is_whole(self, study):
        folder = PROJECT / "reference" / study
        package = read_package(folder)
        tables = read_tables(folder, package)  # checks every checksum
        assert set(tables["runs"]["setup"]) == set(package["data"])
        assert (tables["setups"]["missing"] == 0).all()
        assert len(tables["runs"]) == tables["setups"]["runs"].sum() > 0
        there = {path.name for path in (folder / "tables").iterdir()} - {"datapackage.json"}
        assert there == {part["path"] for part in package["resources"]}

    def test_was_made_by_the_packages_of_the_lock(self, study):
        made = read_json(PROJECT / "reference" / study / "made.json")
        lock = (PROJECT / "envs" / "requirements.txt").read_text()
        pinned = dict(re.findall(r"^([\w-]+)==([\w.]+)", lock, re.M))
        pinned["tensorflow"] = pinned["tensorflow-cpu"]
        for one in made["environments"]:
            assert {k: one[k] for k in ("tensorflow", "keras", "numpy")} == {
                k: pinned[k] for k in ("tensorflow", "keras", "numpy")
            }
        assert re.fullmatch(r"[0-9a-f]{12}", made["commit"]), "made with changes not committed"


def test_the_references_stay_small():
    files = [path for path in (PROJECT / "reference").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 18e6

"""The results that travel with the project say the same in words and in tables."""

import re

import pandas as pd
import yaml

from tiny import PROJECT

FOLDER = PROJECT / "reference" / "confirmatory"


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

"""docs/findings.md says what the tables in reference/ say."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import findings as command
from l2study.core.files import read_json
from l2study.report.findings_page import PICTURES, TEMPLATE, FindingsError, findings
from l2study.tables.datapackage import file_hash
from tiny import PROJECT

pytestmark = pytest.mark.slow  # draws


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("findings")
    command.main(["--output", str(folder)])
    return folder


def test_the_page_is_what_the_tables_give(made):
    written = (PROJECT / "docs" / "findings.md").read_text()
    assert written == (made / "findings.md").read_text(), "write it again: make findings"


@pytest.mark.parametrize("name", PICTURES)
def test_so_are_its_pictures(made, name):
    """But for what another processor may round in a shade."""
    written, drawn = (
        np.asarray(Image.open(folder / "findings" / name).convert("RGB"), int)
        for folder in (PROJECT / "docs", made)
    )
    assert written.shape == drawn.shape
    assert abs(written - drawn).max() <= 16, "draw it again: make findings"


def test_there_is_no_other_picture_and_each_is_shown():
    there = {path.name for path in (PROJECT / "docs" / "findings").iterdir()}
    pages = [(PROJECT / name).read_text() for name in ("README.md", "docs/findings.md")]
    assert there == set(PICTURES) == {n for n in there if any(f"findings/{n})" in p for p in pages)}


@pytest.fixture
def project(tmp_path):
    """What the page is made from, to be changed."""
    shutil.copytree(PROJECT / "reference", tmp_path / "reference")
    (tmp_path / TEMPLATE).parent.mkdir()
    shutil.copy(PROJECT / TEMPLATE, tmp_path / TEMPLATE)
    return tmp_path


def rewrite(project, study, table, change):
    folder = project / "reference" / study / "tables"
    rows = pd.read_csv(folder / f"{table}.csv")
    change(rows)
    rows.to_csv(folder / f"{table}.csv", index=False)
    package = read_json(folder / "datapackage.json")
    for part in package["resources"]:
        if part["path"] == f"{table}.csv":
            part["hash"] = file_hash(folder / f"{table}.csv")
    (folder / "datapackage.json").write_text(json.dumps(package))


def test_another_number_in_a_table_is_another_page(project):
    def change(best):
        best.loc[best["setup"] == "base", "test_accuracy_difference"] += 0.0123

    rewrite(project, "when-it-helps", "best", change)
    assert findings(project)[0] != (PROJECT / "docs" / "findings.md").read_text()


def test_a_sentence_that_no_longer_holds_ends_the_program(project):
    def change(means):
        means.loc[means["measure"] == "gap_reported", ["mean", "low", "high"]] += 1

    rewrite(project, "robustness", "means", change)
    with pytest.raises(FindingsError) as caught:
        findings(project)
    said = f"{TEMPLATE}: the reference results no longer say: the reported gap is negative"
    assert str(caught.value) == said

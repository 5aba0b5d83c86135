"""The worked examples of docs/extending.md, all of them, in one copy of the project."""

import re
import subprocess
import sys

import pandas as pd
import pytest

from project import Project
from tiny import PROJECT

pytestmark = pytest.mark.xdist_group("extending")

EXAMPLES = (PROJECT / "docs" / "extending.md").read_text()


def apply(project, path, block):
    """Change the file `path` of the copy as a `diff` block of the page says."""
    lines = block.splitlines(keepends=True)
    assert all(line[0] in " +" for line in lines), block
    before = "".join(line[1:] for line in lines if line[0] == " ")
    after = "".join(line[1:] for line in lines)
    file = project.folder / path
    text = file.read_text() if before else ""
    assert bool(before) == file.exists(), path
    assert not before or text.count(before) == 1, f"{path} has no such place:\n{before}"
    file.write_text(text.replace(before, after) if before else after)


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """The study of a copy with every example of the page."""
    project = Project(tmp_path_factory.mktemp("extended"))
    project.trains_itself = True
    project.shorten_report()
    changed = set()
    pattern = r"^`([\w./]+)`$|^```(\w+)\n(.*?)^```$"
    path = None
    for named, kind, block in re.findall(pattern, EXAMPLES, re.MULTILINE | re.DOTALL):
        path = named or path
        if kind == "diff":
            apply(project, path, block)
            changed.add(path)
        else:
            assert not kind, f"this test does not know what to do with a block of {kind}"
    assert len(changed) == 5
    project.make()
    return project


def test_measure_claim_and_figure_are_there(extended):
    runs = pd.read_csv(extended.results / "tables" / "runs.csv")
    assert runs["overconfidence"].between(-1, 1).all()
    assert len(set(runs["overconfidence"])) > 1
    contrasts = pd.read_csv(extended.results / "tables" / "contrasts.csv")
    assert "overconfidence" in set(contrasts["measure"])
    claims = pd.read_csv(extended.results / "tables" / "claims.csv")
    rows = claims[claims["id"] == "overconfidence"]
    assert set(rows["estimand"]) > {"overall"}
    assert (rows["verdict"].notna() | rows["conclusion"].notna()).all()
    assert (extended.results / "report" / "figures" / "overconfidence.png").stat().st_size > 0
    page = (extended.results / "report" / "report.html").read_text()
    assert "more confident than it is right" in page


def test_the_examples_are_as_the_tools_want_code(extended):
    command = [sys.executable, "-m", "ruff", "check", "scripts"]
    done = subprocess.run(command, cwd=extended.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout

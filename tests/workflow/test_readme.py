"""The documentation: links, configurations, tables and what commands name; the README's are run."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from l2study.core.config import check
from l2study.core.design import Design
from l2study.core.measures import MEASURES
from l2study.core.scope_rows import for_seeds
from project import STUDY
from tiny import PROJECT

# The commands share a copy of the study.
pytestmark = pytest.mark.xdist_group("readme")

DOCS = sorted(f"docs/{path.name}" for path in (PROJECT / "docs").glob("*.md"))
PAGES = ["README.md", "CONTRIBUTING.md", *DOCS]
LINKED = [*PAGES, "CHANGELOG.md"]
LINKED += [f"{folder}/README.md" for folder in ("benchmarks", "profiles", "reference")]


def read(page):
    return (PROJECT / page).read_text()


def blocks(page, kind):
    """Return the text of every block of `kind` on a page of the project."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == kind]


def commands(page):
    lines = "".join(blocks(page, "sh")).replace("\\\n", "").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


def table(page, first):
    """Return the rows of the table of `page` whose head begins with `first`, without code marks."""
    rows = re.search(rf"^\| {first} \|.*\n(?:\|.*\n)+", read(page), re.MULTILINE)
    cells = [line.strip("| ").split(" | ") for line in rows.group().replace("`", "").splitlines()]
    return cells[2:]


# ---- commands


@pytest.fixture(scope="module")
def copy(finished, tmp_path_factory):
    """A copy in which config.yaml is the finished study, whose report is to be made again."""
    project = finished.copy(tmp_path_factory.mktemp("readme") / "study")
    project.shorten_report()
    folder = project.folder
    config = yaml.safe_load((folder / "config.yaml").read_text())
    update_config(config, STUDY)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    # the same data have too few images for the whole of it
    quick = yaml.safe_load((folder / "studies" / "quick.yaml").read_text())
    quick = {key: quick[key] for key in ("study", "lambdas", "seeds")}
    (folder / "studies" / "quick.yaml").write_text(yaml.safe_dump(quick))
    (mine,) = [text for text in blocks("README.md", "yaml") if "study: mine\n" in text]
    (folder / "mine.yaml").write_text(mine)
    (project.results / "report" / "report.html").unlink()
    # `make` finds an environment that is complete: the one of these tests
    (folder / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name != "complete":
            (folder / ".venv" / path.name).symlink_to(path)
    (folder / ".venv" / "complete").touch()
    (folder / "dry").mkdir()
    (folder / "dry" / "config.yaml").write_text("dry-run: true\n")
    return folder


def run(folder, command, **environment):
    own = {k: v for k, v in os.environ.items() if not k.startswith(("L2STUDY", "TF_XLA", "MAKE"))}
    return subprocess.run(
        command.split(),
        cwd=folder,
        env=own | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("command", commands("README.md"))
def test_command_of_the_readme(copy, command):
    """The first makes the study; other studies are only planned, and other targets only shown."""
    if command == "make study":
        done = run(copy, command)
        assert "Done in" in done.stdout
    elif command.startswith("make plan "):
        done = run(copy, command)
        assert "20 to train" in done.stdout
    elif command.startswith("make study "):
        done = run(copy, command, SNAKEMAKE_PROFILE="dry")
        assert re.search(r"^train +\d+$", done.stdout, re.MULTILINE)
    else:
        done = run(copy, command.replace("make", "make --dry-run", 1))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("mistake", ["make study mine.yaml", "make plan config=mine.yaml"])
def test_a_configuration_that_make_would_not_see_is_refused(mistake):
    done = run(PROJECT, mistake)
    assert done.returncode != 0
    (line,) = done.stdout.splitlines()
    assert "a configuration is given" in line and "CONFIG=mine.yaml" in line


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_what_is_there(page):
    """Targets of make, and files of the project."""
    targets = re.search(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)[1].split()
    for command in commands(page):
        assert set(re.findall(r"\bmake ([a-z-]+)\b", command)) <= set(targets), command
        for path in re.findall(r"(?<![\w/])(?:scripts|docs|studies|profiles|tests)/\S+", command):
            assert (PROJECT / path).exists(), command


# ---- what pages say of the code


def test_claims_are_those_of_the_ledger():
    ledger = yaml.safe_load(read("reports/claims/exercise.yaml"))
    names = [row[0] for row in table("docs/exercise.md", "name")]
    assert names == [claim["id"] for claim in ledger["claims"]]


def test_gaps_are_computed_as_the_page_says(finished):
    tables = finished.results / "tables"
    histories = pd.read_csv(tables / "histories.csv").query("epoch == epoch.max()")
    gaps = for_seeds(pd.read_csv(tables / "gap.csv").query("epoch == epoch.max()"))
    formulas = dict(table("docs/results.md", "gap"))
    # the validation images of this study are the tail
    assert formulas.pop("exchangeable").startswith(formulas["endpoint"])
    for gap in ("lag_averaging", "lag_mode"):  # which this model has none of
        assert MEASURES[f"gap_{gap}"].optional and "training_mode" in formulas.pop(gap)
    assert set(formulas) <= set(gaps["gap"])
    for gap, formula in formulas.items():
        expected = histories.eval(formula).groupby(histories["l2"]).mean()
        computed = gaps[gaps["gap"] == gap].set_index("l2")["mean"]
        pd.testing.assert_series_equal(computed, expected, check_names=False, atol=1e-12)


def test_packages_and_stages_are_those_of_the_code():
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if "layers" in contract]
    assert [row[0] for row in table("docs/structure.md", "package")] == layers[::-1]
    rules = "".join(path.read_text() for path in (PROJECT / "rules").glob("*.smk"))
    stages = {row[0] for row in table("docs/structure.md", "stage")}
    assert stages == set(re.findall(r"^rule (\w+):", rules, re.MULTILINE))


@pytest.mark.parametrize(
    ("page", "text"), [(page, text) for page in PAGES for text in blocks(page, "yaml")]
)
def test_configuration_is_allowed(page, text, tmp_path, monkeypatch):
    for code in blocks(page, "python"):  # the files that it names, from the same page
        if code.startswith("# "):
            (tmp_path / code.partition("\n")[0][2:]).write_text(code)
    monkeypatch.chdir(tmp_path)
    merged = yaml.safe_load(read("config.yaml"))
    update_config(merged, yaml.safe_load(text))
    Design.of(check(merged))


# ---- links


def test_every_page_can_be_reached_from_the_readme():
    assert all(f"]({page})" in read("README.md") for page in DOCS)


@pytest.mark.parametrize("page", LINKED)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (PROJECT / page).parent / path if path else PROJECT / page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in headings]
            assert anchor in slugs, target


def test_citation_says_the_same_as_other_files():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["title"] == read("README.md").splitlines()[0].strip("# ")
    assert read("LICENSE").startswith(f"{citation['license']} License")
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert citation["version"] == version
    headings = re.findall(r"^## (.*)$", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[:2] == ["[Unreleased]", f"[{version}] - {citation['date-released']}"]

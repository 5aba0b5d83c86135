"""Every command of the documentation is run, and every link, table and configuration checked.

Commands are the lines of ```sh blocks. They are run in a copy of the finished tiny study, in which
config.yaml is that study: so `mnist` is `tiny` in every command, and little is left to train. Where
a command would still take too long, or change the machine, `HOW` says what is run instead. A
command that is not in `HOW` fails.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from l2study.core.config import check
from l2study.core.scope_rows import for_seeds
from project import STUDY
from tiny import PROJECT

# The commands share a copy of the study.
pytestmark = pytest.mark.xdist_group("readme")

PAGES = [
    "README.md",
    "docs/running.md",
    "docs/anywhere.md",
    "docs/data-and-models.md",
    "docs/results.md",
    "docs/lesson.md",
    "docs/structure.md",
    "CONTRIBUTING.md",
]
FENCED = [*PAGES, "CHANGELOG.md", "docs/extending.md"]
LINKED = [
    *FENCED,
    "docs/cluster.md",
    "docs/findings.md",
    "benchmarks/README.md",
    "profiles/README.md",
    "reference/README.md",
]


@dataclass
class How:
    """How a command is run and what it is expected to print."""

    shows: str
    dry: bool = False
    """Snakemake is told, by a profile in the environment, to say what it would do."""
    instead: str | None = None
    """What is run in place of the command, with the command as {}."""
    here: bool = False
    """It is about the code, not a study: it is run in the project itself."""


# The other study of the comparison: the same runs at one of the lambdas.
AGGREGATE = (
    "python scripts/aggregate.py --config one_lambda.yaml --claims reports/claims/exercise.yaml"
    " --results results/quick"
)
HOW = {
    "make study": How("Done in .*: results/tiny/report/report.html"),
    "make test": How("python -m pytest", instead="make --dry-run test"),
    "make study CONFIG=studies/quick.yaml": How(r"train +9\b", dry=True),
    # what these two start has a line of its own
    "make plan CONFIG=mine.yaml": How(
        r"python scripts/plan.py --configfile mine.yaml$", instead="{} --dry-run"
    ),
    "make study CONFIG=mine.yaml": How(
        r"snakemake --cores all --configfile mine.yaml$", instead="{} --dry-run"
    ),
    # docs/running.md
    "snakemake --cores 4": How("Nothing to be done"),
    "python scripts/plan.py --cores 2 --configfile mine.yaml": How("20 to train"),
    'snakemake --cores 2 --config study=short "training={epochs: 2}" "seeds=[0, 1]"': How(
        r"train +6\b", dry=True
    ),
    "python scripts/check_config.py mine.yaml": How(""),
    "snakemake --cores 2 --configfile mine.yaml": How(r"train +20\b", dry=True),
    "make adopt CONFIG=mine.yaml": How(
        "python scripts/adopt.py mine.yaml$", instead="{} --dry-run"
    ),
    "python scripts/adopt.py mine.yaml": How(
        "6 of the 6 runs that are there are kept", instead="cp -r results/mnist results/mine && {}"
    ),
    "tail -f logs/mnist/train/l2~0.001/seed~0.log": How("epoch 3/3: ", instead="timeout 1 {}"),
    # docs/anywhere.md
    "snakemake -s CLONE/Snakefile --cores 4 --configfile mine.yaml": How(
        r"train +20\b", dry=True, instead="cd ELSEWHERE && {}"
    ),
    "snakemake --directory ELSEWHERE --cores 4": How(r"train +9\b", dry=True),
    # tests/workflow/test_container.py runs these where they can be run
    **{
        f"{program} build --tag l2study --file Containerfile .": How("build", instead="echo {}")
        for program in ("docker", "podman")
    },
    'docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" l2study'
    " --configfile mine.yaml": How(r"--user \d+:\d+ --volume /", instead="echo {}"),
    'podman run --rm --userns keep-id --user "$(id -u):$(id -g)" --volume "$PWD:/work" l2study'
    " --configfile mine.yaml": How(r"--user \d+:\d+ --volume /", instead="echo {}"),
    # docs/results.md
    "python scripts/compare.py results/mnist results/quick --output comparison.html": How(
        "comparison.html", instead=f"cp -r results/mnist results/quick && {AGGREGATE} && {{}}"
    ),
    "make reproduce CONFIG=studies/exercise.yaml": How(
        "reproduce.py --configfile studies/exercise.yaml", instead="{} --dry-run"
    ),
    "python scripts/reproduce.py --configfile mine.yaml --keep": How(
        "all 9 histories are equal to the reference's",
        instead="{} && python scripts/reproduce.py --configfile mine.yaml",
    ),
    "snakemake --cores 1 --report workflow.html": How("Report created"),
    # docs/lesson.md
    "make lesson": How("papermill .*docs/lesson.ipynb", instead="make --dry-run lesson"),
    "jupyter nbconvert --to html --output-dir results docs/lesson.ipynb": How("Writing"),
    "papermill docs/lesson.ipynb short.ipynb -p seeds 3 -p epochs 2 -p images 2000": How(
        "Output Notebook: *short.ipynb", instead="{} --prepare-only"
    ),
    # docs/structure.md
    "python scripts/prepare.py --config config.yaml --output one/data.json": How(""),
    "python scripts/train.py --config config.yaml --data one/data.json --l2 1e-4 --seed 0"
    " --output one/run": How("epoch 3/3: "),
    # CONTRIBUTING
    "make setup": How("--require-hashes", instead="make --dry-run --always-make setup"),
    "make check": How("python -m pytest", instead="make --dry-run check"),
    "make test-deps": How("apt-get", instead="make --dry-run test-deps"),
    "make lock": How("uv pip compile", instead="make --dry-run lock"),
    "python -m pytest tests/unit/test_statistics.py": How(
        r"\d tests collected", instead="{} --collect-only -q", here=True
    ),
    "python -m pytest -k interval tests/unit/test_statistics.py": How(
        r"\d/\d+ tests collected", instead="{} --collect-only -q", here=True
    ),
    "ruff check .": How("All checks passed", here=True),
    "ruff format --check .": How("already formatted", here=True),
    "snakefmt --check Snakefile rules": How("would be left unchanged", here=True),
    "snakemake --lint": How("Congratulations", here=True),
}


def blocks(page, kind):
    """Return the text of every block of `kind` on a page of the project."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (PROJECT / page).read_text(), re.M | re.S)
    return [text for name, text in found if name == kind]


def commands(page):
    lines = "".join(blocks(page, "sh")).replace("\\\n", "").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


COMMANDS = list(dict.fromkeys(command for page in PAGES for command in commands(page)))


@pytest.fixture(scope="module")
def copy(finished, tmp_path_factory):
    """The folder that commands are run in: the finished study, whose report is to be made again."""
    project = finished.copy(tmp_path_factory.mktemp("readme") / "study")
    project.shorten_report()
    folder = project.folder
    config = yaml.safe_load((folder / "config.yaml").read_text())
    update_config(config, STUDY)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    other = config | {"study": "quick", "lambdas": [0]}
    (folder / "one_lambda.yaml").write_text(yaml.safe_dump(other))
    quick = yaml.safe_load((folder / "studies" / "quick.yaml").read_text())
    quick = {key: quick[key] for key in ("study", "lambdas", "seeds")}
    (folder / "studies" / "quick.yaml").write_text(yaml.safe_dump(quick))
    (mine,) = [text for text in blocks("README.md", "yaml") if "study: mine\n" in text]
    (folder / "mine.yaml").write_text(mine)
    (folder / "results" / "tiny" / "report" / "report.html").unlink()
    # `make` finds an environment that is complete: the one of these tests
    (folder / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name != "complete":
            (folder / ".venv" / path.name).symlink_to(path)
    (folder / ".venv" / "complete").touch()
    # another folder, with data at the same relative path
    (folder / "ELSEWHERE").mkdir()
    for name in ("tiny.npz", "mine.yaml"):
        shutil.copy(folder / name, folder / "ELSEWHERE")
    return folder


def run(folder, command, dry):
    own = {k: v for k, v in os.environ.items() if not k.startswith(("L2STUDY", "TF_XLA", "MAKE"))}
    path = os.pathsep.join([str(folder / ".venv" / "bin"), str(Path(sys.executable).parent)])
    environment = own | {"PATH": os.pathsep.join([path, own["PATH"]])}
    if dry:
        profile = folder / "dry"
        profile.mkdir(exist_ok=True)
        (profile / "config.yaml").write_text("dry-run: true\n")
        environment["SNAKEMAKE_PROFILE"] = str(profile)
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_command(copy, command):
    """In the order of the pages: `make study` is the first, and finishes the study."""
    assert command in HOW, "say in HOW how this command is tested"
    how = HOW[command]
    line = (how.instead or "{}").replace("{}", command)
    line = line.replace("mnist", "tiny").replace("CLONE", str(copy))
    done = run(PROJECT if how.here else copy, line, how.dry)
    assert done.returncode == 0 or line.startswith("timeout"), done.stdout
    assert re.search(how.shows, done.stdout, re.MULTILINE), done.stdout
    assert ("This was a dry-run" in done.stdout) == how.dry


@pytest.mark.parametrize("mistake", ["make study mine.yaml", "make plan config=mine.yaml"])
def test_a_configuration_that_make_would_not_see_is_refused(mistake):
    done = run(PROJECT, mistake, dry=False)
    assert done.returncode != 0
    (line,) = done.stdout.splitlines()
    assert "a configuration is given" in line and "CONFIG=mine.yaml" in line


def test_every_way_of_running_belongs_to_a_command():
    assert set(HOW) == set(COMMANDS)


def table(page, first):
    """Return the rows of the table of `page` whose head begins with `first`, without code marks."""
    rows = re.search(rf"^\| {first} \|.*\n(?:\|.*\n)+", (PROJECT / page).read_text(), re.MULTILINE)
    cells = [line.strip("| ").split(" | ") for line in rows.group().replace("`", "").splitlines()]
    return cells[2:]


def test_claims_are_those_of_the_ledger():
    ledger = yaml.safe_load((PROJECT / "reports" / "claims" / "exercise.yaml").read_text())
    assert [row[0] for row in table("README.md", "name")] == [c["id"] for c in ledger["claims"]]


def test_gaps_are_computed_as_the_page_says(finished):
    tables = finished.results / "tables"
    histories = pd.read_csv(tables / "histories.csv").query("epoch == epoch.max()")
    gaps = for_seeds(pd.read_csv(tables / "gap.csv").query("epoch == epoch.max()"))
    formulas = dict(table("docs/results.md", "gap"))
    # The validation images of this study are the tail.
    assert set(formulas) - set(gaps["gap"]) == {"exchangeable"}
    for gap, formula in formulas.items():
        if gap == "exchangeable":
            assert formula.startswith(formulas["endpoint"])
            continue
        expected = histories.eval(formula).groupby(histories["l2"]).mean()
        computed = gaps[gaps["gap"] == gap].set_index("l2")["mean"]
        pd.testing.assert_series_equal(computed, expected, check_names=False, atol=1e-12)


def test_packages_are_in_the_order_of_their_imports():
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    (layers,) = [
        c["layers"] for c in settings["tool"]["importlinter"]["contracts"] if "layers" in c
    ]
    assert [row[0] for row in table("docs/structure.md", "package")] == layers[::-1]


def test_stages_are_the_rules():
    rules = "".join(path.read_text() for path in (PROJECT / "rules").glob("*.smk"))
    stages = {row[0] for row in table("docs/structure.md", "stage")}
    assert stages == set(re.findall(r"^rule (\w+):", rules, re.MULTILINE))


def test_every_page_can_be_reached_from_the_readme():
    text = (PROJECT / "README.md").read_text()
    for page in (PROJECT / "docs").glob("*.md"):
        assert f"](docs/{page.name})" in text


@pytest.mark.parametrize("page", FENCED)
def test_code_is_in_blocks_that_say_what_it_is(page):
    text = (PROJECT / page).read_text()
    kinds = re.findall(r"^```(.*)$", text, re.MULTILINE)
    assert set(kinds[::2]) <= {"sh", "yaml", "text", "diff", "python"}
    assert set(kinds[1::2]) <= {""}
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"\n\n {4}", outside), "a block without a fence would not be tested"


@pytest.mark.parametrize("text", [text for page in PAGES for text in blocks(page, "yaml")])
def test_configuration_is_allowed(text):
    merged = yaml.safe_load((PROJECT / "config.yaml").read_text())
    update_config(merged, yaml.safe_load(text))
    assert check(merged, defaults=False)["study"] != "mnist"


@pytest.mark.parametrize("page", LINKED)
def test_links_lead_somewhere(page):
    text = (PROJECT / page).read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (PROJECT / page).parent / path if path else PROJECT / page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in headings]
            assert anchor in slugs, target


def test_citation_has_what_the_format_asks_for():
    """The required keys of the Citation File Format 1.2.0, and the same facts as elsewhere."""
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"] == (PROJECT / "README.md").read_text().splitlines()[0].strip("# ")
    for author in citation["authors"]:
        assert author.keys() & {"name", "family-names"}
        assert author["name"].removeprefix("The ") in (PROJECT / "LICENSE").read_text()
    assert citation["type"] == "software"
    assert (PROJECT / "LICENSE").read_text().startswith(f"{citation['license']} License")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"]
    headings = re.findall(r"^## (.*)$", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert headings[1] == f"[{project['version']}] - {citation['date-released']}"

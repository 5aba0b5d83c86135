"""Every command of the README and of CONTRIBUTING is run, and every link and configuration checked.

Commands are the lines of ```sh blocks. They are run word by word in a copy of the project in which
config.yaml and studies/*.yaml have tiny data, two epochs and few runs under their own names, with
an installed `.venv`. Where even that would take too long, or change the machine, `HOW` says what is
run instead. A command that is not in `HOW` fails.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from l2study.config import check
from project import STUDY, Project
from tiny import PROJECT, write_npz

PAGES = ["README.md", "CONTRIBUTING.md"]
FENCED = [*PAGES, "CHANGELOG.md", "docs/extending.md"]
LINKED = [*FENCED, "docs/cluster.md", "benchmarks/README.md"]


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


HOW = {
    "make study": How("Done in .*: results/mnist/report/report.html"),
    "make test": How("python -m pytest", instead="make --dry-run test"),
    "make study CONFIG=studies/quick.yaml": How(r"train +\d", dry=True),
    "tail -f logs/mnist/train/l2~0.001/seed~0.log": How("epoch 2/2: ", instead="timeout 2 {}"),
    "snakemake --cores 4": How("Nothing to be done"),
    "make plan CONFIG=mine.yaml": How("20 runs: 0 kept, 20 to train"),
    "make study CONFIG=mine.yaml": How(r"train +20\b", dry=True),
    "python scripts/plan.py --cores 2 --configfile mine.yaml": How("20 to train"),
    "snakemake --cores 2 --configfile mine.yaml": How(r"train +20\b", dry=True),
    "python scripts/compare.py results/mnist results/quick --output comparison.html": How(
        "comparison.html"
    ),
    "python scripts/prepare.py --config config.yaml --output one/data.json": How(""),
    "python scripts/train.py --config config.yaml --data one/data.json --l2 1e-4 --seed 0"
    " --output one/run": How("epoch 2/2: "),
    # on a real Slurm in tests/cluster
    "snakemake --workflow-profile profiles/slurm": How("Nothing to be done", instead="{} -n"),
    "snakemake --cores 1 --report workflow.html": How("Report created"),
    # CONTRIBUTING
    "make test-deps": How("apt-get", instead="make --dry-run test-deps"),
    "make setup": How("--require-hashes", instead="make --dry-run --always-make setup"),
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
    "make lock": How("uv pip compile", instead="make --dry-run lock"),
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
def copy(tmp_path_factory):
    """The copy that commands are run in, before the first."""
    project = Project(tmp_path_factory.mktemp("readme"))
    write_npz(project.folder / "tiny.npz")
    small = STUDY | {"lambdas": [0, 0.001], "seeds": 2}
    small["training"] = STUDY["training"] | {"epochs": 2}
    given = yaml.safe_load((project.folder / "config.yaml").read_text())
    name = given["study"]
    update_config(given, small)
    (project.folder / "config.yaml").write_text(yaml.safe_dump(given | {"study": name}))
    for path in (project.folder / "studies").glob("*.yaml"):
        given = yaml.safe_load(path.read_text())
        kept = {key: given[key] for key in given if key not in ("dataset", "training")}
        path.write_text(yaml.safe_dump(kept))
    (mine,) = [text for text in blocks("README.md", "yaml") if "study: mine\n" in text]
    (project.folder / "mine.yaml").write_text(mine)
    # `make` finds an environment that is complete: the one of these tests
    (project.folder / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name != "complete":
            (project.folder / ".venv" / path.name).symlink_to(path)
    (project.folder / ".venv" / "complete").touch()
    profile = project.folder / "dry"
    profile.mkdir()
    (profile / "config.yaml").write_text("dry-run: true\n")
    return project


def run(folder, command, **environment):
    own = {k: v for k, v in os.environ.items() if not k.startswith(("L2STUDY", "TF_XLA", "MAKE"))}
    path = os.pathsep.join([str(folder / ".venv" / "bin"), str(Path(sys.executable).parent)])
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=own | {"PATH": os.pathsep.join([path, own["PATH"]])} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def studied(copy):
    """The copy after its first `make study`, and what that printed."""
    done = run(copy.folder, "make study")
    assert done.returncode == 0, done.stdout
    # The other study of the comparison: the same runs at one of the lambdas.
    results = copy.folder / "results"
    shutil.copytree(results / "mnist", results / "quick")
    config = yaml.safe_load((copy.folder / "config.yaml").read_text())
    other = copy.folder / "other.yaml"
    other.write_text(yaml.safe_dump(config | {"study": "quick", "lambdas": [0]}))
    aggregate = "python scripts/aggregate.py --config other.yaml --claims reports/claims.yaml"
    made = run(copy.folder, f"{aggregate} --results results/quick")
    assert made.returncode == 0, made.stdout
    return copy, done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_command(studied, command):
    copy, printed = studied
    assert command in HOW, "say in HOW how this command is tested"
    how = HOW[command]
    if command != "make study":
        folder = PROJECT if how.here else copy.folder
        instead = (how.instead or "{}").replace("{}", command)
        done = run(folder, instead, **({"SNAKEMAKE_PROFILE": "dry"} if how.dry else {}))
        printed = done.stdout
        assert done.returncode == 0 or instead.startswith("timeout"), printed
    assert re.search(how.shows, printed), printed
    assert ("This was a dry-run" in printed) == how.dry


def test_every_way_of_running_belongs_to_a_command():
    assert set(HOW) == set(COMMANDS)


@pytest.mark.parametrize("page", FENCED)
def test_code_is_in_blocks_that_say_what_it_is(page):
    text = (PROJECT / page).read_text()
    kinds = re.findall(r"^```(.*)$", text, re.MULTILINE)
    assert set(kinds[::2]) <= {"sh", "yaml", "text", "diff", "python"}
    assert set(kinds[1::2]) <= {""}
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"\n\n {4}", outside), "a block without a fence would not be tested"


@pytest.mark.parametrize("text", blocks("README.md", "yaml"))
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
    assert project["version"] in (PROJECT / "CHANGELOG.md").read_text()

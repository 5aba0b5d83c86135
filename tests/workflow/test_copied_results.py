"""Results that were copied without Snakemake's records: what is kept of them, and what is not."""

import os
import shutil
import time

import pytest

from project import STUDY
from tiny import write_npz

TABLES = {"check_data": 1, "aggregate": 1, "report": 1, "all": 1}


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished study as it comes out of an archive, with times of any kind."""
    project = finished.copy(tmp_path / "copy")
    shutil.rmtree(project.folder / ".snakemake")
    for path in project.results.rglob("*"):
        os.utime(path, (time.time() + 3600,) * 2)
    return project


def adopt(project):
    """Return the last line of adopt.py."""
    done = project.program("adopt", "tiny.yaml")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_a_study_does_not_start_over_results_that_nobody_knows(project):
    before = project.times("**/*")
    other_settings(project)
    for arguments in ([], ["--dry-run"]):
        line = project.fail(*arguments).splitlines()[-1]
        assert line.startswith("results/tiny exists, but .snakemake has no record of it. ")
        assert "make adopt" in line
    assert project.times("**/*") == before


def test_runs_are_kept_and_the_rest_is_made_from_them(project, finished):
    """Also where they come without the description of their model."""
    shutil.rmtree(project.results / "models")
    assert adopt(project).startswith("9 of 9 runs found are kept. Start ")
    assert project.planned() == {"measure": 3, **TABLES}
    before = {path: path.read_bytes() for path in project.results.glob("runs/*/*/*.*")}
    for log in (project.folder / "logs").rglob("*.log"):
        log.unlink()
    project.make("aggregate")
    assert {path: path.read_bytes() for path in before} == before
    assert project.tables() == finished.tables()
    # what had been measured is kept, too
    logs = list((project.folder / "logs" / "tiny" / "measure").iterdir())
    assert [log.read_text() for log in logs] == [""] * 3
    # from now on, a change is noticed
    other_settings(project)
    assert project.planned()["train"] == 9


def other_settings(project):
    project.configure(training=STUDY["training"] | {"epochs": 4})


def other_data(project):
    write_npz(project.folder / "tiny.npz", seed=1)


def other_code(project):
    with open(project.folder / "scripts" / "l2study" / "training" / "engine.py", "a") as file:
        file.write("\n# a remark\n")


def damage(project):
    (project.run_folder("0", 0) / "run.json").unlink()
    (project.run_folder("0", 1) / "weights.npz").write_bytes(b"not weights")
    history = project.run_folder("0", 2) / "history.csv"
    history.write_text(history.read_text().rpartition("\n0,")[0] + "\n")
    shutil.rmtree(project.run_folder("0.001", 0))
    shutil.copytree(
        project.run_folder("0.03", 1), project.run_folder("0.03", 0), dirs_exist_ok=True
    )


@pytest.mark.parametrize(
    ("change", "kept", "there"),
    [(other_settings, 0, 9), (other_data, 0, 9), (other_code, 0, 9), (damage, 4, 8)],
)
def test_what_does_not_belong_to_the_study_is_trained_again(project, change, kept, there):
    change(project)
    said = adopt(project)
    assert said.startswith(f"{kept} of {there} runs found are kept. The others ")
    planned = project.planned()
    assert planned.pop("model", 0) == (change is other_code)
    assert planned == {"train": 9 - kept, "measure": 3, **TABLES}


def test_runs_of_set_ups_are_kept_with_their_own_data(project):
    """Made from the runs of the base: those of the set-up with other data are of no use there."""
    project.configure(factors={"validation.fraction": [0.3]})
    shutil.copytree(project.results / "runs", project.results / "setups/fraction~0.3/runs")
    assert adopt(project).startswith("9 of 18 runs found are kept. ")
    assert project.planned()["train"] == 9

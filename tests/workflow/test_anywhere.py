"""The workflow is used from elsewhere than its own folder, and as a part of another."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import preloaded
from project import STUDY, Project
from tiny import PROJECT, write_models, write_npz

SMALL = STUDY | {"lambdas": [0, 0.001], "seeds": 2}


@pytest.fixture
def clone(tmp_path):
    """What a container gets of the project, where nobody can write, not even root if possible."""
    folder = tmp_path / "place of the clone" / "clone"
    folder.mkdir(parents=True)
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored, "what is not named is left out"
    for name in [line.removeprefix("!") for line in ignored if line.startswith("!")]:
        path = PROJECT / name
        (folder / name).parent.mkdir(exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / name)
    Project(folder).shorten_report()
    mounted = all(
        subprocess.run(["mount", *options, str(folder)], capture_output=True).returncode == 0
        for options in (["--bind", str(folder)], ["-o", "remount,ro,bind"])
    )
    if not mounted:
        subprocess.run(["chmod", "-R", "a-w", str(folder)], check=True)
    with pytest.raises(OSError):
        (folder / "x").touch()
    yield folder
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    else:
        subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)


@pytest.fixture
def work(tmp_path):
    """A folder with the data and the configuration of a small study, and nothing else."""
    folder = tmp_path / "work"
    folder.mkdir()
    write_npz(folder / "tiny.npz")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(SMALL, sort_keys=False))
    return folder


def start(folder, *arguments, **environment):
    """Run Snakemake in `folder`, in a process of its own as a user does."""
    command = [str(Path(sys.executable).parent / "snakemake"), "--cores", "2", *arguments]
    own = {k: v for k, v in os.environ.items() if not k.startswith("L2STUDY")} | environment
    return subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True)


def preload(folder, *arguments):
    """Run Snakemake in `folder` on one core, and all that it starts, as tests/preloaded.py does."""
    return start(folder, "--cores", "1", *arguments, **preloaded.environment())


def snakemake(folder, *arguments, run=preload, **environment):
    """Run Snakemake and return what it printed, after checking that it succeeded."""
    done = run(folder, *arguments, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def refused(folder, *arguments, **environment):
    """Run Snakemake in `folder` and return the last line, after checking that it failed."""
    done = start(folder, *arguments, **environment)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def histories(results):
    """Return all histories below `results`, by their place there, without their times."""
    found = {}
    for path in sorted(results.glob("runs/*/*/history.csv")):
        lines = path.read_text().splitlines()
        found[path.relative_to(results)] = [line.rpartition(",")[0] for line in lines]
    return found


def assert_complete(results, finished):
    """The small study is there, and its runs are those of the finished one."""
    found = histories(results)
    assert len(found) == 4
    assert found.items() <= histories(finished.results).items()
    assert (results / "report" / "report.html").exists()


def test_from_and_into_another_folder_with_a_clone_that_is_read_only(clone, work, finished):
    before = sorted(clone.rglob("*"))
    printed = snakemake(
        clone, "--directory", str(work), "--configfile", str(work / "tiny.yaml"),
        "--", "results/tiny/runs/l2~0/seed~1/run.json",
    )  # fmt: skip
    assert "1 run to train, 0 kept; other jobs: prepare, model\n" in printed
    assert len(histories(work / "results" / "tiny")) == 1
    assert (work / ".snakemake" / "at-work" / "tiny").exists()
    # from there, it is the same study
    command = ("-s", str(clone / "Snakefile"), "--configfile", "tiny.yaml")
    assert "3 runs to train, 1 kept" in snakemake(work, *command, run=start)
    assert_complete(work / "results" / "tiny", finished)
    made = {path.name for path in work.iterdir()}
    assert made == {"tiny.npz", "tiny.yaml", "results", "logs", ".snakemake"}
    assert sorted(clone.rglob("*")) == before
    # and in the same place under another name, too
    link = work.parent / "link"
    link.symlink_to(clone)
    assert "Nothing to be done" in snakemake(
        work, "-s", str(link / "Snakefile"), "--configfile", "tiny.yaml"
    )
    # captions come from the clone too
    snakemake(work, *command, "--report", "page.html")
    assert (work / "page.html").stat().st_size > 100_000


def test_a_folder_of_any_name_and_any_locale(tmp_path, work):
    """With PYTHONSAFEPATH, Python leaves out the folder of the program that it runs."""
    project = Project(tmp_path / "Übung 'c' $d e")
    about = {"LC_ALL": "C", "PYTHONSAFEPATH": "1"}
    data = "results/tiny/data.json"
    snakemake(project.folder, "--configfile", "tiny.yaml", "--", data, run=start, **about)
    assert (project.folder / data).exists()
    printed = snakemake(project.folder, "--configfile", "tiny.yaml", "--dry-run")
    assert "rule train:" in printed and "rule prepare:" not in printed
    braces = project.folder.rename(tmp_path / "a {1}")
    for folder in (braces, work):
        line = refused(folder, "-s", str(braces / "Snakefile"), "--configfile", "tiny.yaml")
        assert str(braces) in line and "braces" in line


def test_packages_on_pythonpath_that_would_replace_those_of_the_lock(tmp_path, work):
    """They are those of an environment module. Without them the folder may have anything."""
    command = ("-s", str(PROJECT / "Snakefile"), "--configfile", "tiny.yaml", "--dry-run")
    snakemake(work, *command, run=start, PYTHONPATH=str(tmp_path))
    (tmp_path / "numpy").symlink_to(Path(np.__file__).parent)
    line = refused(work, *command, PYTHONPATH=str(tmp_path))
    assert line.startswith("PYTHONPATH has another numpy") and str(tmp_path) in line


HOST = """
configfile: "host.yaml"

onstart:
    print("the host starts")

onsuccess:
    print("the host succeeds")

module l2:
    snakefile: "{clone}/Snakefile"
    config: config["l2"]
    prefix: "sub/l2"

use rule * from l2 as l2_*

rule mine:
    default_target: True
    input: "own.txt", rules.l2_all.input

rule own:
    output: "own.txt"
    shell: "echo mine > {{output}}"
"""


@pytest.mark.parametrize("place", ["beside", "below"])
def test_as_a_module_beside_other_rules(work, finished, place, tmp_path):
    """Wherever the clone is: only a path that begins with `..` is safe from a prefix by itself.

    A module preloads nothing: with the process of the tests, no run loads TensorFlow.
    """
    clone = {"beside": tmp_path / "clone", "below": work / "code" / "clone"}[place]
    Project(clone).shorten_report()
    (clone / "tiny.npz").unlink()
    # A key that is left out has its default; with `allow_missing`, it matters what is on disk.
    keys = SMALL | {"allow_missing": place == "below"}
    if place == "below":
        keys |= {"model": {"build": "models.py:net"}}
        write_models(work)
    (work / "host.yaml").write_text(yaml.safe_dump({"l2": keys}, sort_keys=False))
    (work / "Snakefile").write_text(HOST.format(clone=os.path.relpath(clone, work)))
    if place == "below":
        runs = [f"sub/l2/results/tiny/runs/l2~{l2}/seed~0/run.json" for l2 in SMALL["lambdas"]]
        snakemake(work, *runs)
        printed = snakemake(work, "--dry-run")
        assert "l2_aggregate" in printed
        assert "l2_train" not in printed
        (work / "layers.py").write_text("units = 5")
        assert len(re.findall("^rule l2_train:$", snakemake(work, "--dry-run"), re.M)) == 2
        return
    printed = snakemake(work)
    said = [line for line in printed.splitlines() if line.startswith("the host")]
    assert said == ["the host starts", "the host succeeds"]
    assert_complete(work / "sub" / "l2" / "results" / "tiny", finished)
    assert (work / "sub" / "l2" / "logs" / "tiny" / "report.log").exists()
    assert (work / "own.txt").read_text() == "mine\n"
    assert not (work / "results").exists()
    assert not (clone / "results").exists()
    assert "Nothing to be done" in snakemake(work)


def test_the_catalog_s_description_is_yaml_of_the_known_shape():
    usage = yaml.safe_load((PROJECT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"] is True
    assert usage["report"] is True

"""The container: it is built and run where that is possible, and its file is checked everywhere."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from project import STUDY
from test_style import locked_versions
from tiny import PROJECT, write_npz

STEPS = re.sub(r"\\\n\s*", " ", (PROJECT / "Containerfile").read_text())
STEPS = [line.split(" ", 1) for line in STEPS.splitlines() if re.match("[A-Z]", line)]
IGNORED = (PROJECT / ".dockerignore").read_text().splitlines()
KEPT = [line.removeprefix("!") for line in IGNORED if line.startswith("!")]


def arguments(name):
    """Return the arguments of every step of this name, in order."""
    return [argument for step, argument in STEPS if step == name]


def test_the_base_has_a_python_that_the_project_supports():
    (base,) = arguments("FROM")
    version = re.fullmatch(r"python:(3\.\d+)-slim", base)[1]
    supported = re.search(r"Python (3.*) is needed", (PROJECT / "Makefile").read_text())[1]
    assert version in re.split(", | or ", supported)


def test_what_is_installed_is_the_lock_as_make_installs_it():
    (line,) = [line for line in arguments("RUN") if " pip install " in line]
    makefile = (PROJECT / "Makefile").read_text()
    (ours,) = [line for line in makefile.splitlines() if " pip install " in line]
    options = set(line.partition(" pip install ")[2].split()) - {"--no-cache-dir"}
    assert options == set(ours.partition(" pip install ")[2].split()) - {"--no-compile"}
    assert "snakemake" in locked_versions()


def test_what_is_copied_is_there_and_not_ignored():
    assert IGNORED[1] == "*", "what is not named is left out"
    assert all((PROJECT / name).exists() for name in KEPT)
    sources = [argument.split()[0] for argument in arguments("COPY")]
    assert sources == ["envs/requirements.txt", "."]


def test_an_ordinary_user_runs_the_workflow_that_was_copied():
    *_, user = arguments("USER")
    assert int(user.partition(":")[0]) > 0
    (program, option, snakefile, *_) = json.loads(arguments("ENTRYPOINT")[0])
    assert (program, option) == ("snakemake", "--snakefile")
    names = [step for step, _ in STEPS]
    copied = names.index("COPY", names.index("COPY") + 1)
    (folder,) = [argument for step, argument in STEPS[:copied] if step == "WORKDIR"]
    assert snakefile == f"{folder}/Snakefile"
    assert names.index("USER") < names.index("ENTRYPOINT")


def test_a_study_needs_no_more_than_what_is_copied(tmp_path):
    """What Snakemake and each program of a rule read of the project, without a container."""
    copy = tmp_path / "project"
    copy.mkdir()
    for name in KEPT:
        path = PROJECT / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copy / name)
    work = tmp_path / "work"
    work.mkdir()
    make_study(work)
    done = run(["snakemake", "--snakefile", copy / "Snakefile", *OPTIONS], work)
    assert done.returncode == 0, done.stdout
    assert (work / "results" / "tiny" / "report" / "report.html").exists()


OPTIONS = ["--cores", "2", "--configfile", "tiny.yaml"]


def make_study(folder):
    write_npz(folder / "tiny.npz")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(STUDY | {"lambdas": [0, 0.001], "seeds": 2}))


def run(command, folder):
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def builder():
    """A program that builds containers and has the base; without one, the test is skipped."""
    (base,) = arguments("FROM")
    reasons = []
    for program in ("podman", "docker"):
        if shutil.which(program) is None:
            reasons.append(f"there is no {program}")
        elif (done := run([program, "pull", "--quiet", base], PROJECT)).returncode != 0:
            reasons.append(f"{program}: {' '.join(done.stdout.split())[-200:]}")
        else:
            return program
    pytest.skip(f"the Containerfile was only read and not built: {'; '.join(reasons)}")


def test_a_study_is_made_in_a_container(builder, tmp_path):
    make_study(tmp_path)
    tmp_path.chmod(0o777)
    build = [builder, "build", "--tag", "l2study-test", "--file", "Containerfile", "."]
    done = run(build, PROJECT)
    assert done.returncode == 0, done.stdout
    command = [builder, "run", "--rm", "--volume", f"{tmp_path}:/work", "l2study-test"]
    done = run([*command, *OPTIONS], PROJECT)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "results" / "tiny" / "report" / "report.html").exists()
    assert (tmp_path / "results").stat().st_uid != 0

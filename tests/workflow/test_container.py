"""The container, built and run where that is possible.

That a study needs no more files than those that it gets, test_anywhere.py says.
"""

import re
import shutil
import subprocess

import pytest
import yaml

from project import STUDY
from tiny import PROJECT, write_npz

CONTAINERFILE = (PROJECT / "Containerfile").read_text()


def run(*command):
    return subprocess.run(
        command,
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_base_has_a_python_that_the_project_supports():
    version = re.search(r"^FROM python:(3\.\d+)-slim$", CONTAINERFILE, re.MULTILINE)[1]
    supported = re.search(r"Python (3.*) is needed", (PROJECT / "Makefile").read_text())[1]
    assert version in re.split(", | or ", supported)


@pytest.fixture
def builder():
    """A program that builds containers and has the base; without one, the test is skipped."""
    base = re.search(r"^FROM (.*)$", CONTAINERFILE, re.MULTILINE)[1]
    reasons = []
    for program in ("podman", "docker"):
        if shutil.which(program) is None:
            reasons.append(f"there is no {program}")
        elif (done := run(program, "pull", "--quiet", base)).returncode != 0:
            reasons.append(f"{program}: {' '.join(done.stdout.split())[-200:]}")
        else:
            return program
    pytest.skip(f"the container was not built: {'; '.join(reasons)}")


def test_a_study_is_made_in_a_container(builder, tmp_path):
    write_npz(tmp_path / "tiny.npz")
    study = STUDY | {"lambdas": [0, 0.001], "seeds": 2}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(study))
    tmp_path.chmod(0o777)
    done = run(builder, "build", "--tag", "l2study-test", "--file", "Containerfile", ".")
    assert done.returncode == 0, done.stdout
    work = ["--volume", f"{tmp_path}:/work", "l2study-test", "--cores", "2"]
    done = run(builder, "run", "--rm", *work, "--configfile", "tiny.yaml")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "results" / "tiny" / "report" / "report.html").exists()
    assert (tmp_path / "results").stat().st_uid != 0

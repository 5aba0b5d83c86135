"""The container, built and run where that is possible.

That a study needs no more files than those that it gets, test_anywhere.py says.
"""

import shutil
import subprocess

import pytest
import yaml

from project import STUDY
from tiny import PROJECT, write_npz


def run(*command):
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def builder():
    """A program that builds containers and can get the base; without one, the test is skipped."""
    containerfile = (PROJECT / "Containerfile").read_text()
    (base,) = [line.split()[1] for line in containerfile.splitlines() if line.startswith("FROM ")]
    for program in filter(shutil.which, ("podman", "docker")):
        if subprocess.run([program, "pull", "--quiet", base], capture_output=True).returncode == 0:
            return program
    pytest.skip(f"the container was not built: no podman or docker that gets {base}")


def test_a_study_is_made_in_a_container(builder, tmp_path):
    write_npz(tmp_path / "tiny.npz")
    study = STUDY | {"lambdas": [0, 0.001], "seeds": 2}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(study))
    tmp_path.chmod(0o777)
    run(builder, "build", "--tag", "l2study-test", "--file", "Containerfile", ".")
    work = ["--volume", f"{tmp_path}:/work", "l2study-test", "--cores", "2"]
    run(builder, "run", "--rm", *work, "--configfile", "tiny.yaml")
    assert (tmp_path / "results" / "tiny" / "report" / "report.html").exists()
    assert (tmp_path / "results").stat().st_uid != 0

"""The tiny study, run once by real Snakemake."""

import pytest

from project import Project
from tiny import write_npz


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The tiny study, run to its end. Tests that use it only look."""
    project = Project(tmp_path_factory.mktemp("study"))
    write_npz(project.folder / "tiny.npz")
    project.configure()
    done = project.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    project.printed = done.stdout + done.stderr
    return project

import pytest

from needs import require  # noqa: F401  # where tests look for it
from project import Project
from tiny import write_npz


@pytest.fixture(scope="session")
def one_thread():
    """TensorFlow as a training job has it."""
    from l2study.backend import configure

    configure(threads=1)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The tiny study, run to its end. Tests that use it only look."""
    project = Project(tmp_path_factory.mktemp("study"))
    write_npz(project.folder / "tiny.npz")
    project.configure()
    done = project.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    return project

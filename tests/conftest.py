import compileall
import fcntl
import os
import re
import shutil
import tempfile
from functools import partial

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before NumPy is imported: each worker has one core, and threads would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from project import Project
from tiny import PROJECT


def pytest_configure(config):
    """Compile once what most tests need: the code, which copies of the project take along, and
    XLA's programs, which are the same for all tiny networks of one shape.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    compileall.compile_dir(PROJECT / "scripts", quiet=2)
    folder = tempfile.TemporaryDirectory(prefix="l2study-compiled-")
    config.add_cleanup(folder.cleanup)
    os.environ["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory={folder.name}"


def pytest_xdist_auto_num_workers(config):
    """Return the number of cores, and one more for Slurm, whose tests are mostly waiting."""
    with_slurm = config.args == config.getini("testpaths")
    return len(os.sched_getaffinity(0)) + with_slurm


def pytest_ignore_collect(collection_path, config):
    """Leave out of `-m "not slow"` files that are slow as a whole: importing them takes seconds."""
    if config.getoption("markexpr") == "not slow" and collection_path.suffix == ".py":
        marks = re.search(r"^pytestmark = .*", collection_path.read_text(), re.MULTILINE)
        return True if marks and "pytest.mark.slow" in marks[0] else None


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in a hook of this name
def pytest_collection_modifyitems(items):
    """Start the longest first, and keep tests of one worker that share what their file makes.

    Files of tests/workflow say so themselves where that is so: most of their tests are long, and
    each makes its own study. Files with slow tests go before others: a long one that starts late
    would leave all workers but its own without work.
    """
    longest = {"cluster": 0, "browser": 1, "workflow": 2}

    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def place(item):
        return longest.get(item.path.parent.name, len(longest)), item.path not in slow

    items.sort(key=place)
    for item in items:
        if item.path.parent.name != "workflow":
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """A function that makes a folder once for all workers of pytest-xdist.

    `made_once(name, make)` calls `make(folder)`, unless another worker has, and returns the folder.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def once(name, make):
        folder, complete = shared / name, shared / f"{name}.complete"
        with open(shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not complete.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                complete.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def edge_case_results(made_once):
    """A function: the folder of a study of `reported.EDGE_CASES` with its tables, to look at."""
    from reported import EDGE_CASES, write_results

    def make(case, folder):
        (folder / "config.json").write_text(write_results(folder, **EDGE_CASES[case]))

    return lambda case: made_once(f"edge case - {case}", partial(make, case))


@pytest.fixture(scope="session")
def edge_case(edge_case_results):
    """A function: a study of `reported.EDGE_CASES` as the report reads it."""
    from l2study.report.study import read_study
    from reported import CAPTIONS

    def study(case):
        folder = edge_case_results(case)
        return read_study((folder / "config.json").read_text(), folder, CAPTIONS)

    return study


@pytest.fixture(scope="session")
def one_thread():
    """TensorFlow as a training job has it."""
    from l2study.training.backend import configure

    configure(threads=1)


@pytest.fixture(scope="session")
def finished(made_once):
    """The tiny study, run to its end. Tests only look at it: other workers do so as well."""

    def make(folder):
        project = Project(folder)
        project.trains_itself = True
        (folder / "printed.txt").write_text(project.make())

    project = Project(made_once("study", make))
    project.printed = (project.folder / "printed.txt").read_text()
    return project

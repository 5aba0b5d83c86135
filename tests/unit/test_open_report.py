"""Showing the report: a browser where there is a display, and a path where there is none."""

import os
import subprocess
import sys

import pytest

from open_report import has_display
from tiny import PROJECT

PAGE = "results/mine/report/report.html"


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"DISPLAY": ""}, "linux", False),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "1 2 3 4"}, "linux", False),
        ({}, "darwin", True),
    ],
)
def test_where_a_browser_can_be_opened(environment, platform, expected):
    assert has_display(environment, platform) is expected


@pytest.fixture
def show(tmp_path):
    """A function: what is printed for mine.yaml, with a browser that prints the address."""
    (tmp_path / "mine.yaml").write_text("study: mine")

    def run(file, **environment):
        own = {key: os.environ[key] for key in ("PATH", "HOME")}
        return subprocess.run(
            [sys.executable, str(PROJECT / "scripts" / "open_report.py"), file],
            env=own | {"BROWSER": "echo opened %s"} | environment,
            cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    run.page = tmp_path / PAGE
    return run


def test_the_page_is_opened_and_where_there_is_no_display_it_is_named(show):
    show.page.parent.mkdir(parents=True)
    show.page.touch()
    assert show("mine.yaml", DISPLAY=":0").stdout == f"opened {show.page.as_uri()}\n"
    done = show("mine.yaml")
    assert (done.returncode, done.stdout.rpartition(": ")[2]) == (0, f"{show.page}\n")


def test_a_page_that_is_not_there_and_a_file_of_no_use(show):
    done = show("mine.yaml", DISPLAY=":0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{PAGE} does not exist yet: run make study\n"
    assert show("absent.yaml").stderr.startswith("config: absent.yaml: cannot be read")

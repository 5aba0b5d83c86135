"""What is seen while a study runs: in a pipe, and in a terminal, a real one as far as it can tell.

Training is faked and takes a moment, so that these tests do too.
"""

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from fake_training import ENVIRONMENT, RUNS, FakeTraining
from project import Project


@pytest.fixture
def project(tmp_path):
    project = FakeTraining(tmp_path / "project")
    yield project
    project.kill()


class Terminal:
    """Snakemake under a terminal of its own, of 100 columns."""

    def __init__(self, project, *arguments):
        self.shown = ""
        command = [str(Path(sys.executable).parent / "snakemake"), *arguments]
        command += ["--cores", "2", "--configfile", "tiny.yaml"]
        self.main, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, (30, 100))
        self.attributes = termios.tcgetattr(terminal)
        self.terminal = terminal
        self.process = subprocess.Popen(
            # the terminal becomes the controlling one, so that its Ctrl-C is a signal
            [sys.executable, "-c", _CONTROL, *command],
            cwd=project.folder,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            env=ENVIRONMENT | {"TERM": "xterm-256color"},
        )

    def read(self, until=None):
        """Read what is shown until it has the words `until`, or else to the end."""
        end = time.monotonic() + 300
        while until is None or until not in self.shown:
            assert time.monotonic() < end, f"timed out: {self.shown}"
            ready, _, _ = select.select([self.main], [], [], 0.2)
            if ready:
                self.shown += os.read(self.main, 65536).decode()
            elif self.process.poll() is not None:
                break
        return self.shown

    def type(self, keys):
        os.write(self.main, keys)

    def close(self):
        """Return the exit status, after checking that the terminal is as it was."""
        status = self.process.wait(timeout=300)
        self.read()
        assert self.shown.count("\x1b[?25h") >= self.shown.count("\x1b[?25l") > 0
        assert self.shown.rindex("\x1b[?25h") > self.shown.rindex("\x1b[?25l")
        assert termios.tcgetattr(self.terminal) == self.attributes
        os.close(self.main)
        os.close(self.terminal)
        return status

    def words(self):
        """Return what is shown without colours and movements of the cursor."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.shown)


_CONTROL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_lines_in_a_pipe(finished):
    printed = finished.printed
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", printed)
    assert "9 runs to train, 0 kept; other jobs: prepare, " in printed
    assert "9 of 9 runs trained, 0 running, 0 failed\n" in printed
    assert re.search(
        r"\d of 9 runs trained, 2 running, 0 failed; about 0:\d\d:\d\d left\n", printed
    )
    for rule in ("prepare", "model", "aggregate", "report"):
        assert f" {rule} done in 0:" in printed
    assert re.search("^Done in .*: results/tiny/report/report.html$", printed, re.MULTILINE)
    # not a screenful for every job
    assert len(printed.splitlines()) < 30
    (log,) = re.findall(r"^Complete log\(s\): (.*)$", printed, re.MULTILINE)
    assert Path(log).read_text().count("rule train:") == 9, "Snakemake's own log has everything"


def test_a_terminal_shows_the_counts_and_is_given_back(project):
    terminal = Terminal(project, *RUNS)
    terminal.read()
    assert terminal.close() == 0, terminal.words()
    words = terminal.words()
    assert "0 of 4 runs trained, 2 running, 0 failed" in words
    assert re.search(
        r"[123] of 4 runs trained, \d running, 0 failed; about 0:\d\d:\d\d left", words
    )
    assert re.search(r"train l2=0.001 seed=\d  epoch 1/3  0:\d\d:\d\d", words)
    assert "4 of 4 runs trained, 0 running, 0 failed" in words[words.rindex("train l2=") :]
    assert "Done in 0:" in words


def test_a_failing_run_is_named_at_once_and_at_the_end(project):
    (project.folder / "unlucky-1").touch()
    terminal = Terminal(project, *RUNS)
    terminal.read()
    assert terminal.close() != 0
    words = terminal.words()
    first, again, at_the_end = [
        match.start() for match in re.finditer("train l2=0.001 seed=1: out of luck", words)
    ]
    assert "train l2=0.001 seed=1 is tried again" in words[first:again]
    assert "is tried again" not in words[again:]
    assert words.count("log: logs/tiny/train/l2~0.001/seed~1.log") == 3
    assert "3 of 4 runs trained, 0 running, 1 failed" in words[again:at_the_end]
    assert "CalledProcessError" not in words


def test_a_study_at_work_is_left_alone_and_ctrl_c_gives_the_terminal_back(project):
    (project.folder / "slow").touch()
    terminal = Terminal(project, *RUNS)
    terminal.read(until="epoch 1/3")
    refused = project.fail()
    assert refused.splitlines()[-1].startswith(f"process {terminal.process.pid} on ")
    assert "Traceback" not in refused
    assert project.planned()["train"] == 4
    terminal.type(b"\x03")
    terminal.read()
    assert terminal.close() != 0
    assert "Stopped. Run the same command again to continue." in terminal.words()
    assert "failed: train" not in terminal.words()


def test_a_failing_display_stops_nothing(project):
    counts = "def _counts(self) -> str:\n"
    project.change("workflow/screen", counts, f"{counts}        1 / 0\n")
    terminal = Terminal(project, *RUNS)
    terminal.read()
    assert terminal.close() == 0, terminal.words()
    assert "no progress to show: division by zero" in terminal.words()
    assert project.trained() == {0, 1, 2, 3}


def test_files_that_are_not_there_are_not_said_to_be_made_by_touch(tmp_path):
    project = Project(tmp_path / "project")
    said = project.make("--touch")
    assert not project.results.exists()
    assert "not touched because they don't exist" in said
    assert "trained" not in said
    assert "Done in 0:" in said
    assert "report.html" not in said.rpartition("Done in")[2]

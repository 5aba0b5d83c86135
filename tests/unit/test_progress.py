"""State, estimate and words of the display, from records as Snakemake's public events have them.

That real Snakemakes write such records is seen in workflow/test_screen.py and test_cluster_job.py.
"""

import io
import logging
import re
import signal
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from l2study.workflow import screen, snakemake_compat
from l2study.workflow.estimate import Expected, time_left
from l2study.workflow.jobs import reason


@pytest.mark.parametrize(
    ("waiting", "rest", "cores", "seconds"),
    [
        # three waiting and the rest of two: 30 + 6 + 2 seconds of work for two
        ([10] * 3, [6, 2], 2, 19),
        # nothing left to share: as long as the last one takes
        ([], [6, 2], 2, 6),
        ([], [], 1, 0),
    ],
)
def test_time_left(waiting, rest, cores, seconds):
    assert time_left(waiting, rest, cores) == seconds


def test_reason_is_the_last_line_after_what_the_cluster_says(tmp_path):
    log = tmp_path / "a.log"
    assert reason(str(log)) == "nothing was logged"
    log.write_text("epoch 1/2\nno luck \n\n")
    assert reason(str(log), " OUT_OF_MEMORY\n") == "OUT_OF_MEMORY; no luck"


class Told:
    """A display, what it is told, and what it says."""

    def __init__(self, monkeypatch, train, cores=2, runs=(), scale=None):
        self.theirs = logging.StreamHandler(io.StringIO())
        self.logger = snakemake_compat.LOGGER
        monkeypatch.setattr(self.logger, "handlers", [self.theirs])
        monkeypatch.setattr(self.logger, "propagate", False)
        monkeypatch.setattr(self.logger, "level", logging.INFO)
        self.now = 100.0
        monkeypatch.setattr(screen.time, "monotonic", lambda: self.now)
        self.display = screen.Screen((self.theirs, True))
        about = {"cores": cores} if cores else {"nodes": 4}
        self.tell(LogEvent.RESOURCES_INFO, **about)
        # Other records of this event have neither.
        self.tell(LogEvent.RESOURCES_INFO, provided_resources={})
        self.tell(LogEvent.RUN_INFO, stats={"prepare": 1, "train": train, "all": 1, "total": 9})
        before = signal.getsignal(signal.SIGINT)
        self.display.start(lambda: (list(runs), scale))
        signal.signal(signal.SIGINT, before)

    def tell(self, event, **about):
        self.logger.info(f"{event} as Snakemake puts it", extra={"event": event, **about})

    def begin(self, *numbers):
        for number in numbers:
            wildcards = {"l2": "0.1", "seed": str(number)}
            files = {"log": [f"{number}.log"], "output": [f"{number}/history.csv"]}
            self.tell(
                LogEvent.JOB_INFO, jobid=number, rule_name="train", wildcards=wildcards, **files
            )

    def end(self, number, after=0):
        self.now += after
        self.tell(LogEvent.JOB_FINISHED, job_id=number)

    def fail(self, number, message=None):
        files = {"log": [f"{number}.log"], "output": [f"run-{number}.json"]}
        self.tell(LogEvent.JOB_ERROR, jobid=number, rule_name="train", rule_msg=message, **files)

    def said(self):
        return self.theirs.stream.getvalue()

    def counts(self):
        """Return how many runs are done, at work and failed, as the display says."""
        number = r"(\d+)(?: of \d+ runs| running| submitted| failed)"
        return tuple(map(int, re.findall(number, self.now_said())))

    def left(self):
        """Return the seconds that are left; None where they are not known."""
        time = re.search(r"about (\d):(\d\d):(\d\d) left", self.now_said())
        return time and sum(int(part) * 60**n for n, part in enumerate(reversed(time.groups())))

    def now_said(self):
        return self.display._counts()


def run(folder, seconds, new=True):
    setup = SimpleNamespace(name="base", config={})
    return Expected(setup, "0", 0, str(folder), new, False, seconds)


def test_counts_and_time_left_from_real_durations(monkeypatch):
    told = Told(monkeypatch, 6)
    assert "6 runs to train, 0 kept; other jobs: prepare\n" in told.said()
    told.begin(0, 1)
    told.end(0, after=10)
    assert "1 of 6" not in told.said()
    told.begin(2)
    # 10 seconds a run: four waiting or just begun, one that should end now, two at a time
    assert "1 of 6 runs trained, 2 running, 0 failed; about 0:00:20 left\n" in told.said()
    told.end(1, after=1)
    told.begin(3)
    assert "2 of 6" not in told.said(), "a line every few seconds will do"
    assert "as Snakemake puts it" not in told.said()


def test_time_left_where_runs_differ(monkeypatch):
    """Runs 0 to 3 are expected to take 5, 5, 1 and 20 seconds; all take twice as long."""
    runs = [run(number, seconds) for number, seconds in enumerate([5, 5, 1, 20])]
    told = Told(monkeypatch, 4, runs=[*runs, run(7, 100, new=False)])
    told.begin(0, 1)
    told.end(0, after=10)
    told.begin(2)
    # two seconds of the one just begun, and 40 of the one that waits
    assert told.left() == 40
    told.end(1, after=1)
    told.begin(3)
    told.end(2, after=20)
    # 10 for 5, 11 for 5, 21 for 1: the median is 2.2
    assert told.left() == 24


def test_runs_of_before_say_how_long_it_takes_until_they_are_wrong(monkeypatch):
    runs = [run(0, 20), run(1, 30), run(2, 1.0, new=False)]
    told = Told(monkeypatch, 2, cores=1, runs=runs, scale=1.0)
    assert "2 runs to train, 1 kept" in told.said()
    assert "about 0:00:50 left" in told.said()
    told.begin(0)
    told.now += 5
    assert told.left() == 45
    told.now += 16
    # it imports and compiles, which the others did not
    assert told.left() is None


def test_on_a_cluster_the_rate_counts_and_not_how_long_jobs_queue(monkeypatch):
    told = Told(monkeypatch, 3, cores=None, runs=[run(0, 1), run(1, 10), run(2, 20)])
    told.begin(0, 1, 2)
    assert (told.counts(), told.left()) == ((0, 3, 0), None)
    told.end(0, after=2)
    assert "submitted" in told.now_said() and told.left() == 60


def test_a_failure_is_said_at_once_and_so_is_another_try(monkeypatch):
    told = Told(monkeypatch, 2)
    told.begin(0)
    told.fail(0, "SLURM status is: 'TIMEOUT'")
    assert "failed: train l2=0.1 seed=0: SLURM status is: 'TIMEOUT'; nothing" in told.said()
    told.fail(0, "said twice")
    assert "said twice" not in told.said()
    told.begin(0)
    assert "train l2=0.1 seed=0 is tried again\n" in told.said()
    assert told.counts() == (0, 1, 0)
    told.fail(0, "TIMEOUT again")
    assert told.counts() == (0, 0, 1)
    end = told.display.failures()
    assert "  train l2=0.1 seed=0: TIMEOUT again; nothing was logged\n    log: 0.log\n" in end
    assert "allow_missing" in end
    assert told.said().count("0 of 2 runs trained, 0 running, 1 failed") == 1


def test_jobs_of_a_group_are_counted_one_by_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    told = Told(monkeypatch, 3, cores=None)
    told.begin(0, 1, 2)
    # the first was complete when the second failed
    (tmp_path / "run-0.json").touch()
    told.tell(LogEvent.GROUP_ERROR, job_error_info=[{"jobid": 0}, {"jobid": 1}])
    told.fail(0, "FAILED")
    told.fail(1, "FAILED")
    assert "seed=0" not in told.said() and "failed: train l2=0.1 seed=1: FAILED" in told.said()
    assert told.counts() == (1, 1, 1)
    # where the group is repeated, what is complete stays complete
    told.begin(0, 1)
    assert "seed=0" not in told.said() and "seed=1 is tried again\n" in told.said()
    assert told.counts() == (1, 2, 0)


def test_a_job_by_itself_that_failed_is_not_complete_whatever_is_there(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    told = Told(monkeypatch, 1)
    told.begin(0)
    (tmp_path / "run-0.json").touch()
    told.fail(0)
    assert told.counts() == (0, 0, 1)


def test_unknown_lines_of_snakemake_are_shown_and_a_command_is_not(monkeypatch):
    told = Told(monkeypatch, 0)
    told.logger.warning("the cluster is down")
    told.logger.info("Select jobs to execute...")
    told.tell(LogEvent.ERROR)
    told.logger.error(
        'RuleException:\nCalledProcessError in file "train.smk", line 1:\nCommand ...',
        extra={"event": LogEvent.ERROR},
    )
    lines = told.said().splitlines()
    assert lines[1:] == ["the cluster is down", f"{LogEvent.ERROR} as Snakemake puts it"]


def test_a_display_that_fails_gives_the_screen_back(monkeypatch):
    told = Told(monkeypatch, 1)
    told.begin(0)
    told.tell(LogEvent.JOB_ERROR)  # with nothing that belongs to it
    assert "No display of progress (AttributeError: " in told.said()
    told.tell(LogEvent.JOB_INFO)
    assert told.said().endswith(f"{LogEvent.JOB_INFO} as Snakemake puts it\n")

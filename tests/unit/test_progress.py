"""The words of the display, from what Snakemake would tell. The display itself is in workflow/."""

import io
import logging
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from l2study import progress


@pytest.mark.parametrize(
    ("each", "waiting", "running", "cores", "seconds"),
    [
        (None, 3, [], 2, None),
        (10, 4, [], 2, 20),
        (10, 1, [], 8, 10),
        # three waiting and the rest of two: 30 + 6 + 2 seconds of work for two
        (10, 3, [4, 8], 2, 19),
        # nothing left to share: as long as the last one takes
        (10, 0, [4, 8], 2, 6),
        # longer at work than runs take: it could end at any moment
        (10, 0, [50], 1, 0),
        (10, 0, [], 1, 0),
    ],
)
def test_time_left(each, waiting, running, cores, seconds):
    assert progress.time_left(each, waiting, running, cores) == seconds


def test_reason_is_the_last_line_after_what_the_cluster_says(tmp_path):
    log = tmp_path / "a.log"
    assert progress.reason(str(log)) == "nothing was logged"
    log.write_text("epoch 1/2\nno luck \n\n")
    assert progress.reason(str(log)) == "no luck"
    assert progress.reason(str(log), " OUT_OF_MEMORY\n") == "OUT_OF_MEMORY; no luck"


class Job(SimpleNamespace):
    """A job as Snakemake has it, or a group of jobs."""

    def is_group(self):
        return hasattr(self, "jobs")


class Output(list):
    """The files of a run, of which run.json has a name."""

    def __init__(self, number):
        super().__init__([f"run-{number}.json"])
        (self.run,) = self


def train(number, attempt=1):
    return Job(
        jobid=number,
        rule=SimpleNamespace(name="train"),
        wildcards_dict={"l2": "0.1", "seed": str(number)},
        log=f"{number}.log",
        output=Output(number),
        restart_times=1,
        attempt=attempt,
    )


class Told:
    """A display, what it is told, and what it says."""

    def __init__(self, monkeypatch, jobs, local=True, **settings):
        self.screen = logging.StreamHandler(io.StringIO())
        self.screen.name = "DefaultStreamHandler"
        self.logger = logging.getLogger("snakemake.logging")
        monkeypatch.setattr(self.logger, "handlers", [self.screen])
        monkeypatch.setattr(self.logger, "propagate", False)
        monkeypatch.setattr(self.logger, "level", logging.INFO)
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)
        names = ["all", "prepare", "train", "aggregate"]
        options = {"dryrun": False, "verbose": False, "quiet": None, "nocolor": False} | settings
        self.workflow = SimpleNamespace(
            output_settings=SimpleNamespace(**options),
            is_main_process=True,
            local_exec=local,
            rules=[SimpleNamespace(name=name) for name in names],
            resource_settings=SimpleNamespace(cores=2),
            dag=SimpleNamespace(needrun_jobs=lambda: jobs),
            scheduler=SimpleNamespace(running=set(), failed=set()),
        )
        self.display = progress.Progress(self.workflow, "results/x", [], epochs=4)
        self.display.start()

    def tell(self, event, **about):
        self.logger.info(f"{event} as Snakemake puts it", extra={"event": event, **about})

    def begin(self, job):
        self.workflow.scheduler.running = {*self.workflow.scheduler.running, Id(job)}
        self.tell(
            LogEvent.JOB_INFO,
            jobid=job.jobid,
            rule_name="train",
            wildcards=job.wildcards_dict,
            log=[job.log],
        )

    def leave(self, job):
        running = self.workflow.scheduler.running
        self.workflow.scheduler.running = {one for one in running if one.jobid != job.jobid}

    def end(self, job):
        self.leave(job)
        self.tell(LogEvent.JOB_FINISHED, job_id=job.jobid)

    def fail(self, job, message=None):
        self.tell(
            LogEvent.JOB_ERROR,
            jobid=job.jobid,
            rule_name="train",
            rule_msg=message,
            log=[job.log],
        )

    def said(self):
        return self.screen.stream.getvalue()


class Id(Job):
    """A job that can be a member of a set."""

    def __init__(self, job):
        super().__init__(**vars(job))

    def __hash__(self):
        return self.jobid


def test_counts_and_time_left_from_real_durations(monkeypatch):
    jobs = [train(number) for number in range(6)]
    told = Told(monkeypatch, jobs)
    assert "6 runs to train, 0 kept; other jobs: none" in told.said()
    told.begin(jobs[0])
    told.begin(jobs[1])
    told.now += 10
    told.end(jobs[0])
    assert "1 of 6" not in told.said()
    told.begin(jobs[2])
    # 10 seconds a run: four waiting or just begun, one that should end now, two at a time
    assert "1 of 6 runs trained, 2 running, 0 failed; about 0:00:20 left\n" in told.said()
    told.now += 1
    told.end(jobs[1])
    told.begin(jobs[3])
    assert "2 of 6" not in told.said(), "a line every few seconds will do"
    assert "as Snakemake puts it" not in told.said()


def test_on_a_cluster_the_rate_counts_and_not_how_long_jobs_queue(monkeypatch):
    jobs = [train(number) for number in range(6)]
    told = Told(monkeypatch, jobs, local=False)
    for job in jobs:
        told.begin(job)
    told.now += 30
    told.end(jobs[0])
    told.end(jobs[1])
    # all are submitted at once: two in 30 seconds
    assert "1 of 6 runs trained, 5 running, 0 failed; about 0:02:30 left" in told.said()
    assert told.display._counts() == "2 of 6 runs trained, 4 running, 0 failed; about 0:01:00 left"


def test_a_failure_is_said_at_once_with_what_happens_next(monkeypatch):
    jobs = [train(0), train(1)]
    told = Told(monkeypatch, jobs)
    told.begin(jobs[0])
    told.fail(jobs[0], "SLURM status is: 'TIMEOUT'")
    assert "failed: train l2=0.1 seed=0: SLURM status is: 'TIMEOUT'; nothing" in told.said()
    assert told.said().endswith("log: 0.log; it is tried again\n")
    told.leave(jobs[0])
    again = train(0, attempt=2)
    told.begin(again)
    told.fail(again, "TIMEOUT again")
    assert told.said().endswith("TIMEOUT again; nothing was logged\n    log: 0.log\n")
    told.leave(again)
    told.workflow.scheduler.failed = {Id(again)}
    assert told.display._counts().startswith("0 of 2 runs trained, 0 running, 1 failed")
    end = told.display.failures()
    assert end.startswith("1 failed; ")
    assert "  train l2=0.1 seed=0: TIMEOUT again; nothing was logged\n    log: 0.log\n" in end
    assert "allow_missing" in end
    assert told.said().count("0 of 2 runs trained, 0 running, 1 failed") == 1


def test_what_ctrl_c_ends_has_not_failed(monkeypatch):
    jobs = [train(0), train(1), train(2)]
    told = Told(monkeypatch, jobs)
    told.begin(jobs[0])
    told.begin(jobs[1])
    told.end(jobs[0])
    told.logger.info("Terminating processes on user request, this might take some time.")
    told.fail(jobs[1])
    assert told.display.failures() == "Stopped. The same command goes on from here."
    assert "failed: " not in told.said()
    assert told.said().endswith(" 1 of 3 runs trained\n")


def test_jobs_of_a_group_are_counted_one_by_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    jobs = [train(0), train(1), train(2)]
    told = Told(monkeypatch, jobs, local=False)
    for job in jobs:
        told.begin(job)
    group = Id(Job(jobs=jobs[:2], jobid=7, restart_times=0, attempt=1))
    told.workflow.scheduler.running = {group, Id(jobs[2])}
    assert told.display._counts().startswith("0 of 3 runs trained, 3 running, 0 failed")
    # the first was complete when the second failed
    (tmp_path / "run-0.json").touch()
    told.fail(jobs[0], "FAILED")
    told.fail(jobs[1], "FAILED")
    assert "seed=0" not in told.said()
    assert "failed: train l2=0.1 seed=1: FAILED; nothing was logged\n" in told.said()
    told.workflow.scheduler.failed = {group}
    told.workflow.scheduler.running = {Id(jobs[2])}
    assert told.display._counts().startswith("1 of 3 runs trained, 1 running, 1 failed")
    assert told.display.failures().count("    log: ") == 1


def test_unknown_lines_of_snakemake_are_shown_and_a_command_is_not(monkeypatch):
    told = Told(monkeypatch, [])
    told.logger.warning("the cluster is down")
    told.logger.info("Select jobs to execute...")
    told.tell(LogEvent.ERROR)
    told.logger.error(
        'RuleException:\nCalledProcessError in file "train.smk", line 1:\nCommand ...',
        extra={"event": LogEvent.ERROR},
    )
    lines = told.said().splitlines()
    assert lines[1:] == ["the cluster is down", f"{LogEvent.ERROR} as Snakemake puts it"]


@pytest.mark.parametrize(
    "settings", [{"dryrun": True}, {"verbose": True}, {"quiet": {"progress"}}, {"quiet": {"all"}}]
)
def test_the_screen_is_left_to_snakemake(monkeypatch, settings):
    told = Told(monkeypatch, [train(0)], **settings)
    told.begin(train(0))
    assert told.said() == f"{LogEvent.JOB_INFO} as Snakemake puts it\n"


def test_a_display_that_fails_gives_the_screen_back(monkeypatch):
    told = Told(monkeypatch, [train(0)])
    told.begin(train(0))
    told.tell(LogEvent.JOB_ERROR)  # with nothing that belongs to it
    assert "No display of progress (AttributeError: " in told.said()
    told.tell(LogEvent.JOB_INFO)
    assert told.said().endswith(f"{LogEvent.JOB_INFO} as Snakemake puts it\n")

"""What has become of the jobs of a study, as far as Snakemake's log events tell.

The events and the attributes of their records are Snakemake's public interface for loggers
(snakemake-interface-logger-plugins). Nothing else is looked at.
"""

import contextlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from snakemake_interface_logger_plugins.common import LogEvent


@dataclass
class Job:
    """One job, from its first start on. `state` is "running", "done" or "failed"."""

    rule: str
    name: str
    """Rule and wildcards, such as "train batch_size~32 l2=0.1 seed=3"."""
    log: str
    began: float
    """Seconds, of the clock that the caller of `Jobs.take` uses."""
    state: str = "running"
    seconds: float = 0.0
    """How long it took, once it is done."""
    folder: str = ""
    """Of its first file."""
    reason: str = ""
    """Why it failed, if it has."""
    again: bool = False
    """Whether it had failed before."""


class Jobs:
    """All jobs of one workflow, in the order of their first start: on a cluster, the submission."""

    def __init__(self):
        """Begin without any job."""
        self.planned: dict[str, int] = {}
        """How many jobs of each rule there are to do, in the order of their dependence."""
        self.cores: int | None = None
        """How many jobs of one thread run at a time here; None if they are sent to a cluster."""
        self._jobs: dict[int, Job] = {}
        self._grouped: set[int] = set()

    def take(self, record: logging.LogRecord, now: float) -> Job | None:
        """Take in a record of Snakemake's logger at the time `now`, in seconds, and return the job
        that has begun, ended or failed, if it tells of one."""
        match getattr(record, "event", None):
            case LogEvent.RUN_INFO:
                self.planned = {rule: n for rule, n in record.stats.items() if rule != "total"}
            case LogEvent.RESOURCES_INFO:
                self.cores = getattr(record, "cores", self.cores)
            case LogEvent.JOB_INFO:
                return self._begins(record, now)
            case LogEvent.JOB_FINISHED if record.job_id in self._jobs:
                job = self._jobs[record.job_id]
                job.state, job.seconds = "done", now - job.began
                return job
            case LogEvent.GROUP_ERROR:
                self._grouped.update(about["jobid"] for about in record.job_error_info)
            case LogEvent.JOB_ERROR:
                return self._fails(record, now)
        return None

    def of(self, rule: str | None = None, state: str = "running") -> list[Job]:
        """Return the jobs in `state`; of one rule, or of all rules but `all`."""
        jobs = list(self._jobs.values())
        return [job for job in jobs if job.state == state and (rule or job.rule) == job.rule]

    def waiting(self, rule: str) -> int:
        """Return how many jobs of `rule` have not begun."""
        begun = sum(job.rule == rule for job in list(self._jobs.values()))
        return max(self.planned.get(rule, 0) - begun, 0)

    def _begins(self, record: logging.LogRecord, now: float) -> Job | None:
        before = self._jobs.get(record.jobid)
        # A group of jobs that is repeated names those that are complete, too.
        if record.rule_name == "all" or (before and before.state == "done"):
            return None
        job = Job(
            rule=record.rule_name,
            name=" ".join([record.rule_name, *_words(record.wildcards or {})]),
            log=str(record.log[0]) if record.log else "",
            began=now,
            folder=os.path.dirname(record.output[0]) if record.output else "",
            again=before is not None,
        )
        self._jobs[record.jobid] = job
        return job

    def _fails(self, record: logging.LogRecord, now: float) -> Job | None:
        log = str(record.log[0]) if record.log else ""
        job = self._jobs.setdefault(record.jobid, Job(record.rule_name, record.rule_name, log, now))
        if job.state == "failed":  # some versions of Snakemake say it twice
            return None
        # A group fails as a whole, though some of its jobs may be complete.
        if record.jobid in self._grouped and all(Path(path).exists() for path in record.output):
            job.state = "done"
        else:
            job.state, job.reason = "failed", reason(job.log, record.rule_msg or "")
        return job


def _words(wildcards: Mapping[str, str]) -> list[str]:
    """Return the wildcards of a job in words; of a place, the name of the set-up or the data."""
    named = [f"{name}={wildcards[name]}" for name in ("l2", "seed") if name in wildcards]
    places = (wildcards.get(name, "").rpartition("/")[2] for name in ("place", "data"))
    return [*filter(None, places), *named]


def reason(log: str, said: str = "") -> str:
    """Return why a job failed: what the cluster `said`, if anything, and the log's last line."""
    written = ""
    with contextlib.suppress(OSError):
        written = Path(log).read_text(errors="replace").strip()
    last = written.splitlines()[-1].strip() if written else "nothing was logged"
    return "; ".join(filter(None, [said.strip(), last]))

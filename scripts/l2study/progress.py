"""What a person sees while a study runs: runs done, running and failed, and the time left.

Snakemake tells through a logger what it does, several lines for every job. On the screen those
lines give way to a live display in a terminal, and elsewhere to a line every few seconds; in
Snakemake's own log they stay. With `--verbose`, in a dry run, or with another logger, the screen is
Snakemake's as always. Whatever goes wrong in here is said in one line and stops no job.
"""

import contextlib
import logging
import re
import statistics
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from snakemake_interface_logger_plugins.common import LogEvent

from l2study.files import read_json

PAUSE = 5.0
"""Seconds from one line to the next where there is no terminal."""

ROWS = 8
"""How many running jobs the live display names."""

_REPLACED = {
    LogEvent.WORKFLOW_STARTED,
    LogEvent.RESOURCES_INFO,
    LogEvent.RUN_INFO,
    LogEvent.JOB_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.JOB_FINISHED,
    LogEvent.JOB_ERROR,
    LogEvent.GROUP_INFO,
    LogEvent.GROUP_ERROR,
    LogEvent.PROGRESS,
}

# Lines that Snakemake does not mark as events. Whatever is not named here is shown.
_NOISE = re.compile(
    r"Assuming unrestricted shared|Using shell:|Rules claiming more threads|Select jobs to execute"
    r"|Trying to restart job|Removing output files of failed job|Exiting because a job execution"
    r"|Conda environments: ignored|Elapsed time:|Group jobs: inactive"
    r"|Job \S+ has been submitted|Submitted array job"
    # what it says of failed jobs is said better at the end
    r"|WorkflowError:\s*At least one job did not complete successfully"
    # the job's own reason is shown in place of its command
    r"|(?s:RuleException:.*\bCalledProcessError in file)"
)

# After Ctrl-C, jobs end for no reason of their own.
_STOPPING = re.compile("Terminating processes on user request")


class Progress(logging.Handler):
    """The display of one invocation of Snakemake."""

    def __init__(self, workflow, results: str, runs: list[str], epochs: int, refused: bool = False):
        """Take Snakemake's lines about single jobs off the screen.

        Args:
            workflow: Snakemake's, while the Snakefile is read.
            results: folder of the study's results.
            runs: folders of all runs that the report is made from.
            epochs: of a run.
            refused: it has been said that another process is at work on the study, so that
                Snakemake's advice to unlock it would mislead.
        """
        super().__init__()
        self._workflow, self._results, self._runs, self._epochs = workflow, results, runs, epochs
        self._began = self._said = time.monotonic()
        self._begun: dict[int, tuple[str, str, float]] = {}
        self._reasons: dict[int, str] = {}
        self._seconds: list[float] = []
        self._made: set[str] = set()
        self._to_train = 0
        self._news = self._stopping = False
        self._first_run: float | None = None
        self._typical: float | None = None
        self._live = None
        self._logger = logging.getLogger("snakemake.logging")
        settings = workflow.output_settings
        silent = {"progress", "all"} & {str(about).lower() for about in settings.quiet or ()}
        default = {handler.name: handler for handler in self._logger.handlers}
        self._screen = default.get("DefaultStreamHandler")
        if settings.dryrun or settings.verbose or silent or not workflow.is_main_process:
            self._screen = None
        if self._screen:
            self._stream = self._screen.stream
            self._screen.addFilter(_wanted)
            if refused:
                self._screen.addFilter(lambda said: not said.getMessage().startswith("LockExc"))

    def start(self) -> None:
        """Say what will be done, and follow it from here on."""
        if not self._screen:
            return
        try:
            jobs = list(self._workflow.dag.needrun_jobs())
            new = {str(job.output.run) for job in jobs if job.rule.name == "train"}
            there = [f"{run}/run.json" for run in self._runs if Path(run, "run.json").exists()]
            order = [rule.name for rule in self._workflow.rules]
            others = {job.rule.name for job in jobs} - {"train", "all"}
            self._to_train = len(new)
            if new:
                # a damaged record is no matter of the display; aggregation will refuse it
                with contextlib.suppress(Exception):
                    records = [read_json(path) for path in there[:100]]
                    self._typical = typical_seconds(records, self._epochs)
            kept = len(set(there) - new)
            words = f"{len(new)} {'run' if len(new) == 1 else 'runs'} to train, {kept} kept"
            named = ", ".join(sorted(others, key=order.index)) or "none"
            self._say(f"{words}; other jobs: {named}")
            if self._typical:
                self._say(self._counts())
            if self._stream.isatty():
                self._go_live()
            self._logger.addHandler(self)
        except Exception as error:
            self._give_up(error)

    def success(self) -> str:
        """End the display and return a text that says what has been made, and in what time."""
        self.close()
        page = f": {self._results}/report/report.html" if "report" in self._made else ""
        return f"Done in {_time(time.monotonic() - self._began)}{page}"

    def failures(self) -> str:
        """End the display and return a text that names each failed job, why, and what to do."""
        self.close()
        lines = []
        jobs = _lost(self._workflow.scheduler.failed)
        for job in sorted(jobs, key=lambda job: str(job.log)):
            why = self._reasons.get(job.jobid) or reason(str(job.log))
            lines.append(f"  {_name(job.rule.name, job.wildcards_dict)}: {why}\n    log: {job.log}")
        if not lines:
            return "Stopped. The same command goes on from here."
        if any(job.rule.name == "train" for job in jobs):
            lines.append(
                "For a report without the runs that are missing: --config allow_missing=true"
            )
        head = "failed; what is complete is kept, the same command tries the rest again."
        return "\n".join([f"{len(jobs)} {head}", *lines])

    def emit(self, record: logging.LogRecord) -> None:
        """Take in what Snakemake says of a job. Called by its logger."""
        try:
            match getattr(record, "event", None):
                case LogEvent.JOB_INFO:
                    self._job_begins(record)
                case LogEvent.JOB_FINISHED:
                    self._job_ends(record.job_id)
                case LogEvent.JOB_ERROR if not self._stopping:
                    self._job_fails(record)
                case None if _STOPPING.match(str(record.msg)):
                    self._stopping = True
        except Exception as error:
            self._give_up(error)

    def close(self) -> None:
        """Give the terminal back. Snakemake's logger calls this too, however it ends."""
        self._logger.removeHandler(self)
        super().close()
        if self._live:
            live, self._live = self._live, None
            with contextlib.suppress(Exception):
                live.stop()
            self._screen.stream = self._stream
            self._news = bool(self._to_train)
        if self._news:
            self._news = False
            with contextlib.suppress(Exception):
                done = f"{self._done()} of {self._to_train} runs trained"
                self._say(done if self._stopping else self._counts())

    def _job_begins(self, record) -> None:
        if record.rule_name == "all":
            return
        now = time.monotonic()
        name = _name(record.rule_name, record.wildcards)
        self._begun[record.jobid] = (name, str(record.log[0]) if record.log else "", now)
        if record.rule_name == "train" and self._first_run is None:
            self._first_run = now
        self._say_counts_now_and_then()

    def _job_ends(self, job: int) -> None:
        if job not in self._begun:
            return
        name, _, began = self._begun.pop(job)
        rule, now = name.split()[0], time.monotonic()
        self._reasons.pop(job, None)
        self._made.add(rule)
        if rule != "train":
            self._say(f"{name} done in {_time(now - began)}")
            return
        self._seconds.append(now - began)
        self._news = True
        # While others wait, the next begins at once: only then does the count of running ones hold.
        if not self._waiting():
            self._say_counts_now_and_then(always=len(self._seconds) == self._to_train)

    def _say_counts_now_and_then(self, always: bool = False) -> None:
        now = time.monotonic()
        if self._news and not self._live and (always or now - self._said >= PAUSE):
            self._said, self._news = now, False
            self._say(self._counts())

    def _job_fails(self, record) -> None:
        name, log, _ = self._begun.pop(record.jobid, (record.rule_name, "", 0.0))
        held = list(self._workflow.scheduler.running)
        jobs = {job.jobid: (job, one) for one in held for job in _single([one])}
        job, one = jobs.get(record.jobid, (None, None))
        if job and not _lost([one], only=job):
            return
        self._news = record.rule_name == "train"
        self._reasons[record.jobid] = why = reason(log, record.rule_msg or "")
        again = job and one.restart_times >= one.attempt
        outlook = "; it is tried again" if again else ""
        self._say(f"failed: {name}: {why}\n    log: {log}{outlook}", style="bold red")

    def _at_work(self) -> list[tuple[str, str, float]]:
        """Return name, log and begin of each job that Snakemake holds for running."""
        running = {job.jobid for job in _single(list(self._workflow.scheduler.running))}
        return [job for number, job in list(self._begun.items()) if number in running]

    def _done(self) -> int:
        """Return how many runs are trained, those of a failed group of jobs among them."""
        failed = list(self._workflow.scheduler.failed)
        return len(self._seconds) + _runs(_single(failed)) - _runs(_lost(failed))

    def _failed(self) -> int:
        return _runs(_lost(list(self._workflow.scheduler.failed)))

    def _training(self) -> list[float]:
        return [began for name, _, began in self._at_work() if name.startswith("train ")]

    def _waiting(self) -> int:
        return self._to_train - self._done() - self._failed() - len(self._training())

    def _counts(self) -> str:
        done, failed, training = self._done(), self._failed(), self._training()
        words = f"{done} of {self._to_train} runs trained, {len(training)} running, {failed} failed"
        waiting, now = self._to_train - done - failed - len(training), time.monotonic()
        if not waiting and not training:
            return words
        if not self._workflow.local_exec:  # how long a job queues is no property of the job
            elapsed = now - self._first_run if self._first_run else 0.0
            left = elapsed / done * (waiting + len(training)) if done else None
        else:
            each = statistics.median(self._seconds) if self._seconds else self._typical
            if not self._seconds and each and self._first_run and now - self._first_run > each:
                each = None  # the first runs import and compile as well, as others did not
            cores = self._workflow.resource_settings.cores or 1
            left = time_left(each, waiting, [now - began for began in training], cores)
        if left is None:
            return f"{words}; the time left is known when one is done"
        return f"{words}; about {_time(left)} left"

    def _go_live(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(
            file=self._stream, no_color=self._workflow.output_settings.nocolor or None
        )
        if console.is_dumb_terminal:
            return
        self._live = Live(
            console=console, get_renderable=self._picture, refresh_per_second=4, transient=True
        )
        self._live.start()
        # Snakemake's own lines go through the display as well, and appear above it
        from rich.file_proxy import FileProxy

        self._screen.stream = FileProxy(console, self._stream)

    def _picture(self):
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        try:
            now, jobs = time.monotonic(), self._at_work()
            rows = Table.grid(padding=(0, 2))
            for name, log, began in jobs[:ROWS]:
                rows.add_row(
                    Text(f"  {name}"), Text(_epoch(log)), Text(_time(now - began), style="dim")
                )
            if len(jobs) > ROWS:
                rows.add_row(Text(f"  and {len(jobs) - ROWS} more", style="dim"))
            if not self._to_train:
                return rows
            bar = Table.grid()
            bar.add_row(ProgressBar(self._to_train, self._done(), width=60))
            return Group(bar, Text(self._counts(), overflow="fold"), rows)
        except Exception as error:  # this is a thread of its own, in which nobody would see it
            return Text(f"(no progress to show: {error})")

    def _say(self, text: str, style: str = "") -> None:
        stamped = f"{datetime.now():%H:%M:%S} {text}"
        if self._live:
            from rich.text import Text

            self._live.console.print(Text(stamped, style=style), soft_wrap=True)
        else:
            self._stream.write(f"{stamped}\n")
            self._stream.flush()

    def _give_up(self, error: Exception) -> None:
        """Return to what Snakemake prints by itself."""
        with contextlib.suppress(Exception):
            self._screen.removeFilter(_wanted)
            self.close()
            self._logger.warning(f"No display of progress ({type(error).__name__}: {error}).")


def typical_seconds(records: Iterable[dict], epochs: int) -> float | None:
    """Return the median seconds that a run of `epochs` epochs takes, as those of `records` did.

    Args:
        records: the contents of run.json; diverged runs do not count. None if there is none.
        epochs: of a new run; training and evaluation are taken as proportional to it.
    """
    seconds = []
    for record in records:
        if record["status"] == "completed":
            cost, then = record["cost"], record["config"]["training"]["epochs"]
            by_epoch = cost["seconds_train"] + cost["seconds_evaluate"]
            seconds.append(cost["seconds_total"] + by_epoch * (epochs / then - 1))
    return statistics.median(seconds) if seconds else None


def time_left(
    each: float | None, waiting: int, running: Iterable[float], cores: int
) -> float | None:
    """Return the seconds until all runs are trained, or None if a run's time is not known.

    Args:
        each: seconds that one run takes.
        waiting: how many have not begun.
        running: for how many seconds each of the others has been at work.
        cores: how many are at work at a time.
    """
    if each is None:
        return None
    rest = [max(each - elapsed, 0.0) for elapsed in running]
    work = waiting * each + sum(rest)
    return max([work / max(min(cores, waiting + len(rest)), 1), *rest])


def reason(log: str, said: str = "") -> str:
    """Return why a job failed: what the cluster `said`, if anything, and the log's last line."""
    written = []
    with contextlib.suppress(OSError):
        written = Path(log).read_text(errors="replace").splitlines()
    last = [line.strip() for line in written if line.strip()][-1:] or ["nothing was logged"]
    return "; ".join([*([said.strip()] if said.strip() else []), *last])


def _wanted(record: logging.LogRecord) -> bool:
    """Whether a record of Snakemake's is shown though there is a display."""
    return getattr(record, "event", None) not in _REPLACED and not _NOISE.match(
        record.getMessage() if record.msg else ""
    )


def _single(jobs: Iterable) -> list:
    return [job for one in jobs for job in (one.jobs if one.is_group() else [one])]


def _lost(failed: Iterable, only=None) -> list:
    """Return the jobs of `failed`, jobs and groups of jobs, that have to be done again.

    Of a group that failed, as of several runs in one job of a cluster, some may be complete.
    """
    return [
        job
        for one in failed
        for job in _single([one])
        if only in (None, job)
        and not (one.is_group() and all(Path(file).exists() for file in job.output))
    ]


def _runs(jobs: list) -> int:
    return sum(job.rule.name == "train" for job in jobs)


def _name(rule: str, wildcards: dict | None) -> str:
    return " ".join([rule, *(f"{name}={value}" for name, value in (wildcards or {}).items())])


def _epoch(log: str) -> str:
    """Return how far the job of `log` says it is: "epoch 3/20", or nothing."""
    with contextlib.suppress(OSError):
        found = re.findall(r"^(epoch \d+/\d+):", Path(log).read_text(errors="replace"), re.M)
        return found[-1] if found else ""
    return ""


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

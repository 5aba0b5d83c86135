"""What a person sees while a study runs: runs done, running and failed, and the time left.

In a terminal, a live display takes the place of Snakemake's lines about single jobs; elsewhere, a
line every few seconds does. Snakemake's own log has all lines. With `--verbose`, with `--quiet`, in
a dry run or with another logger, the screen is Snakemake's. An error in here stops no job: it is
said in one line, and the screen is Snakemake's again.
"""

import contextlib
import logging
import re
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from snakemake_interface_logger_plugins.common import LogEvent

from l2study.workflow import estimate, notes, snakemake_compat
from l2study.workflow.jobs import Job, Jobs

PAUSE = 5.0
"""Seconds from one line to the next where there is no terminal."""

ROWS = 8
"""How many running jobs the live display names."""

_KEPT = {None, LogEvent.SHELLCMD, LogEvent.DEBUG_DAG, LogEvent.RULEGRAPH, LogEvent.ERROR}
"""Events of the lines that are shown; of all others the display speaks in its own way."""


class Screen(logging.Handler):
    """Follows Snakemake's events, and shows them if it may have the screen."""

    def __init__(self, taken: tuple[logging.StreamHandler, bool] | None):
        """Follow events from now on, and hide Snakemake's lines about single jobs; without what
        `snakemake_compat.screen` returns, say nothing."""
        super().__init__()
        self.jobs = Jobs()
        self._theirs, self._colours = taken or (None, False)
        self._stream = self._theirs and self._theirs.stream
        self._began = self._said = time.monotonic()
        self._runs: list[estimate.Expected] = []
        self._scale: float | None = None
        self._news = self._stopping = False
        self._live = None
        if self._theirs:
            self._theirs.addFilter(_wanted)
        snakemake_compat.LOGGER.addHandler(self)

    def start(
        self,
        expected: Callable[[], tuple[list[estimate.Expected], float | None]],
        unnamed: str | None = None,
    ) -> None:
        """Say what will be done, with what `notes.unnamed` says, and begin the display.

        `expected` returns all runs that the report is made from, and how many times as long as
        expected they take, if that is known. Here an error in it stops nothing.
        """
        with self._careful():
            self._notice_ctrl_c()
            new = self.jobs.planned.get("train", 0)
            self._runs, self._scale = expected()
            there = [run for run in self._runs if not run.new]
            others = [rule for rule in self.jobs.planned if rule not in ("train", "all")]
            kept = min(len(there), max(len(self._runs) - new, 0))
            words = f"{new} {'run' if new == 1 else 'runs'} to train, {kept} kept"
            self._say(f"{words}; other jobs: {', '.join(others) or 'none'}")
            again = max(len(there) + new - len(self._runs), 0)
            for note in filter(None, [notes.replaced(again, there), unnamed]):
                self._say(note)
            if new and self._scale:
                self._say(self._counts())
            if self._theirs and self._stream.isatty():
                self._go_live()

    def success(self, page: str) -> str:
        """End the display and return a text with the time taken, and `page` if it has been made."""
        self.close()
        made = f": {page}" if self.jobs.of("report", "done") else ""
        return f"Done in {_time(time.monotonic() - self._began)}{made}"

    def failures(self) -> str:
        """End the display and return a text that names each failed job, why, and what to do."""
        self.close()
        failed = sorted(self.jobs.of(state="failed"), key=lambda job: job.log)
        if not failed:
            return "Stopped. Run the same command again to continue."
        head = "failed; what is complete is kept, and the same command tries the rest again."
        lines = [f"{len(failed)} {head}"]
        lines += [f"  {job.name}: {job.reason}\n    log: {job.log}" for job in failed]
        if self.jobs.of("train", "failed"):
            lines.append("For a report without the missing runs: --config allow_missing=true")
        return "\n".join(lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Take in what Snakemake says of a job. Called by its logger."""
        with self._careful():
            if self._stopping and getattr(record, "event", None) == LogEvent.JOB_ERROR:
                return  # after Ctrl-C, jobs end for no reason of their own
            if job := self.jobs.take(record, time.monotonic()):
                self._tell(job)

    def give_back(self) -> None:
        """Leave the screen to Snakemake from here on."""
        if self._theirs:
            self._theirs.removeFilter(_wanted)
        self.close()
        self._theirs = None

    def close(self) -> None:
        """Give the terminal back. Snakemake's logger calls this too, however it ends."""
        snakemake_compat.LOGGER.removeHandler(self)
        super().close()
        if self._live:
            live, self._live = self._live, None
            with contextlib.suppress(Exception):
                live.stop()
            self._theirs.stream = self._stream
            self._news = bool(self.jobs.planned.get("train"))
        if self._news:
            self._news = False
            with contextlib.suppress(Exception):
                self._say(self._counts().partition(",")[0] if self._stopping else self._counts())

    def _tell(self, job: Job) -> None:
        if job.state == "failed":
            self._say(f"failed: {job.name}: {job.reason}\n    log: {job.log}", style="bold red")
        elif job.again and job.state == "running":
            self._say(f"{job.name} is tried again")
        elif job.state == "done" and job.rule != "train":
            self._say(f"{job.name} done in {_time(job.seconds)}")
        self._news |= job.state != "running" and job.rule == "train"
        if not self._news or self._live:
            return
        # While runs wait, the next begins at once, and the count of running ones is right then.
        last = not self.jobs.waiting("train")
        due = time.monotonic() - self._said >= PAUSE and (last or job.state == "running")
        if due or (last and not self.jobs.of("train")):
            self._said, self._news = time.monotonic(), False
            self._say(self._counts())

    def _counts(self) -> str:
        states = ("done", "running", "failed")
        done, running, failed = (len(self.jobs.of("train", state)) for state in states)
        if self.jobs.cores:  # the next job is announced before the end of the last
            running = min(running, self.jobs.cores)
        planned = self.jobs.planned.get("train", 0)
        at_work = "running" if self.jobs.cores else "submitted"
        words = f"{done} of {planned} runs trained, {running} {at_work}, {failed} failed"
        if not running and not self.jobs.waiting("train"):
            return words
        left = estimate.training_left(self.jobs, self._runs, self._scale, time.monotonic())
        if left is None:
            return f"{words}; the time left is known once one is done"
        return f"{words}; about {_time(left)} left"

    def _go_live(self) -> None:
        from rich.console import Console
        from rich.file_proxy import FileProxy
        from rich.live import Live

        console = Console(file=self._stream, no_color=None if self._colours else True)
        if console.is_dumb_terminal:
            return
        self._live = Live(
            console=console, get_renderable=self._picture, refresh_per_second=4, transient=True
        )
        self._live.start()
        # Snakemake's own lines go through the display as well, and appear above it.
        self._theirs.stream = FileProxy(console, self._stream)

    def _picture(self):
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        try:
            now, running = time.monotonic(), self.jobs.of()
            rows = Table.grid(padding=(0, 2))
            for job in running[:ROWS]:
                rows.add_row(
                    Text(f"  {job.name}"),
                    Text(_epoch(job.log)),
                    Text(_time(now - job.began), style="dim"),
                )
            if len(running) > ROWS:
                rows.add_row(Text(f"  and {len(running) - ROWS} more", style="dim"))
            planned = self.jobs.planned.get("train", 0)
            if not planned:
                return rows
            bar = Table.grid()
            bar.add_row(ProgressBar(planned, len(self.jobs.of("train", "done")), width=60))
            return Group(bar, Text(self._counts(), overflow="fold"), rows)
        except Exception as error:  # this is a thread of its own, in which nobody would see it
            return Text(f"(no progress to show: {error})")

    def _say(self, text: str, style: str = "") -> None:
        stamped = f"{datetime.now():%H:%M:%S} {text}"
        if self._live:
            from rich.text import Text

            self._live.console.print(Text(stamped, style=style), soft_wrap=True)
        elif self._theirs:
            self._stream.write(f"{stamped}\n")
            self._stream.flush()

    def _notice_ctrl_c(self) -> None:
        before = signal.getsignal(signal.SIGINT)

        def notice(number, frame):
            self._stopping = True
            return before(number, frame)

        if callable(before):
            signal.signal(signal.SIGINT, notice)

    @contextlib.contextmanager
    def _careful(self):
        """If the block raises, say so and return to what Snakemake prints by itself."""
        try:
            yield
        except Exception as error:
            with contextlib.suppress(Exception):
                self.give_back()
                about = f"{type(error).__name__}: {error}"
                snakemake_compat.LOGGER.warning(f"No display of progress ({about}).")


def _wanted(record: logging.LogRecord) -> bool:
    text = record.getMessage() if record.msg else ""
    return getattr(record, "event", None) in _KEPT and not snakemake_compat.NOISE.match(text)


def _epoch(log: str) -> str:
    """Return how far the job of `log` says it is: "epoch 3/20", or nothing."""
    with contextlib.suppress(OSError):
        found = re.findall(r"^(epoch \d+/\d+):", Path(log).read_text(errors="replace"), re.M)
        return found[-1] if found else ""
    return ""


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

"""All that rests on what Snakemake does not promise to keep, in one place.

Each function says what it is for, and why no public interface serves. Where a Snakemake does not
fit, the function says in one line what is lost, and the study goes on.
"""

import asyncio
import contextlib
import functools
import logging
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

import yaml
from snakemake.utils import available_cpu_count, update_config

from l2study.core import processors
from l2study.workflow import slurm

LOGGER = logging.getLogger("snakemake.logging")
"""Snakemake's logger. A plugin for it would be public, but must be installed as a package before
Snakemake starts, which a clone is not. Without the name: Snakemake's own screen."""


def _adapter(without: str, otherwise: object = None) -> Callable:
    """Guard a function: if it raises, say in one line what follows, and return `otherwise`."""

    def guard(function: Callable) -> Callable:
        @functools.wraps(function)
        def guarded(*arguments):
            try:
                return function(*arguments)
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
                print(f"Unsupported Snakemake ({what}): {without}.", file=sys.stderr)
                return otherwise

        return guarded

    return guard


# ---- the configuration


@_adapter("cluster jobs will check configuration and data again", otherwise=True)
def is_main(workflow) -> bool:
    """Return whether this is the Snakemake that a person has started, which checks the input, has a
    screen and locks the study, not one within a job."""
    return workflow.is_main_process


@_adapter("a key given twice will go unnoticed, and its last value will count")
def config_files(workflow) -> list | None:
    """Return the files of the configuration, to read them more strictly. Public is what they merge
    to."""
    return workflow.configfiles


@_adapter("numbers in a mapping or list given with --config will be text, and may be refused")
def read_command_line(workflow, config: dict) -> None:
    """Put what `--config` gives as a mapping or a list into `config`, with numbers: Snakemake makes
    the text "2" of `--config "training={epochs: 2}"`. What is not YAML is left as it is."""
    for entry in workflow.config_settings.config_args or []:
        key, _, text = entry.partition("=")
        if text.startswith(("{", "[")):
            with contextlib.suppress(yaml.YAMLError):
                update_config(config, {key: yaml.safe_load(text)})


@_adapter("the runs of several set-ups will be trained in any order")
def orders_jobs(workflow) -> bool:
    """Return whether `priority:` of a rule may be a function of a job's wildcards, as it may in
    newer Snakemakes (9.27, not 9.14)."""
    return hasattr(next(iter(workflow.rules)), "expand_priority")


# ---- processors


@_adapter("--cores all is all processors of the machine, whatever a quota allows")
def heed_quota(workflow) -> None:
    """Let `--cores all` mean what this process may use, also in a container with a quota. Public is
    a number of cores."""
    everything, allowed = available_cpu_count(), processors.usable()
    if workflow.resource_settings.cores == everything > allowed:
        workflow.register_resource("_cores", allowed)


# ---- the screen


@_adapter("Snakemake's own output will be shown")
def screen(workflow) -> tuple[logging.StreamHandler, bool] | None:
    """Return Snakemake's handler for the screen and whether to use colours, if we may replace it:
    not in a dry run, with --verbose, --quiet, or where a logger plugin has the screen."""
    settings = workflow.output_settings
    silent = {"progress", "all"} & {str(about).lower() for about in settings.quiet or ()}
    if settings.dryrun or settings.verbose or silent:
        return None
    named = {handler.name: handler for handler in LOGGER.handlers}
    handler = named.get("DefaultStreamHandler")
    return (handler, not settings.nocolor) if handler else None


@_adapter("what is said of --touch is said of runs that are trained")
def touches(workflow) -> bool:
    """Return whether jobs have their files marked as new instead of running (--touch). It is known
    when the first job is about to start."""
    return workflow.touch


NOISE = re.compile(
    r"Assuming unrestricted shared|Using shell:|Rules claiming more threads|Select jobs to execute"
    r"|Trying to restart job|Removing output files of failed job|Exiting because a job execution"
    r"|Conda environments: ignored|Elapsed time:|Group jobs: inactive"
    r"|Job \S+ has been submitted|Submitted array job"
    # the end of the study names the failed jobs
    r"|WorkflowError:\s*At least one job did not complete successfully"
    # the last line of the job's log is shown in place of its command
    r"|(?s:RuleException:.*\bCalledProcessError in file)"
)
"""Beginnings of lines that say nothing beside a display of progress. They are not marked as events,
so that nothing public tells them from others."""


# ---- Snakemake within a job of a cluster


BEGUN = "The job has begun."
"""What the Snakemake within a job says first. Slurm's log of a job that never began lacks it."""


@_adapter("a run that fails will stop those after it in its job")
def keep_going(workflow) -> None:
    """Let the Snakemake within a job of a cluster go on after a run that fails. The option
    --keep-going is not handed on to it."""
    execute = workflow.execute

    def execute_and_keep_going(*arguments, **options):
        workflow.execution_settings.keep_going = True
        return execute(*arguments, **options)

    workflow.execute = execute_and_keep_going


@_adapter("the runs of a job will share its processor instead of taking turns")
def one_slot(workflow) -> None:
    """Let the runs of a job of a cluster take turns: each takes one slot, and the job has one. The
    option --resources is not handed on to it."""
    workflow.register_resource("slots", 1)


# ---- the Snakemake that submits jobs


def mend(workflow) -> None:
    """Mend all of the Snakemake that a person has started."""
    for repair in (
        look_again_when_needed,
        submit_what_is_missing,
        see_every_end,
        ask_steadily,
        spare_tries,
        heed_limits,
        say_why_jobs_wait,
    ):
        repair(workflow)


@_adapter("scheduling will use more CPU as jobs finish")
def look_again_when_needed(workflow) -> None:
    """Let Snakemake look for jobs to start when one has ended, and else once per interval.

    Where it limits the jobs per interval, and by default it does, every look orders another one a
    second later. So after some hundred jobs it looks hundreds of times a second, at all inputs of
    all jobs that wait: in a study of 350 runs, that kept two thirds of a core busy at the end.
    Public is the option for the limit, which always is there, but none for the looking.
    """
    scheduler = workflow.scheduler
    order, due = scheduler._schedule_reevalutation, 0.0

    def order_one(delay):
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + delay
            order(delay)

    scheduler._schedule_reevalutation = order_one


@_adapter("with keep-incomplete, delete the files of runs that are to be trained again")
def submit_what_is_missing(workflow) -> None:
    """Remove what a job of a cluster is to make anew, and later submit only what is still missing.

    When a job fails, Snakemake keeps what it finds with `keep-incomplete`, and must not find runs
    of another configuration. What a repeated job finds is its own, and is not made again. Nothing
    public comes between the choice of a job and its submission.
    """
    if workflow.local_exec:
        return
    executor, finish = workflow.scheduler._executor, workflow.scheduler.finish_callback
    submit, submitted, anew = executor.run_jobs, set(), set()

    def missing(job):
        return job not in anew or not all(map(os.path.exists, job.output))

    def remove_and_submit(jobs):
        left = []
        for job in jobs:
            members = list(job.jobs) if job.is_group() else [job]
            if job not in submitted:
                submitted.add(job)
                asyncio.run(job.remove_existing_output())
                # Files that a job only adds to are not removed.
                anew.update(one for one in members if not any(map(os.path.exists, one.output)))
            if not (to_do := [one for one in members if missing(one)]):
                finish(job)
                continue
            if job.is_group():
                targets = [target for one in to_do for target in one.get_target_spec()]
                job.get_target_spec = lambda targets=targets: targets
            left.append(job)
        if left:
            submit(left)

    executor.run_jobs = remove_and_submit


# ---- Slurm


SLURM = "snakemake_executor_plugin_slurm"
"""The package of Snakemake's executor for Slurm. What is said of it below is of version 2.8."""

GOES = 5
"""How often a job is submitted again because of its node, before that counts as its failure."""

PAUSE = 5.0
"""Seconds before a job is submitted again. Until then, other jobs show which nodes are bad, too."""

FULL_PAUSE = 30.0
"""Seconds before a job is submitted again that was one too many for Slurm."""

LOOK = 60.0
"""Seconds from one look at Slurm's queue to the next."""

USUAL = {"None", "Priority", "Resources"}
"""Slurm's reasons for jobs that only wait their turn."""


def _slurm_executor(workflow) -> object | None:
    """Return the executor that submits jobs to Slurm; None where another has the jobs."""
    executor = workflow.scheduler._executor
    return executor if type(executor).__module__ == SLURM else None


@_adapter("Slurm jobs that a killed Snakemake leaves behind will not be found")
def name_of_jobs(workflow) -> str | None:
    """Return the name that all jobs of this Snakemake have in Slurm's queue; None without Slurm.
    Public is a prefix, the same for all studies."""
    executor = _slurm_executor(workflow)
    return executor and executor.run_uuid


@_adapter("the end of a job may be noticed late")
def ask_steadily(workflow) -> None:
    """Let Snakemake ask Slurm for its jobs in equal intervals, those that the profile sets. The
    executor waits ten seconds more after every question that finds no job ended."""
    if executor := _slurm_executor(workflow):
        seconds = workflow.executor_settings.init_seconds_before_status_checks
        executor.sleep = functools.partial(asyncio.sleep, seconds)


@_adapter("Snakemake may wait forever for a job that is cancelled or preempted")
def see_every_end(workflow) -> None:
    """Let the executor see that a job which was cancelled or preempted is over.

    sacct says `CANCELLED by <user>`, which the executor takes for a job still at work. And it waits
    for Slurm to start a preempted job again, which the profile asks Slurm not to do.
    """
    if _slurm_executor(workflow) is None:
        return
    plugin = sys.modules[SLURM]
    query = plugin.query_job_status

    async def query_plainly(*arguments):
        states, seconds = await query(*arguments)
        for job, state in (states or {}).items():
            word = state.partition(" ")[0]
            states[job] = "CANCELLED" if word == "PREEMPTED" else word
        return states, seconds

    plugin.query_job_status = query_plainly


@_adapter("bad nodes and an absent controller will use up the retries of runs")
def spare_tries(workflow) -> None:
    """Submit a job again, and do not count it as failed, where the cluster failed and not a run.

    Public is one number of tries, whatever a job fails of. So a node whose jobs die at once would
    take all tries of a run, and so would 20 seconds in which the controller is away.
    """
    if executor := _slurm_executor(workflow):
        spared = _SparedTries(executor)
        executor.report_job_error, executor.run_job = spared.report_job_error, spared.run_job


TOO_MANY = "job submit limit"
"""What Slurm says of a job more than a user may have in the queue, among others."""


@_adapter("a job that asks for more time than its partition allows is refused, or waits for ever")
def heed_limits(workflow) -> None:
    """Let no job ask for more time than its partition allows, and say so: one of several runs asks
    for the sum of their times, and for more at every try."""
    if _slurm_executor(workflow) is None:
        return
    plugin = sys.modules[SLURM]
    command, allowed = plugin.get_submit_command, functools.cache(slurm.minutes_allowed)
    said = set()

    def command_within_limits(*arguments, **options):
        text = command(*arguments, **options)
        asked, partition = re.search(r" -t '?(\d+)", text), re.search(r" -p '?([^' ]+)", text)
        limit = asked and allowed(partition and partition[1])
        if not limit or int(asked[1]) <= limit:
            return text
        if not said:
            said.add(limit)
            where = f"partition {partition[1]}" if partition else "this partition"
            LOGGER.warning(f"{where} allows {limit} minutes: jobs of {asked[1]} ask for {limit}")
        return text.replace(asked[0], asked[0].replace(asked[1], str(limit)), 1)

    plugin.get_submit_command = command_within_limits


@_adapter("why jobs wait in Slurm's queue is to be asked with squeue")
def say_why_jobs_wait(workflow) -> None:
    """Say for which reasons jobs wait, each once, where they do not only wait their turn: some
    limits let a job wait for ever, and Snakemake only asks which jobs have ended."""
    if (executor := _slurm_executor(workflow)) is None:
        return

    def look() -> None:
        said = set(USUAL)
        while True:
            time.sleep(LOOK)
            for reason, count in slurm.reasons(executor.run_uuid).items():
                if reason not in said:
                    said.add(reason)
                    less = "; --group-components runs=1 asks for the least time"
                    advice = less if re.search("Wall|TimeLimit", reason) else ""
                    LOGGER.warning(f"{count} jobs wait in Slurm's queue for {reason}{advice}")

    threading.Thread(target=look, daemon=True).start()


class _SparedTries:
    """What takes the place of the methods of the executor by which jobs begin and fail."""

    def __init__(self, executor):
        self._executor = executor
        self._report, self._run = executor.report_job_error, executor.run_job
        self._excluded, self._asked = executor._failed_nodes, set(executor._failed_nodes)
        self._goes, self._due = Counter(), 0.0
        self._refusals = {""}  # said already, or nothing to say

    def report_job_error(self, info, msg=None, **options) -> None:
        """Submit a job again a little later, or report that it has failed."""
        said = msg or ""
        why = self._why_again(info, said) if self._executor.wait else None
        if why is None:
            self._say_refusal(info, said)
            self._report(info, msg=msg, **options)
            return
        if info.external_jobid or time.monotonic() >= self._due:
            LOGGER.warning(why)
            self._due = time.monotonic() + 60.0
        pause = FULL_PAUSE if TOO_MANY in said else PAUSE
        again = threading.Timer(pause, self._submit_again, [info, options | {"msg": msg}])
        again.daemon = True
        again.start()

    def run_job(self, job) -> None:
        """Submit a job. The executor means to report what it raises, but stumbles over a group."""
        try:
            self._run(job)
        except Exception as error:
            from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

            said = error.__context__ or error
            info = SubmittedJobInfo(job)
            self._executor.report_job_error(info, f"A job cannot be submitted: {said}")

    @_adapter("the job counts as failed")
    def _why_again(self, info, said: str) -> str | None:
        """Return why a job that has ended is to be submitted again; None if it has failed."""
        if info.external_jobid is None:
            return self._why_submit_again(said)
        state, node = slurm.end_of(info.external_jobid)
        lost = state in ("NODE_FAIL", "BOOT_FAIL")
        never_began = state in ("FAILED", "CANCELLED") and not _has_begun(info)
        if not node or not (lost or never_began) or self._goes[info.job] == GOES:
            return None
        self._goes[info.job] += 1
        self._excluded.add(node)
        what = "was lost with its node" if lost else "ended before it had begun"
        return f"job {info.external_jobid} {what}, {node}: resubmitted; no more jobs go there"

    def _why_submit_again(self, said: str) -> str | None:
        if "Unable to contact slurm controller" in said:
            return "Slurm's controller does not answer: jobs wait until it does"
        if TOO_MANY in said and (ours := len(slurm.queued(self._executor.run_uuid))):
            return (
                "Slurm takes no more jobs of yours: those that are left wait until others have"
                f" ended. It would take {ours} at a time: --jobs {ours}"
            )
        if "node configuration is not available" in said and self._excluded != self._asked:
            self._excluded.intersection_update(self._asked)
            return "no good node is left: trying again those that jobs avoided"
        return None

    def _say_refusal(self, info, said: str) -> None:
        """Say why Slurm refuses a job, once: Snakemake does not, of a group."""
        # The command is long, and another for each job.
        refusal = " ".join(said.split()).partition(" sbatch call: ")[0]
        if info.external_jobid is None and refusal not in self._refusals:
            self._refusals.add(refusal)
            LOGGER.warning(refusal)

    def _submit_again(self, info, options: dict) -> None:
        try:
            self._executor.run_jobs([info.job])
        except Exception:  # the study is at its end
            self._report(info, **options)


def _has_begun(info) -> bool:
    """Return whether the Snakemake within a job has said so in Slurm's log of the job."""
    try:
        return BEGUN in info.aux["slurm_logfile"].read_text(errors="replace")
    except OSError:
        return False

"""How long training takes, and how long it will go on."""

import statistics
from collections.abc import Iterable

from l2study.core.epochs import evaluated_epochs
from l2study.workflow.jobs import Jobs


def typical_seconds(records: Iterable[dict], training: dict) -> float | None:
    """Return the median seconds that a run takes, going by those of `records`.

    Args:
        records: the contents of run.json. Diverged runs do not count; None if no run counts.
        training: that of a new run, a part of a canonical configuration. Its seconds are taken as
            proportional to its epochs, those of evaluation to the epochs that are evaluated.
    """
    seconds = []
    for record in records:
        if record["status"] == "completed":
            cost, then = record["cost"], record["config"]["training"]
            trained = training["epochs"] / then["epochs"]
            evaluated = len(evaluated_epochs(training)) / len(evaluated_epochs(then))
            seconds.append(
                cost["seconds_total"]
                + cost["seconds_train"] * (trained - 1)
                + cost["seconds_evaluate"] * (evaluated - 1)
            )
    return statistics.median(seconds) if seconds else None


def training_left(jobs: Jobs, typical: float | None, now: float) -> float | None:
    """Return the seconds until all runs are trained, or None if that cannot be told yet.

    Args:
        jobs: what has become of the jobs.
        typical: seconds that one run took in an earlier study, if that is known.
        now: seconds, of the clock of `jobs`.
    """
    running, done = jobs.of("train"), jobs.of("train", "done")
    begun = [job.began for job in running + done]
    waiting = jobs.waiting("train")
    if jobs.cores is None:
        # How long a job waits in a queue says nothing of the job, so the rate of ends counts.
        return (now - min(begun)) / len(done) * (waiting + len(running)) if done else None
    each = statistics.median(job.seconds for job in done) if done else typical
    if not done and each and begun and now - min(begun) > each:
        # The first runs also import and compile, which those of the earlier study did not.
        return None
    return time_left(each, waiting, [now - job.began for job in running], jobs.cores)


def time_left(
    each: float | None, waiting: int, running: Iterable[float], cores: int
) -> float | None:
    """Return the seconds until all runs are trained, or None if a run's time is not known.

    Args:
        each: seconds that one run takes.
        waiting: how many runs have not begun.
        running: for how many seconds each of the others has been at work.
        cores: how many runs are trained at a time.
    """
    if each is None:
        return None
    rest = [max(each - elapsed, 0.0) for elapsed in running]
    work = waiting * each + sum(rest)
    return max([work / max(min(cores, waiting + len(rest)), 1), *rest])

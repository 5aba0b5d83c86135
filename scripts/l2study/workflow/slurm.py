"""What Slurm knows of jobs: what they may ask for, why they wait, how they end, and who left them.

Slurm runs what it was given, whether or not the Snakemake that gave it is alive. A workflow started
after that would train the same runs again, at the same time and into the same files.
"""

import os
import re
import shutil
import subprocess
import time
from collections import Counter


class OrphansError(RuntimeError):
    """Jobs that write the study's files may still be in the queue. The message is one line."""


def end(name: str, seconds: float = 120) -> int:
    """Cancel the jobs called `name`, and return how many these were once none is in the queue;
    OrphansError where some are left, or Slurm does not say."""
    if not (found := queued(name)):
        return 0
    advice = f"wait for them, or end them with: scancel --name={name}"
    subprocess.run(["scancel", f"--name={name}"], capture_output=True)
    deadline = time.monotonic() + seconds
    while left := queued(name):
        if time.monotonic() > deadline:
            raise OrphansError(
                f"{len(left)} cancelled jobs of an earlier Snakemake are still in Slurm's queue "
                f"and may write this study's files: {advice}"
            )
        time.sleep(1)
    return len(found)


def queued(name: str) -> list[str]:
    """Return the ids of the jobs called `name` that wait, run or are being ended; OrphansError
    without an answer."""
    if shutil.which("squeue") is None:
        raise OrphansError(
            "a Snakemake that had submitted Slurm jobs was killed, and there is no squeue here to"
            f" see whether they still run: start where there is one (squeue --name={name})"
        )
    command = ["squeue", "--noheader", "--format=%i", f"--name={name}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())
        raise OrphansError(f"squeue failed, try again later: {reason}")
    return done.stdout.split()


def end_of(job: str) -> tuple[str, str]:
    """Return the state in which `job` has ended, in one word, and its node; either is empty where
    Slurm's accounting does not say, as of a job that was never started."""
    options = [f"--jobs={job}", "--allocations", "--parsable2", "--format=State,NodeList"]
    state, _, node = _answer("sacct", *options).strip().partition("|")
    return state.partition(" ")[0], "" if node == "None assigned" else node


def _answer(*command: str) -> str:
    """Return what a command of Slurm says without its header; nothing where it does not answer."""
    try:
        done = subprocess.run([*command, "--noheader"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def leave_job() -> None:
    """Forget the job that this process is in, so that it is no part of the jobs it submits; unlike
    Snakemake's executor, not where Slurm's configuration is."""
    for name in [name for name in os.environ if name.startswith("SLURM_") and name != "SLURM_CONF"]:
        del os.environ[name]


def minutes_allowed(partition: str | None) -> int | None:
    """Return how many minutes a job may last in `partition`, by default Slurm's own choice; None
    where there is no limit, or where Slurm does not say."""
    for name, limit in map(str.split, _answer("sinfo", "--format=%P %l").splitlines()):
        if name.rstrip("*") == partition or (partition is None and name.endswith("*")):
            return minutes(limit)
    return None


def minutes(limit: str) -> int | None:
    """Return a limit of time as Slurm writes it, such as 1-00:30:00 or 30:00, in minutes."""
    if not re.fullmatch(r"(\d+-)?\d+(:\d+)+", limit):
        return None  # infinite
    days, _, clock = limit.rpartition("-")
    *hours, minute, _ = map(int, clock.split(":"))
    return int(days or 0) * 1440 + sum(hours) * 60 + minute


def reasons(name: str) -> Counter:
    """Return how many jobs called `name` wait in the queue, by Slurm's reason."""
    said = _answer("squeue", "--states=PENDING", "--format=%r", f"--name={name}")
    return Counter(said.splitlines())

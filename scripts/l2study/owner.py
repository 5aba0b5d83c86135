"""One workflow at a time per study, and a restart after a kill that needs no help.

Snakemake's own locks are files: after a kill they stay, and do not say whether their owner lives.
The system's lock on an open file (`flock`) ends with the process that holds it, however that ends.
A study has two such locks:

1. PATH.seen, shared by every workflow that has read the study's configuration, if only to look;
2. PATH, held by the one that works.

Whoever is the only one at the first removes what a killed Snakemake left behind; whoever does not
get the second does not start.
"""

import contextlib
import fcntl
import json
import os
import platform
import time
from datetime import datetime
from pathlib import Path

from l2study import slurm

SNAKEMAKE_LOCKS = Path(".snakemake", "locks")

_held = []
"""Open files whose locks this process holds until it ends: closing one would release it."""


class OwnedError(RuntimeError):
    """Another process is at work on the study. The message is one line that says which."""


def arrive(path: str | os.PathLike, prefix: str) -> str | None:
    """Return who is at work on the study of the lock `path`, in one line, or None if nobody is.

    If no other workflow of the study is alive, Snakemake's locks on files that begin with `prefix`
    are removed; but not if the last one worked on another host, which cannot be seen from here.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        seen = open(f"{path}.seen", "a")  # noqa: SIM115  # stays open
        _held.append(seen)
        if _locked(seen, fcntl.LOCK_EX) and _record(path).get("host", _HOST) == _HOST:
            for lock in SNAKEMAKE_LOCKS.glob("*.lock"):
                if f"\n{prefix}" in "\n" + lock.read_text(encoding="utf-8"):
                    lock.unlink(missing_ok=True)
        fcntl.flock(seen, fcntl.LOCK_SH)
        with open(path, "a") as work:
            return None if _locked(work, fcntl.LOCK_SH) else _worker(path)
    except OSError:
        return None  # a file system without such locks: Snakemake's own remain


def hold(path: str | os.PathLike, jobs: str | None = None) -> str | None:
    """Hold the lock `path`, where `arrive` has been before, until this process ends.

    Args:
        path: of the lock.
        jobs: the name of all jobs that this process will submit to Slurm, if it does.

    Returns:
        What was done about the jobs of a holder that was killed, in one line; None if nothing.

    Raises:
        OwnedError: another process holds it, or jobs that it has submitted are not at their end.
    """
    work = open(path, "a+", encoding="utf-8")  # noqa: SIM115  # stays open
    _held.append(work)
    try:
        # `arrive` has it for an instant, to see whether it is free
        alone = any(_locked(work, fcntl.LOCK_EX) or time.sleep(0.2) for _ in range(3))
        if not alone:
            raise OwnedError(_worker(path))
    except OSError:
        alone = False  # a file system without such locks: Snakemake's own remain
    last, ended = _record(path), 0
    if "jobs" in last:
        try:
            ended = slurm.end(last["jobs"], cancel=alone and last["host"] == _HOST)
        except slurm.OrphansError as error:
            raise OwnedError(str(error)) from None
    since = datetime.now().isoformat(" ", timespec="seconds")
    record = {"host": _HOST, "process": os.getpid(), "since": since}
    _write(work, record | ({"jobs": jobs} if jobs else {}))
    return f"{ended} jobs of a Snakemake that was killed have been cancelled" if ended else None


def rest(path: str | os.PathLike) -> None:
    """Forget the jobs that this process, the holder of `path`, has submitted, once all have ended.

    Those that Slurm is still ending, as after Ctrl-C, are left for the next holder to wait for.
    """
    record = _record(path)
    with contextlib.suppress(slurm.OrphansError):
        if "jobs" in record and not slurm.queued(record["jobs"]):
            with open(path, "a", encoding="utf-8") as work:
                _write(work, {key: value for key, value in record.items() if key != "jobs"})


_HOST = platform.node()


def _locked(file, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(file, record: dict) -> None:
    file.truncate(0)
    json.dump(record, file)
    file.flush()


def _record(path: str | os.PathLike) -> dict:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _worker(path: str | os.PathLike) -> str:
    record = _record(path)
    who = "process {process} on {host}, started {since}," if record else "another process"
    return (
        f"{who.format(**record)} is at work on this study and is left alone: "
        "wait for it, or end it first"
    )

"""One workflow at a time per study, and a restart after a kill that needs no help.

Snakemake's own locks are files: after a kill they stay, and do not say whether their owner lives.
The profiles of this project switch them off. In their place, the workflow that starts jobs holds
the system's lock on an open file (`flock`), which ends with the process, however that ends. On some
file systems of clusters, only processes of one node see it. So the file also says who holds it, and
its time is set anew while the holder lives. A dry run takes no lock. With a profile of your own
that lacks `nolock: true`, Snakemake's locks apply as well; with `--no-hooks`, this one does not.
"""

import atexit
import contextlib
import fcntl
import json
import math
import os
import platform
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path

from l2study.workflow import slurm

_held = []
"""Open files whose locks this process holds until it ends: closing one would release it."""

_HOST = platform.node()

_BOOT = Path("/proc/sys/kernel/random/boot_id")
"""What tells nodes apart, also where containers on one node have names of their own."""

BEAT = 10.0
"""Seconds from one sign of life of a holder to the next."""

DEAD = 60.0
"""Seconds without a sign of life after which a holder on another node counts as dead."""


class OwnedError(RuntimeError):
    """The study cannot be worked on now. The message is one line that says why."""


def path_of(study: str) -> Path:
    """Return the lock of a study, a file that stays when the study ends."""
    return Path(f".snakemake/at-work/{study}")


def hold(path: str | os.PathLike, jobs: str | None = None) -> str | None:
    """Hold the lock `path` until this process ends; return in one line what was done about the jobs
    of a holder that was killed, if anything.

    `jobs` is the name of all jobs that this process will submit to Slurm, if it does. OwnedError
    where another process holds it or has jobs that go on, or the file system has no such locks.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        work = open(path, "a+", encoding="utf-8")  # noqa: SIM115  # stays open
        fcntl.flock(work, fcntl.LOCK_EX | fcntl.LOCK_NB)
        last = _record(path)
        if (seconds := _seconds_until_dead(path, last)) > 0:
            advice = f"If {last['host']} is down, start again in {math.ceil(seconds)} seconds"
            raise OwnedError(f"{_worker(path)}. {advice}")
    except BlockingIOError:
        raise OwnedError(_worker(path)) from None
    except OSError as error:
        raise OwnedError(
            f"{path}: cannot be locked ({error.strerror}): with --directory FOLDER, work on a file"
            " system that supports locks (flock)"
        ) from None
    _held.append(work)
    ended = 0
    if "jobs" in last:
        try:
            ended = slurm.end(last["jobs"])
        except slurm.OrphansError as error:
            raise OwnedError(str(error)) from None
    since = datetime.now().isoformat(" ", timespec="seconds")
    record = {"host": _HOST, "node": _node(), "process": os.getpid(), "since": since}
    _write(work, record | ({"jobs": jobs} if jobs else {}))
    _live(Path(path).absolute(), record)
    return f"cancelled {ended} Slurm jobs of a Snakemake that was killed" if ended else None


def rest(path: str | os.PathLike) -> None:
    """Forget the jobs that this process, the holder of `path`, has submitted, if all have ended; as
    after Ctrl-C, the next holder waits for those that Slurm is still ending."""
    record = _record(path)
    with contextlib.suppress(slurm.OrphansError):
        if "jobs" in record and not slurm.queued(record["jobs"]):
            with open(path, "a", encoding="utf-8") as work:
                _write(work, {key: value for key, value in record.items() if key != "jobs"})


def _node() -> str:
    return _BOOT.read_text().strip() if _BOOT.exists() else _HOST


def _seconds_until_dead(path: str | os.PathLike, record: dict) -> float:
    """Return after how long a holder on another node counts as dead; 0 for one on this node."""
    if record.get("node", _node()) == _node():
        return 0.0  # it would have the system's lock
    # The clock is that of the file system, for both.
    probe = Path(f"{path}.{os.getpid()}")
    probe.touch()
    now = probe.stat().st_mtime
    probe.unlink()
    return max(DEAD - max(now - os.stat(path).st_mtime, 0.0), 0.0)


def _live(path: Path, record: dict) -> None:
    """Give signs of life until this process ends, or ends as another one has taken the lock."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            with contextlib.suppress(OSError):
                now = _record(path)
                if now.get("node", record["node"]) != record["node"]:
                    print(f"{_worker(path)}. This one ends.", file=sys.stderr)
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                os.utime(path)

    def end() -> None:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError):
            if (last := _record(path)).pop("node", None) == record["node"]:
                with open(path, "a", encoding="utf-8") as work:
                    _write(work, last)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    atexit.register(end)


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
    return f"{who.format(**record)} is working on this study: wait for it, or stop it first"

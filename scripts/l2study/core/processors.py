"""How many processors this process may use."""

import contextlib
import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def usable(own: Path = Path("/proc/self/cgroup"), cgroups: Path = _CGROUPS) -> int:
    """Return how many processors this process may use, by its affinity and a quota of its cgroups.

    Containers and login nodes have such quotas. A quota of 1.5 processors counts as 2.
    """
    if not hasattr(os, "sched_getaffinity"):  # not Linux
        return os.cpu_count() or 1
    quotas = [len(os.sched_getaffinity(0))]
    for line in own.read_text().splitlines() if own.exists() else []:
        _, controllers, path = line.split(":", 2)
        # Version 2 names no controllers, and version 1 has a folder for each.
        place = cgroups / controllers / path.lstrip("/")
        folders = [folder for folder in (place, *place.parents) if folder.is_relative_to(cgroups)]
        if controllers == "" or "cpu" in controllers.split(","):
            quotas += filter(None, map(_quota, folders))
    return min(quotas)


def _quota(folder: Path) -> int | None:
    """Return how many processors a cgroup may use; None without a quota."""
    files = [["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]]
    for names in files:
        # "max", or -1 in version 1, is none
        with contextlib.suppress(OSError, ValueError):
            quota, period = map(int, " ".join((folder / n).read_text() for n in names).split())
            return math.ceil(quota / period) if quota > 0 else None
    return None

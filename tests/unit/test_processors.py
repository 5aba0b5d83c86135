"""How many processors a process may use, from files as Linux shows them."""

import os

import pytest

from l2study.core import processors

V1 = {"cpu.cfs_quota_us": "{}", "cpu.cfs_period_us": "100000"}
V2 = {"cpu.max": "{} 100000"}


@pytest.mark.parametrize(
    ("own", "folder", "files", "quota", "usable"),
    [
        ("0::/\n", "", V2, "200000", 2),  # in a container
        ("0::/\n", "", V2, "max", 8),
        ("0::/\n", "", V2, "150000", 2),
        ("0::/user.slice/user-1000.slice/session-1.scope\n", "user.slice", V2, "300000", 3),
        ("4:memory:/a\n3:cpu,cpuacct:/a/b\n0::/\n", "cpu,cpuacct/a", V1, "200000", 2),
        ("3:cpu:/docker/1f\n", "cpu", V1, "50000", 1),  # as a container without its namespace sees
        ("3:cpu:/\n", "cpu", V1, "-1", 8),
        ("3:cpu:/\n", "cpu", V1, "1600000", 8),
        ("2:cpuset:/a\n", "cpuset/a", V1, "100000", 8),
    ],
)
def test_a_quota_counts_where_it_is_below_the_affinity(
    tmp_path, monkeypatch, own, folder, files, quota, usable
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    (tmp_path / "own").write_text(own)
    place = tmp_path / "cgroups" / folder
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name).write_text(text.format(quota) + "\n")
    assert processors.usable(tmp_path / "own", tmp_path / "cgroups") == usable


def test_a_system_without_cgroups_or_affinity(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5})
    assert processors.usable(tmp_path / "none", tmp_path) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert processors.usable() == os.cpu_count()

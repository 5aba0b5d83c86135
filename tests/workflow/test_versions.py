"""A study under the oldest and the newest Snakemake that the project claims to support.

Each is installed on top of the project's packages, in an environment of its own.
"""

import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from project import STUDY, Project
from requirements import unavailable
from tiny import PROJECT

CLAIM = re.search(
    r"^snakemake>=([\d.]+),<([\d.]+)$", (PROJECT / "envs" / "requirements.in").read_text(), re.M
)
OLDEST, BEYOND = CLAIM.groups()


def install(folder, *options):
    """Return an environment of all packages of the project, where pip adds what `options` say."""
    venv.create(folder, symlinks=True)
    # pip and the project's packages are seen from here, and what is added goes before them.
    own = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(folder)}))
    (own / "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (folder / "share").symlink_to(Path(sys.prefix) / "share")  # templates of nbconvert
    python = folder / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        unavailable(f"pip cannot install {' '.join(options)}: {done.stderr.strip()[-500:]}")
    return python


@pytest.mark.parametrize("end", ["oldest", "newest"])
def test_a_study_from_the_data_to_the_report(finished, tmp_path, end):
    which = f"snakemake=={OLDEST}.0" if end == "oldest" else f"snakemake>={OLDEST},<{BEYOND}"
    python = install(tmp_path / "environment", "--upgrade", which)
    version = subprocess.run(
        [python, "-m", "snakemake", "--version"], capture_output=True, text=True
    ).stdout.strip()
    assert version.startswith(f"{OLDEST}.") == (end == "oldest")
    if version == importlib.metadata.version("snakemake"):
        assert "Done in 0:" in finished.printed  # with that of the lock, as all other tests
        return

    project = Project(tmp_path / "project")
    project.shorten_report()
    project.configure(lambdas=[0, 0.001], seeds=2)
    command = [python, "-m", "snakemake", "--cores", "2", "--configfile", "tiny.yaml"]

    def run():
        done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    printed = run()
    # every adapter fits, so the screen is ours
    assert "Unsupported Snakemake" not in printed
    assert re.search(r"4 runs to train, 0 kept; other jobs: .*report", printed)
    assert "4 of 4 runs trained, 0 running, 0 failed" in printed
    assert "Finished jobid" not in printed
    assert "Done in 0:" in printed
    found = project.table("histories")
    assert found == [
        row
        for row in finished.table("histories")
        if row["l2"] in ("0", "0.001") and row["seed"] in ("0", "1")
    ]
    assert len(found) == 4 * (STUDY["training"]["epochs"] + 1)
    assert "Nothing to be done" in run()


HOST = """
onstart:
    print("the host starts")

onsuccess:
    print("the host succeeds")

module l2:
    snakefile: "../project/Snakefile"
    config: {config}
    prefix: "sub"

use rule * from l2 as l2_*

rule mine:
    default_target: True
    input: "sub/results/tiny/data.json"
"""


@pytest.mark.parametrize("version", [f"{OLDEST}.6", "9.18.1"])
def test_a_module_leaves_what_happens_at_start_and_end_to_its_host(tmp_path, version):
    """In the oldest, a module's `onstart` and `onsuccess` would take the place of the host's.

    test_anywhere.py says the same of the version of the lock.
    """
    python = install(tmp_path / "environment", "--upgrade", f"snakemake=={version}")
    project, host = Project(tmp_path / "project"), tmp_path / "host"
    host.mkdir()
    (project.folder / "tiny.npz").rename(host / "tiny.npz")
    (host / "Snakefile").write_text(HOST.format(config=STUDY))
    done = subprocess.run(
        [python, "-m", "snakemake", "--cores", "1"], cwd=host, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not as expected" not in done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("the host")]
    assert said == ["the host starts", "the host succeeds"]

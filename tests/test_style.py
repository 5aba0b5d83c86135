"""The code is as its tools want it, and the environments are those of the lock."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
RULES = [str(path.relative_to(PROJECT)) for path in sorted(PROJECT.glob("rules/*.smk"))]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["snakefmt", "--check", "Snakefile", *RULES],
        ["snakemake", "--lint"],
        ["lint-imports", "--no-cache"],
    ],
    ids=" ".join,
)
def test_tool_finds_nothing(command):
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=PROJECT,
        # where the packages are whose imports are checked
        env=os.environ | {"PYTHONPATH": "scripts"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "lines"), [("Snakefile", 60), ("rules/common.smk", 120)])
def test_the_study_is_shown_at_a_glance(name, lines):
    """What rules decide is in a class, where it can be tested."""
    assert len((PROJECT / name).read_text().splitlines()) <= lines


def locked_versions():
    lock = (PROJECT / "envs" / "requirements.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", lock, re.MULTILINE))


@pytest.mark.parametrize("path", sorted(PROJECT.glob("envs/*.yaml")), ids=lambda path: path.name)
def test_environment_has_the_versions_of_the_lock(path):
    *_, pip = yaml.safe_load(path.read_text())["dependencies"]
    lock = locked_versions()
    assert pip["pip"]
    for requirement in pip["pip"]:
        name, version = requirement.split("==")
        assert lock[name] == version


def test_lock_has_a_hash_for_everything_and_no_address():
    lock = (PROJECT / "envs" / "requirements.txt").read_text()
    entries = re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)[1:]
    assert len(entries) > 50
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in lock
    wanted = re.findall(r"^[a-z][a-z0-9-]*", (PROJECT / "envs/requirements.in").read_text(), re.M)
    assert set(wanted) <= set(locked_versions())


def test_setup_leaves_an_environment_alone_that_is_only_linked(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "kept").touch()
    (tmp_path / "mine" / "envs").mkdir(parents=True)
    (tmp_path / "mine" / "envs" / "requirements.txt").touch()
    (tmp_path / "mine" / ".venv").symlink_to(theirs)
    makefile = str(PROJECT / "Makefile")
    done = subprocess.run(
        ["make", "-f", makefile, "setup"], cwd=tmp_path / "mine", capture_output=True, text=True
    )
    assert done.returncode != 0 and ".venv is a link" in done.stderr
    assert (theirs / "kept").exists()


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("plan", [["scripts/plan.py", "--configfile", "my study.yaml"]]),
        ("open", [["scripts/open_report.py", "my study.yaml"]]),
        ("adopt", [["scripts/adopt.py", "my study.yaml"]]),
        ("study", [["scripts/check_config.py", "my study.yaml"]]),
    ],
)
def test_make_works_in_any_folder_and_with_any_name_of_a_configuration(tmp_path, target, wanted):
    """A stand-in for the programs of the environment writes down what it is given."""
    folder = tmp_path / 'it\'s a "folder" {of} mine ü'
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / "envs").mkdir()
    shutil.copy(PROJECT / "Makefile", folder)
    for name in ("envs/requirements.txt", ".venv/complete"):
        (folder / name).touch()
    for name in ("python", "snakemake"):
        program = folder / ".venv" / "bin" / name
        program.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\n")
        program.chmod(0o755)
    command = ["make", "--silent", target, "CONFIG=my study.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert said[: len(wanted)] == [str(arguments) for arguments in wanted]

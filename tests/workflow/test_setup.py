"""`make setup` with one small package in place of those of the lock, which take minutes."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tiny import PROJECT

HOSTILE = {
    "PIP_USER": "1",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_TARGET": "/nonexistent/target",
    "PIP_CONSTRAINT": "/nonexistent/constraints.txt",
    "PYTHONSAFEPATH": "1",
    "PYTHONHOME": "/nonexistent",
}


@pytest.fixture
def folder(tmp_path):
    """A folder with an awkward name, the Makefile and a lock of one package."""
    folder = tmp_path / "Übung {1} 'a' b"
    (folder / "envs").mkdir(parents=True)
    shutil.copy(PROJECT / "Makefile", folder)
    wheel = folder / "small-1.0-py3-none-any.whl"
    about = {
        "small.py": "answer = 42\n",
        "small-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n",
        "small-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        "small-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as file:
        for name, text in about.items():
            file.writestr(name, text)
    checksum = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "envs" / "requirements.txt").write_text(f"./{wheel.name} --hash=sha256:{checksum}\n")
    return folder


def start(folder, **environment):
    """Start `make setup`, with pip's settings of a user."""
    return subprocess.Popen(
        ["make", "setup", f"PYTHON={Path(sys.executable).resolve()}"],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_at_once_install_once_whatever_the_environment_says(folder):
    """A package of the same name and version on PYTHONPATH is not taken for that of the lock."""
    others = folder / "others"
    others.mkdir()
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as file:
        file.extractall(others)
    makes = [start(folder, **HOSTILE, PYTHONPATH=str(others)) for _ in range(2)]
    said = [make.communicate(timeout=300)[0] for make in makes]
    assert [make.returncode for make in makes] == [0, 0], said
    assert sum("installing the packages" in words for words in said) == 1
    python = folder / ".venv" / "bin" / "python"
    found = subprocess.run(
        [python, "-c", "import small; print(small.__file__)"], capture_output=True, text=True
    )
    assert Path(found.stdout).is_relative_to(folder / ".venv")
    assert "installing" not in start(folder).communicate()[0]


@pytest.mark.parametrize("writable", [True, False])
def test_caches_are_in_the_project_where_the_home_cannot_be_written(folder, writable):
    home = str(folder) if writable else "/proc/none"
    told = subprocess.run(
        ["make", "--eval", "told: ; @echo $$XDG_CACHE_HOME", "told"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": home},
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == ("" if writable else f"{folder}/.cache")

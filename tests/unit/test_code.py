"""Which files determine a program."""

import subprocess
import sys

import pytest

from l2study.core.code import WORK, code, fingerprint
from tiny import PROJECT


@pytest.fixture
def scripts(tmp_path):
    """A program that imports three modules in four ways, beside one that it does not."""
    files = {
        "run.py": "import json\nfrom ours import first\n\ndef f():\n    import ours.second\n",
        "ours/__init__.py": "",
        "ours/first.py": "from ours.deep.third import value\n",
        "ours/second.py": "try:\n  import ours.first\nexcept ImportError:\n  import ours.fourth\n",
        "ours/fourth.py": "match 1:\n  case 1:\n    import ours.fifth\n",
        "ours/fifth.py": "",
        "ours/deep/__init__.py": "",
        "ours/deep/third.py": "value = 1\n",
        "ours/unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_script_comes_first_then_what_it_imports(scripts):
    found = [path.relative_to(scripts).as_posix() for path in code(scripts / "run.py")]
    others = ["deep/third", "fifth", "first", "fourth", "second"]
    assert found == ["run.py", *(f"ours/{name}.py" for name in others)]


def test_the_fingerprint_is_of_the_work_of_a_stage_and_all_that_it_imports(tmp_path, monkeypatch):
    monkeypatch.setitem(WORK, "stage", ("deep/one.py",))
    (tmp_path / "l2study" / "deep").mkdir(parents=True)
    for folder in ("l2study", "l2study/deep"):
        (tmp_path / folder / "__init__.py").touch()
    work, other = (tmp_path / "l2study" / "deep" / f"{name}.py" for name in ("one", "other"))
    work.write_text("from l2study.deep import other\n")
    other.write_text("x = 1\n")
    before = fingerprint("stage", tmp_path)
    (tmp_path / "l2study" / "unused.py").write_text("x = 1\n")
    assert fingerprint("stage", tmp_path) == before
    other.write_text("x = 2\n")
    assert fingerprint("stage", tmp_path) != before


def test_nothing_that_programs_load_is_left_out():
    """What Python itself loads of ours."""
    names = ("aggregate", "report")
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {', '.join(names)}"],
        cwd=PROJECT / "scripts",
        capture_output=True,
        text=True,
    ).stderr
    modules = {line.split("|")[-1].strip() for line in loaded.splitlines() if "l2study." in line}
    scripts = [PROJECT / "scripts" / f"{name}.py" for name in names]
    found = {
        path.relative_to(PROJECT / "scripts").with_suffix("").as_posix()
        for script in scripts
        for path in code(script)
    }
    paths = {module.replace(".", "/") for module in modules}
    assert {path for path in paths if (PROJECT / "scripts" / f"{path}.py").is_file()} <= found
    assert {"l2study/core/config", "l2study/tables/build", "l2study/report/study"} <= paths

"""Functions in files of the user's own: found, loaded, told apart, and refused in one line."""

import sys
from types import ModuleType

import pytest

from l2study.core import user_code
from l2study.core.config import ConfigError, check


@pytest.fixture
def write(tmp_path):
    """A function: write files, by their names without .py, to a folder, and return it."""

    def write(where=".", **files):
        folder = tmp_path / where
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        return folder

    return write


def refusal(action, *arguments):
    with pytest.raises(user_code.UserCodeError) as error:
        action(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "def build(): ...",
        "from others import build",
        "from others import *",
        "import build",
        "build = lambda: 1",
        "if True:\n    try:\n        import x as build\n    except ImportError: ...",
    ],
)
def test_a_function_is_found_without_running_the_file(write, text):
    folder = write(mine=f"{text}\nraise ValueError")
    assert user_code.files(f"{folder}/mine.py:build") == (folder / "mine.py",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no such file"),
        ("def f(:", "mine.py, line 1: is not valid Python: invalid syntax"),
        (
            "def f():\n    def build(): ...\nclass C:\n    def build(self): ...\ndef g(): ...",
            "mine.py: has no function build; it has: f, g",
        ),
    ],
)
def test_planning_refuses_what_needs_no_tensorflow_to_be_seen(write, text, words):
    name = f"{write(**({'mine': text} if text else {}))}/mine.py:build"
    assert words in refusal(user_code.files, name)
    with pytest.raises(ConfigError, match=r"^model\.build: ") as error:
        check({"model": {"build": name}})
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\nimport nowhere_to_be_found\ndef f(): ...", "cannot be imported in line 2: ModuleNot"),
        ("def f():\n    g()\ndef g():\n    1 / 0", "fails in line 4: ZeroDivisionError: division"),
        ("import sys\ndef f():\n    sys.exit('the end')", "fails in line 3: SystemExit: the end"),
        ("f = 3", "f is not a function"),
        (
            "import importlib\ndef f():\n    importlib.import_module('beside')",
            "imports beside.py without an import statement",
        ),
    ],
)
def test_what_a_function_raises_is_one_line_with_its_own(write, text, words):
    folder = write(mine=text, beside="")
    assert words in refusal(lambda: user_code.load(f"{folder}/mine.py:f")())
    assert "beside" not in sys.modules
    assert str(folder) not in sys.path


def test_files_of_one_name_in_two_folders_are_two(write):
    """And whatever they are called, our modules remain what they are."""
    ours = ModuleType("train")
    sys.modules["train"] = ours
    try:
        text = (
            "from train import number\ndef f():\n    import later\n    return number, later.number"
        )
        found = []
        for number in (1, 2):
            neighbours = dict.fromkeys(("train", "later"), f"number = {number}")
            found.append(f"{write(str(number), mine=text, **neighbours)}/mine.py:f")
        one, two = map(user_code.load, found)
        assert (one(), two(), one()) == ((1, 1), (2, 2), (1, 1))
        assert sys.modules["train"] is ours
        assert "later" not in sys.modules
    finally:
        del sys.modules["train"]


def test_the_checksum_is_that_of_what_is_imported(write):
    text = "from near import x\ndef f(): ..."
    names = [
        f"{write(where, mine=text, near=near, other=other)}/mine.py:f"
        for where, near, other in [("a", "x = 1", ""), ("b", "x = 1", "#"), ("c", "x = 2", "")]
    ]
    first, same, different = map(user_code.fingerprint, names)
    assert first == same != different
    assert user_code.sources(names[0]) == {"mine.py": text, "near.py": "x = 1"}

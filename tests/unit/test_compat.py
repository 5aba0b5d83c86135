"""What rests on Snakemake's internals: where it is, and what happens when they change."""

import ast
import inspect
import re
from types import SimpleNamespace

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from l2study.workflow import snakemake_compat
from tiny import PROJECT

DOOR = PROJECT / "scripts" / "l2study" / "workflow" / "snakemake_compat.py"
SNAKEFILES = [PROJECT / "Snakefile", *sorted(PROJECT.glob("rules/*.smk"))]
SCRIPTS = [path for path in sorted(PROJECT.glob("scripts/**/*.py")) if path != DOOR]

DOCUMENTED = {"basedir", "source_path"}
"""Attributes of `workflow` in the documentation of Snakemake."""


@pytest.mark.parametrize("path", SNAKEFILES, ids=lambda path: path.name)
def test_snakefiles_use_only_what_is_documented(path):
    text = re.sub(r"^\s*(#.*|from l2study\.workflow.*)$", "", path.read_text(), flags=re.M)
    assert set(re.findall(r"(?<!/)\bworkflow\.(\w+)", text)) <= DOCUMENTED
    assert set(re.findall(r"\b(?:from|import) (snakemake\b[.\w]*)", text)) <= {"snakemake.utils"}
    assert not re.search(r"getLogger|\b(dag|checkpoints)\._|\brules\._|__subclasses__", text)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_programs_use_only_public_interfaces(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            interface = "snakemake_interface_(?!logger|executor)"
            private = rf"snakemake(\.(?!utils$)|$)|snakemake_executor_plugin|{interface}"
            assert not [name for name in names if re.match(private, name)]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id != "workflow" or node.attr in DOCUMENTED
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not re.fullmatch(r"snakemake(\.\w+)+|snakemake_executor\w+", node.value)


def adapters():
    """Return the guarded functions of the door, by name."""
    found = vars(snakemake_compat).items()
    return {name: value for name, value in found if hasattr(value, "__wrapped__")}


@pytest.mark.parametrize("name", adapters())
def test_an_adapter_that_does_not_fit_says_so_in_one_line(name, capsys):
    other = SimpleNamespace(scheduler=None)
    adapter = adapters()[name]
    arguments = [other, {}][: len(inspect.signature(adapter).parameters)]
    assert adapter(*arguments) is (True if name == "is_main" else None)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Unsupported Snakemake (AttributeError: ")


def claim(package):
    """Return which versions of `package` requirements.in allows."""
    text = (PROJECT / "envs" / "requirements.in").read_text()
    return SpecifierSet(re.search(rf"^{package}([<>=].*)$", text, re.MULTILINE)[1])


@pytest.mark.parametrize("package", ["snakemake", "snakemake-executor-plugin-slurm"])
def test_the_lock_is_within_the_claim_and_the_claim_has_two_ends(package):
    lock = (PROJECT / "envs" / "requirements.txt").read_text()
    assert re.search(rf"^{package}==(\S+)", lock, re.MULTILINE)[1] in claim(package)
    assert {bound.operator for bound in claim(package)} == {">=", "<"}


def test_one_claim_of_versions_of_snakemake():
    bounds = {bound.operator: Version(bound.version) for bound in claim("snakemake")}
    snakefile = (PROJECT / "Snakefile").read_text()
    assert Version(re.search(r'min_version\("(.+)"\)', snakefile)[1]) == bounds[">="]
    (told,) = re.findall(r"Snakemake (\d+\.\d+) to (\d+\.\d+)", docs("anywhere.md"))
    newest = Version(told[1])
    assert Version(told[0]) == bounds[">="]
    assert Version(f"{newest.major}.{newest.minor + 1}") == bounds["<"]


def docs(name):
    return (PROJECT / "docs" / name).read_text()


def test_however_many_looks_there_are_one_more_is_ordered_at_a_time(monkeypatch):
    ordered, now = [], [100.0]
    monkeypatch.setattr(snakemake_compat.time, "monotonic", lambda: now[0])
    scheduler = SimpleNamespace(_schedule_reevalutation=ordered.append)
    snakemake_compat.look_again_when_needed(SimpleNamespace(scheduler=scheduler))
    for _ in range(5):
        scheduler._schedule_reevalutation(2)
    assert ordered == [2]
    now[0] = 101.9
    scheduler._schedule_reevalutation(2)
    assert ordered == [2]
    now[0] = 102.0
    scheduler._schedule_reevalutation(2)
    assert ordered == [2, 2]

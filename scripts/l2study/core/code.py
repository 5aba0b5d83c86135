"""Which of this project's files determine what one of its programs does."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2]
"""The folder of the programs and of this package."""

WORK = {
    "prepare": ("data/arrangement.py", "data/formats.py"),
    "train": ("training/loop.py",),
    "measure": ("measuring/functions.py",),
}
"""The modules that decide the numbers of a stage, with those that they import. The programs of
these stages read the command line, check, write files and say what is wrong: a change of that makes
no result stale."""


@cache
def code(*programs: Path) -> tuple[Path, ...]:
    """Return `programs` and, sorted, every module of ours that they import, directly or not.

    Modules are looked for in the folder that holds the outermost package of a program. Imports
    within functions count as well. Packages do not, because their `__init__` files are empty.
    """
    found, todo = set(), list(programs)
    while todo:
        path = todo.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        root = _root(path)
        todo += [Path(root, *name.split(".")).with_suffix(".py") for name in _imported(path)]
    return *programs, *sorted(found - set(programs))


def _root(path: Path) -> Path:
    folder = path.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


@cache
def _imported(path: Path) -> list[str]:
    """Return the dotted names of what may be a module that the file at `path` imports."""
    found = []
    for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements below `node`; without expressions, in which nothing is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            yield child
            yield from _statements(child)


def code_of(stage: str, scripts: Path = SCRIPTS) -> tuple[Path, ...]:
    """Return all files that decide the numbers of a stage of `WORK`."""
    return code(*(scripts / "l2study" / name for name in WORK[stage]))


def fingerprint(stage: str, scripts: Path = SCRIPTS) -> str:
    """Return a checksum of the content of all files that decide the numbers of a stage."""
    contents = [path.read_bytes() for path in code_of(stage, scripts)]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()

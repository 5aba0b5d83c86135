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
    "check_data": ("data/check.py",),
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
    within functions count as well. So do the `__init__` files of packages, unless they are empty.

    Raises:
        SyntaxError: a file is no Python.
    """
    found, todo = set(), [path for path in programs if path.is_file()]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += _imported(path)
    return *programs, *sorted(found - set(programs))


def _root(path: Path) -> Path:
    folder = path.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


@cache
def _imported(path: Path) -> set[Path]:
    """Return the files of ours that the file at `path` imports itself, without empty `__init__`."""
    root, found = _root(path), set()
    package = path.parent.relative_to(root).parts
    for node in _statements(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        names = []
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            of = [*above, *filter(None, [node.module])]
            names = [".".join([*of, *more]) for more in ([], *([a.name] for a in node.names))]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in filter(None, names):
            *packages, module = name.split(".")
            found.add("/".join([*packages, f"{module}.py"]))
            steps = [*packages, module]
            found |= {"/".join([*steps[:n], "__init__.py"]) for n in range(1, len(steps) + 1)}
    files = [root / name for name in found]
    return {f for f in files if f.is_file() and (f.name != "__init__.py" or f.stat().st_size)}


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

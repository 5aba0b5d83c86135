"""Which of this project's files determine what one of its programs does."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def code(script: Path) -> tuple[Path, ...]:
    """Return `script` and, sorted, every module of ours that it imports, directly or not.

    Modules are looked for in the folder of `script`. Imports within functions count as well.
    Packages do not, because their `__init__` files are empty.
    """
    found, todo = set(), [script]
    while todo:
        path = todo.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        todo += [
            Path(script.parent, *name.split(".")).with_suffix(".py") for name in _imported(path)
        ]
    return script, *sorted(found - {script})


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


def fingerprint(script: Path) -> str:
    """Return a checksum of the content of all files that determine what `script` does."""
    contents = [path.read_bytes() for path in code(script)]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()

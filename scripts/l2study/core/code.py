"""Which of this project's files determine what one of its programs does."""

import ast
import hashlib
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
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            todo += [Path(script.parent, *name.split(".")).with_suffix(".py") for name in names]
    return script, *sorted(found - {script})


def fingerprint(script: Path) -> str:
    """Return a checksum of the content of all files that determine what `script` does."""
    contents = [path.read_bytes() for path in code(script)]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()

"""A function in a Python file of the user's own, written `FILE.py:FUNCTION` in a configuration.

What it depends on is its file and the modules of the file's folder that this imports. Their content
is what counts, not where they are.
"""

import hashlib
import importlib.util
import re
import symtable
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import ModuleType

from l2study.core.code import code
from l2study.core.config_faults import one_line

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What Keras writes into its messages for a terminal."""


class UserCodeError(ValueError):
    """A function of the user's cannot be used. The message is one line, with the line at fault."""


def split(name: str) -> tuple[Path, str]:
    """Return the file and the function of `FILE.py:FUNCTION`."""
    file, _, function = name.rpartition(":")
    return Path(file).expanduser(), function


def files(name: str) -> tuple[Path, ...]:
    """Return the file, and every module of its folder that it imports, directly or not. Nothing is
    executed. UserCodeError where a file is absent or is no Python, or the first has no such
    function."""
    path, function = split(name)
    if not path.is_file():
        raise UserCodeError(f"{path}: there is no such file")
    try:
        found = code(path)
        _check_defines(path, function)
        return found
    except SyntaxError as error:
        where = f"{error.filename or path}, line {error.lineno}"
        raise UserCodeError(f"{where}: is not valid Python: {error.msg}") from None
    except UserCodeError:
        raise
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UserCodeError(f"{path}: cannot be read: {_one_line(error)}") from None


def _check_defines(path: Path, function: str) -> None:
    text = path.read_text(encoding="utf-8")
    table = symtable.symtable(text, str(path), "exec")
    known = {
        own.get_name() for own in table.get_symbols() if own.is_assigned() or own.is_imported()
    }
    known_later = "globals" in table.get_identifiers() or re.search(r"import\s*\*", text)
    if function not in known and not known_later:
        scopes = [own for own in table.get_children() if own.get_name() in known]
        there = ", ".join(own.get_name() for own in scopes if own.get_type() == "function")
        raise UserCodeError(f"{path}: has no function {function}; it has: {there or 'none'}")


def sources(name: str) -> dict[str, str]:
    """Return the text of each of `files`, by its path from the folder of the first."""
    found = files(name)
    return {
        path.relative_to(found[0].parent).as_posix(): path.read_text(encoding="utf-8")
        for path in found
    }


def fingerprint(name: str) -> str:
    """Return a checksum of the content of `files`."""
    parts = [f"{path}\0{text}" for path, text in sources(name).items()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def load(name: str) -> Callable:
    """Return the function, which raises a UserCodeError in place of any exception of its own; one
    also where the file is absent, cannot be imported, or has no such function."""
    path, function_name = split(name)
    known = files(name)
    # A name of its own, which is that of no module of ours.
    module_name = f"l2study_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path.resolve())
    module = importlib.util.module_from_spec(spec)
    with _neighbours(known), told(name, "cannot be imported"):
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserCodeError(f"{path}: {function_name} is not a function")

    @wraps(function)
    def guarded(*arguments: object, **named: object) -> object:
        with _neighbours(known), told(name, "fails"):
            return function(*arguments, **named)

    return guarded


@contextmanager
def _neighbours(known: tuple[Path, ...]) -> Iterator[None]:
    """Let known modules of the user's folder be imported, and forget them afterwards.

    So a module of theirs may have the name of one of ours, or of one in another folder. Any other
    module of this folder is a UserCodeError.
    """
    folder = known[0].resolve().parent
    own = {path.resolve() for path in known}
    tops = {
        path.relative_to(folder).parts[0].removesuffix(".py") for path in own - {known[0].resolve()}
    }
    hidden = {
        name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in tops
    }
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        new = {name: sys.modules[name] for name in set(sys.modules) - before}
        theirs = {
            name: file for name, module in new.items() if (file := _file_in(folder, name, module))
        }
        for name in theirs:
            del sys.modules[name]
        sys.modules.update(hidden)
    if unseen := sorted(set(theirs.values()) - own):
        raise UserCodeError(
            f"{known[0]}: imports {unseen[0].name} without an import statement, so a change of that"
            " file would go unnoticed; allowed: an import statement"
        )


def _file_in(folder: Path, name: str, module: ModuleType | None) -> Path | None:
    """Return the file of a module that is found from `folder` by its name; else None."""
    found = Path(getattr(module, "__file__", None) or "").resolve()
    stem = folder.joinpath(*name.split("."))
    return found if found in (stem.with_suffix(".py"), stem / "__init__.py") else None


@contextmanager
def told(name: str, what: str) -> Iterator[None]:
    """Raise a UserCodeError in place of any exception in the block: that the function called `name`
    does `what`, and in which line of the user's file."""
    path = split(name)[0].resolve()
    try:
        yield
    except UserCodeError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
        where = f" in line {lines[-1]}" if lines else ""
        text = f"{type(error).__name__}: {_one_line(error)}".removesuffix(": ")
        raise UserCodeError(f"{name} {what}{where}: {text}") from None


def _one_line(error: BaseException) -> str:
    return one_line(_COLOURS.sub("", str(error)))[:300]

"""What programs of this project have in common: help as it is written, and faults in one line."""

import argparse
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def parser(about: str, **options: object) -> argparse.ArgumentParser:
    """Return a parser of a command line; `about` is printed by `--help` as it is written."""
    as_written = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=about, formatter_class=as_written, **options)


def parser_of_stage(about: str, keys: str) -> argparse.ArgumentParser:
    """Return the parser of a stage that works on prepared data, with the options of all of these;
    `keys` are those of the configuration that it uses."""
    result = parser(about)
    add_config(result, f"; its keys {keys} are used")
    result.add_argument("--data", required=True, type=Path, help="data.json of prepare.py")
    result.add_argument("--threads", type=int, default=1, help="threads to compute with (1)")
    return result


def add_lambda(to: argparse.ArgumentParser) -> None:
    """Add the option for a lambda."""
    to.add_argument("--l2", required=True, help="the regularisation coefficient, 0 or more")


def add_config(to: argparse.ArgumentParser, more: str = "") -> None:
    """Add the option for a study's configuration."""
    words = "a study's configuration: a YAML or JSON file, or the JSON text itself"
    to.add_argument("--config", required=True, help=f"{words}{more}")


def refuse_other_packages() -> None:
    """End the program where PYTHONPATH, which environment modules of clusters fill, has a package
    that takes the place of one of the lock."""
    folders = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    places = [Path(folder) for folder in folders]
    for name in ("numpy", "pandas", "keras", "tensorflow"):
        found = importlib.util.find_spec(name)
        if found and found.origin and (place := Path(found.origin).parents[1]) in places:
            sys.exit(f"PYTHONPATH has another {name}, in {place}: start with PYTHONPATH= in front")


@contextmanager
def faults_in_one_line(program: str, output: Path) -> Iterator[None]:
    """End a program with one line if the block fails for its input, or for the disk of `output`."""
    try:
        yield
    except ValueError as error:
        sys.exit(f"{program}: {error}")
    except OSError as error:
        # NumPy says how much of an array was written, and not why it was not all of it.
        why = error.strerror or f"is the disk full? ({error})"
        sys.exit(f"{program}: {output}: cannot be written: {' '.join(why.split())}")

"""The study of this invocation, and functions that the rules share. No rules here.

This is read again in every job of a cluster: it imports nothing that takes time.
"""

import ast
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, "scripts")

from l2study import warm
from l2study.config import ConfigError, check
from l2study.data import DataError, check_against_data, source_fingerprint

# A job's `python` is the one that runs Snakemake, whether or not its environment is activated.
os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), os.getenv("PATH", "")]))

try:
    STUDY = check(config, defaults=False)
    check_against_data(STUDY)
except (ConfigError, DataError) as error:
    sys.exit(f"config: {error}")

RESULTS = f"results/{STUDY['study']}"
LOGS = f"logs/{STUDY['study']}"
RUN = f"{RESULTS}/runs/l2~{{l2}}/seed~{{seed}}"


def settings(*keys):
    """Return the part of the study that a stage depends on, as JSON.

    One text with sorted keys: Snakemake compares parameters as a set of values, in which two that
    have been swapped would look unchanged.
    """
    part = {}
    for key in keys:
        section, _, name = key.partition(".")
        if name:
            part.setdefault(section, {})[name] = STUDY[section][name]
        else:
            part[section] = STUDY[section]
    return json.dumps(part, sort_keys=True)


def code(script):
    """Return the files that determine what `script` does: itself and what it imports of ours.

    They are inputs of its rule, so that a change of their content, and of nothing else, reruns it.
    """
    found, todo = [], [Path(script)]
    while todo:
        path = todo.pop()
        if path.as_posix() in found or not path.is_file():
            continue
        found.append(path.as_posix())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            todo += [Path("scripts", *name.split(".")).with_suffix(".py") for name in names]
    return sorted(found)


def runs(file):
    """Return the path of `file` in the folder of every run that the study promises."""
    return expand(f"{RUN}/{file}", l2=STUDY["lambdas"], seed=STUDY["seeds"])

"""The study of this invocation, and functions that the rules share. No rules here.

This is read again in every job of a cluster: it imports nothing that takes time.
"""

import ast
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, "scripts")

from l2study import owner, warm
from l2study.config import ConfigError, check
from l2study.data import check_against_data
from l2study.prepared import DataError
from l2study.sources import source_fingerprint

# A job's `python` is the one that runs Snakemake, whether or not its environment is activated.
os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), os.getenv("PATH", "")]))

try:
    STUDY = check(config, defaults=False)
    check_against_data(STUDY)
except (ConfigError, DataError) as error:
    sys.exit(f"config: {error}")

# Whether the report may be made from the runs that there are is no part of what is studied.
ALLOW_MISSING = STUDY.pop("allow_missing", False)
RESULTS = f"results/{STUDY['study']}"
LOGS = f"logs/{STUDY['study']}"
RUN = f"{RESULTS}/runs/l2~{{l2}}/seed~{{seed}}"
PROMISED = expand(RUN, l2=STUDY["lambdas"], seed=STUDY["seeds"])
# run.json is the last file of a run to be written.
MISSING = [run for run in PROMISED if ALLOW_MISSING and not Path(run, "run.json").exists()]
LOCK = f".snakemake/at-work/{STUDY['study']}"

if workflow.is_main_process and (other := owner.arrive(LOCK, f"{RESULTS}/")):
    print(other, file=sys.stderr)


def settings(*keys):
    """Return the part of the study that a stage depends on, as JSON.

    One text with sorted keys: Snakemake compares parameters as a set of values, in which two that
    have been swapped would look unchanged.
    """
    return json.dumps({key: STUDY[key] for key in keys}, sort_keys=True)


def with_caption(path, captions, category):
    """Return `path` as an output that `snakemake --report` shows, if `captions` has its caption.

    A file's caption is that of its name, in the folder reports/`captions`. A figure's PNG and a
    table's copies in other formats would show the same again.
    """
    name, suffix = Path(path).stem, Path(path).suffix
    caption = f"reports/{captions}/{name}.rst"
    if suffix not in (".svg", ".csv") or not Path(caption).exists():
        return path
    labels = {"name": name.replace("_", " ")}
    return report(path, caption=f"../{caption}", category=category, labels=labels)


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
    """Return the path of `file` in the folder of every run that the report is made from."""
    return [f"{folder}/{file}" for folder in PROMISED if folder not in MISSING]


def start_work():
    """Make this process the only one at work on the study, and get ready for training."""
    try:
        owner.hold(LOCK)
    except owner.OwnedError as error:
        sys.exit(str(error))
    # On this machine, jobs share one import of TensorFlow; on a cluster, each node has its own.
    if workflow.local_exec:
        warm.start()


def failures(workflow):
    """Return a text that names every failed job, the last line of its log, and what to do."""
    lines = []
    failed = workflow.scheduler.failed
    jobs = [job for one in failed for job in (one.jobs if one.is_group() else [one])]
    for job in sorted(jobs, key=lambda job: str(job.log)):
        log = Path(str(job.log))
        written = log.read_text(errors="replace").splitlines() if log.is_file() else []
        reason = [line.strip() for line in written if line.strip()][-1:] or ["nothing was logged"]
        wildcards = [f"{name}={value}" for name, value in job.wildcards_dict.items()]
        lines.append(f"  {' '.join([job.rule.name, *wildcards])}: {reason[0]}\n    log: {log}")
    if not lines:
        return "Stopped. The same command goes on from here."
    head = f"{len(lines)} failed; what is complete is kept, the same command tries the rest again."
    if any(job.rule.name == "train" for job in jobs):
        lines.append("For a report without the runs that are missing: --config allow_missing=true")
    return "\n".join([head, *lines])

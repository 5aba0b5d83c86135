"""The study of this invocation, and functions that the rules share. No rules here.

This is read again in every job of a cluster: it imports nothing that takes time.
"""

import ast
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, "scripts")

from l2study import owner, progress, slurm, warm
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

# What is made of the runs, and whether all of them must be there, is no part of what is studied.
ALLOW_MISSING = STUDY.pop("allow_missing", False)
TENSORBOARD = STUDY.pop("tensorboard", False)
RESULTS = f"results/{STUDY['study']}"
LOGS = f"logs/{STUDY['study']}"
RUN = f"{RESULTS}/runs/l2~{{l2}}/seed~{{seed}}"
PROMISED = expand(RUN, l2=STUDY["lambdas"], seed=STUDY["seeds"])
# run.json is the last file of a run to be written.
MISSING = [run for run in PROMISED if ALLOW_MISSING and not Path(run, "run.json").exists()]
LOCK = f".snakemake/at-work/{STUDY['study']}"
if workflow.remote_exec:
    # A job of a cluster, perhaps of several runs: they share its slot and one import of TensorFlow.
    workflow.register_resource("slots", 1)
    if warm.ADDRESS not in os.environ:
        warm.start()

OTHER = owner.arrive(LOCK, f"{RESULTS}/") if workflow.is_main_process else None
if OTHER:
    print(OTHER, file=sys.stderr)

PROGRESS = progress.Progress(
    workflow,
    results=RESULTS,
    runs=[run for run in PROMISED if run not in MISSING],
    epochs=STUDY["training"]["epochs"],
    refused=bool(OTHER),
)


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


def runs(file, l2=None):
    """Return the path of `file` for every run that the report is made from, or those of one l2."""
    wanted = PROMISED if l2 is None else expand(RUN, l2=l2, seed=STUDY["seeds"])
    return [f"{folder}/{file}" for folder in wanted if folder not in MISSING]


def slots(wildcards):
    """Return how many slots a run takes: 1, of which a job of a cluster has 1, this machine any.

    Asked for by the Snakemake within a job, which is not told to `keep-going`, this sees to it that
    a run that fails does not stop the other runs of its job.
    """
    if workflow.remote_exec and workflow.scheduler:
        workflow.scheduler.keepgoing = True
    return 1


def start_work():
    """Make this process the only one at work on the study, and get ready for training."""
    executor = workflow.scheduler._executor
    try:
        # Slurm's jobs are all called by this identifier.
        done = owner.hold(LOCK, jobs=getattr(executor, "run_uuid", None))
    except owner.OwnedError as error:
        sys.exit(str(error))
    if done:
        print(done, file=sys.stderr)
    if type(executor).__module__ == "snakemake_executor_plugin_slurm":
        slurm.see_every_end(sys.modules["snakemake_executor_plugin_slurm"])
    if not workflow.local_exec:
        executor.run_jobs = without_old_output(executor.run_jobs)
    elif any(job.rule.name == "train" for job in workflow.dag.needrun_jobs()):
        # All jobs of this machine share one import of TensorFlow.
        warm.start()
    PROGRESS.start()


def without_old_output(submit):
    """Return `submit`, which submits jobs, so that it removes first what they are to make anew.

    Of several runs in one job, those that it does not come to would keep files of another
    configuration. With `keep-incomplete`, Snakemake takes them for new ones when the job has failed.
    """

    def remove_and_submit(jobs):
        for job in jobs:
            if job.attempt == 1:
                workflow.async_run(job.remove_existing_output())
        submit(jobs)

    return remove_and_submit

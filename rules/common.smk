"""Functions that the rules share. Every job of a cluster reads this again, so it only defines."""

import inspect
import json
import os
import sys
from functools import cache
from pathlib import Path

# The project's folder, also where another workflow uses this one as a module.
PROJECT = Path(inspect.currentframe().f_code.co_filename).resolve().parents[1]
if not PROJECT.is_dir():
    sys.exit(
        "This workflow runs programs of its own folder: clone it, and name its Snakefile there."
    )
sys.path.insert(0, str(PROJECT / "scripts"))

from l2study.core import code as code_of
from l2study.core import config as configuration
from l2study.core import paths
from l2study.training import preload
from l2study.workflow import snakemake_door


def here(path):
    """Return a file of this project as a path from the working directory: no module's prefix.

    In a clone that one works in, that is `path`. So results stay valid when all of it is moved.
    """
    return local(os.path.relpath(PROJECT / path))


def code(script):
    """Return a function for `input:` with the files that determine what `script` does, it first.

    As inputs of its rule they rerun it when their content changes, and nothing else does.
    """
    return lambda wildcards: [here(path) for path in code_of.code(PROJECT / script)]


def is_main():
    """Return whether a person has started this Snakemake, as opposed to a job of a cluster."""
    return snakemake_door.is_main(workflow)


def stands_alone():
    """Return whether this is no module of another workflow, whose screen and locks are its own."""
    return Path(workflow.basedir).resolve().is_relative_to(PROJECT)


def read_study():
    """Return the study of this invocation, a canonical configuration; what is wrong ends all."""
    # A module gets no configfile, so that missing keys are as in config.yaml, the schema's defaults.
    defaults = not stands_alone()
    if not is_main():
        return configuration.checked_before(config, defaults=defaults)
    from l2study.data.preparation import check_against_data
    from l2study.data.prepared import DataError

    try:
        study = configuration.check(config, defaults=defaults)
        check_against_data(study)
        configuration.check_ledger(study)
    except (configuration.ConfigError, DataError) as error:
        sys.exit(f"config: {error}")
    return study


def ledger():
    """Return the file with the claims that are judged."""
    name = paths.ledger(STUDY)
    return here(f"reports/claims/{name}.yaml") if name in paths.LEDGERS else name


def settings(*keys):
    """Return the part of the study that a stage depends on, as JSON.

    One text with sorted keys: Snakemake compares parameters as a set of values, in which two that
    have been swapped would look unchanged.
    """
    return json.dumps({key: STUDY[key] for key in keys}, sort_keys=True)


def data_source(wildcards):
    """Return the checksums of the files that the data are read from.

    Times would change with every copy.
    """
    from l2study.data.sources import source_fingerprint

    return source_fingerprint(STUDY["dataset"])


def with_caption(path, captions, category):
    """Return `path` as an output that `snakemake --report` shows, if `captions` has its caption.

    A file's caption is that of its name, in the folder reports/`captions`. A figure's PNG and a
    table's copies in other formats would show the same again.
    """
    name, suffix = Path(path).stem, Path(path).suffix
    caption = f"reports/{captions}/{name}.rst"
    if suffix not in (".svg", ".csv") or not (PROJECT / caption).exists():
        return path
    labels = {"name": name.replace("_", " ")}
    return report(path, caption=f"../{caption}", category=category, labels=labels)


def results():
    """Return the folder of the study's results as it is on disk, after the prefix of a module."""
    return Path(rules.prepare.output.manifest).parent


@cache
def missing():
    """Return the folders of the runs that are not there, if the study may go without."""
    if not ALLOW_MISSING:
        return set()
    # run.json is the last file of a run to be written.
    return {run for run in PROMISED if not (results().parents[1] / run / "run.json").exists()}


def runs(file, l2=None):
    """Return the path of `file` for every run that the report is made from, or those of one l2."""
    wanted = PROMISED if l2 is None else expand(RUN, l2=l2, seed=STUDY["seeds"])
    return [f"{folder}/{file}" for folder in wanted if folder not in missing()]


def measures():
    """Return the file of measures of every lambda that has a run."""
    return [f"{RESULTS}/{paths.MEASURES}".format(l2=l2) for l2 in STUDY["lambdas"] if runs("", l2)]


def read_as_job():
    """Set up the Snakemake within a job of a cluster, which may have several runs."""
    snakemake_door.one_slot(workflow)
    snakemake_door.keep_going(workflow)
    preload.announce()


def take_screen():
    """Return the display of progress, which from here on follows what Snakemake says."""
    from l2study.workflow.screen import Screen

    return Screen(snakemake_door.screen(workflow))


def start_work():
    """Make this process the only one at work on the study, and get ready for training."""
    from l2study.workflow import lock

    try:
        done = lock.hold(LOCK, jobs=snakemake_door.name_of_jobs(workflow))
    except lock.OwnedError as error:
        sys.exit(str(error))
    if done:
        print(done, file=sys.stderr)
    snakemake_door.see_every_end(workflow)
    snakemake_door.remove_old_output(workflow)
    if SCREEN.jobs.cores and SCREEN.jobs.planned.keys() & {"train", "measure"}:
        # On this machine, and now: TensorFlow is imported while data are prepared.
        preload.start()
    SCREEN.start([run for run in PROMISED if run not in missing()], STUDY["training"])


def end_work(words):
    """Say the last `words` of the study."""
    from l2study.workflow import lock

    lock.rest(LOCK)
    print(words, file=sys.stderr)

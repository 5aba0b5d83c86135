"""Functions that the rules share. Every job of a cluster reads this again, so it only defines."""

import inspect
import json
import os
import shlex
import sys
from functools import cache
from pathlib import Path

from snakemake.utils import update_config

# The project's folder, also where another workflow uses this one as a module.
PROJECT = Path(inspect.currentframe().f_code.co_filename).resolve().parents[1]
if not PROJECT.is_dir():
    sys.exit(
        "This workflow runs programs of its own folder: clone it, and name its Snakefile there."
    )
sys.path.insert(0, str(PROJECT / "scripts"))

from l2study.core import code as code_of
from l2study.core import config as configuration
from l2study.core import paths, setups, variation
from l2study.training import preload
from l2study.workflow import at_work, snakemake_door


def here(path):
    """Return a file of this project as a path from the working directory: no module's prefix.

    In a clone that one works in, that is `path`. So results stay valid when all of it is moved.
    """
    return local(os.path.relpath(PROJECT / path))


def code(script):
    """Return a function for `input:` with the files that determine what `script` does, it first.

    As inputs of its rule they rerun it when their content changes, and nothing else does.
    """
    files = cache(lambda: [here(path) for path in code_of.code(PROJECT / script)])
    return lambda wildcards: files()


def is_main():
    """Return whether a person has started this Snakemake, as opposed to a job of a cluster."""
    return snakemake_door.is_main(workflow)


def stands_alone():
    """Return whether this is no module of another workflow, whose screen and locks are its own."""
    return Path(workflow.basedir).resolve().is_relative_to(PROJECT)


def read_study():
    """Return the study of this invocation and its set-ups by place; what is wrong ends all."""
    # A module gets no configfile, so that missing keys are as in config.yaml, the schema's defaults.
    defaults = not stands_alone()
    if stands_alone():
        update_config(config, snakemake_door.given_on_command_line(workflow) or {})
    if not is_main():
        study = configuration.checked_before(config, defaults=defaults)
        if variation.until(study):
            study = variation.in_round(study, int(at_work.round_of(study["study"]).read_text()))
        return study, by_place(setups.setups(study, checked=True))
    from l2study.data.preparation import check_setups
    from l2study.data.prepared import DataError

    try:
        for path in (snakemake_door.config_files(workflow) or []) if stands_alone() else []:
            configuration.read_keys(path)
        study = configuration.check(config, defaults=defaults)
        found = setups.setups(study)
        check_setups(found)
        configuration.check_ledger(study)
    except (configuration.ConfigError, DataError) as error:
        sys.exit(f"config: {error}")
    if variation.until(study):
        if not stands_alone():
            sys.exit(
                "config: seeds.until: is not for a module; allowed: a count or a list of seeds"
            )
        from l2study.workflow import seeds_so_far

        now, _ = seeds_so_far.look(study, found, f"results/{study['study']}")
        study = variation.in_round(study, now)
        found = setups.setups(study, checked=True)
    return study, by_place(found)


def refuse_unknown_results():
    """End all where there are results that Snakemake has no records of.

    It would take them as they are if their files are newer than the code, whatever they are of.
    """
    if at_work.has_unknown_results(STUDY["study"]):
        sys.exit(
            f"{RESULTS} is there, but .snakemake has no records of it. To keep the runs in it that"
            " belong to this configuration, its data and this code: make adopt in place of make"
            " study, or python scripts/adopt.py with the file of the configuration. To make all of"
            f" it again: delete {RESULTS}, or give the configuration another study name"
        )


def by_place(found):
    """Return set-ups by what follows the study's folder in their paths."""
    return {paths.place(setup.name): setup for setup in found}


def ledger():
    """Return the file with the claims that are judged."""
    name = paths.ledger(STUDY)
    return here(f"reports/claims/{name}.yaml") if name in paths.LEDGERS else name


def of_setup(value):
    """Return `value(place)` for the set-up of a job, as a function of the job's wildcards.

    Where there is one set-up it is the value itself: functions are a large part of what planning a
    job takes.
    """
    known = cache(value)
    return known("") if len(SETUPS) == 1 else lambda wildcards: known(wildcards.place)


def settings(*keys):
    """Return for `params:` the part of the set-up that a stage depends on, as JSON.

    One text: Snakemake compares parameters as a set of values, in which two that have been swapped
    would look unchanged. Of a crossed design a stage only needs to know the seeds of the runs.
    """

    def part(place):
        config = SETUPS[place].config | {"seeds": SEEDS}
        return as_text({key: config[key] for key in keys})

    return of_setup(part)


def as_text(part):
    """Return a part of a configuration as JSON; equal parts give equal texts."""
    # The order of factors is that of the names of set-ups.
    return json.dumps(part, sort_keys="factors" not in part)


def data_settings(wildcards):
    """Return the part of the configuration that the prepared data depend on, as JSON."""
    setup = DATA[wildcards.data]
    part = {key: setup.config[key] for key in ("dataset", "validation")}
    # Not the levels of a crossed design: a further one does not change what is prepared.
    by_seed = [source for source in variation.varied(STUDY) if source in ("split", "sample")]
    return as_text(part | ({"variation": by_seed} if by_seed else {}))


def sources(wildcards):
    """Return the option that gives every source its seed in a run; none where that is as usual."""
    seed = int(wildcards.seed)
    own = variation.source_seeds(STUDY, seed)
    usual = own == dict.fromkeys(variation.USUAL, seed)
    return "" if usual else f"--sources {variation.write_sources(own)}"


def data_source(wildcards):
    """Return the checksums of the files that the data are read from.

    Times would change with every copy.
    """
    from l2study.data.sources import source_fingerprint

    return source_fingerprint(DATA[wildcards.data].config["dataset"])


def data(file):
    """Return for `input:` a file of the prepared data of the set-up."""
    return of_setup(lambda place: f"{RESULTS}{paths.data_place(SETUPS[place].data)}/{file}")


def sharing(wildcards, output):
    """Return the options by which runs that differ in their epochs alone share their training.

    The longest leaves the others what they need, if they come later. A run trained before is the
    same, so this is nothing that a run depends on, and Snakemake does not compare what is made of
    `output`.
    """
    here = SETUPS[wildcards.place]
    longest, *others = next(group for group in SHARING if here in group)
    if here is longest:
        epochs = sorted(setup.config["training"]["epochs"] for setup in others)
        return " ".join(["--leave", *map(str, epochs)]) if others else ""
    run = paths.RUN.format(**wildcards)
    study = output.history.removesuffix(f"{wildcards.place}/{run}/history.csv")
    return f"--take-from {shlex.quote(f'{study}{paths.place(longest.name)}/{run}')}"


def priority(of_place):
    """Return what `priority:` is: by the place of a job's set-up, where there can be a function."""
    return of_setup(lambda place: of_place(ORDER.index(place))) if ORDERED else of_place(0)


def with_caption(path, captions, category):
    """Return `path` as an output that `snakemake --report` shows, if it has a caption.

    A file's caption is that of its name, in one of the folders `captions` of reports/. A figure's
    PNG and a table's copies in other formats would show the same again.
    """
    name, suffix = Path(path).stem, Path(path).suffix
    found = [f"reports/{folder}/{name}.rst" for folder in captions]
    found = [caption for caption in found if (PROJECT / caption).exists()]
    if suffix not in (".svg", ".csv") or not found:
        return path

    def labels(wildcards):
        place = {"set-up": setup_of(wildcards)} if "{place}" in path else {}
        return place | {"name": name.replace("_", " ")}

    return report(path, caption=f"../{found[0]}", category=category, labels=labels)


def report_of(place, figures):
    """Return the files of the report of the set-up at `place`, with these figures."""
    folder = f"{RESULTS}{place}/report"
    return [
        f"{folder}/report.ipynb",
        f"{folder}/report.html",
        f"{folder}/summary.md",
        *(f"{folder}/figures/{name}.{kind}" for name in figures for kind in ("png", "svg")),
    ]


def setup_of(wildcards):
    """Return the name of the set-up of a job; that of the base where it has no place."""
    return SETUPS[wildcards.get("place", "")].name


def results():
    """Return the folder of the study's results as it is on disk, after the prefix of a module."""
    return Path(str(rules.prepare.output.manifest).replace("{data}", "")).parent


@cache
def missing():
    """Return the folders of the runs that are not there, if the study may go without."""
    if not ALLOW_MISSING:
        return set()
    # run.json is the last file of a run to be written.
    return {run for run in PROMISED if not (results().parents[1] / run / "run.json").exists()}


def runs(file, cell=None):
    """Return the path of `file` for every run that the report is made from, or those of a cell.

    A cell is a set-up and a lambda, `place` and `l2` of a job's wildcards.
    """
    wanted = PROMISED if cell is None else expand(RUN, **dict(cell), seed=SEEDS)
    return [f"{folder}/{file}" for folder in wanted if folder not in missing()]


def deleted(cell=None):
    """Return a file that is not there for every run that lacks one; its job makes all of them."""
    if not is_main():
        return []
    study, found = results().parents[1], []
    for folder in runs("", cell):
        gone = (
            name for name in ("run.json", "history.csv") if not (study / folder / name).exists()
        )
        found += [f"{folder}{name}" for name in gone][:1]
    return found


def deleted_after_measuring():
    """Return `deleted` of the lambdas that have been measured, where tables have to be made.

    For tables that are asked for by name: a run is an input of measuring alone, and Snakemake makes
    no input of what is done. Where there are tables, it would make them once more.
    """
    study = results().parents[1]
    if not is_main() or (study / TABLES[0]).exists():
        return []
    measured = [
        cell
        for cell in CELLS
        if (study / f"{RESULTS}{cell['place']}/{paths.MEASURES}".format(**cell)).exists()
    ]
    return [file for cell in measured for file in deleted(cell)]


def cells():
    """Return every set-up and lambda that has a run."""
    found = [{"place": place, "l2": l2} for place in SETUPS for l2 in STUDY["lambdas"]]
    return [cell for cell in found if runs("", cell)]


def read_as_job():
    """Set up the Snakemake within a job of a cluster, which may have several runs."""
    print(snakemake_door.BEGUN, file=sys.stderr)
    snakemake_door.one_slot(workflow)
    snakemake_door.keep_going(workflow)
    preload.announce()


def take_screen():
    """Return the display of progress, which from here on follows what Snakemake says."""
    from l2study.workflow.screen import Screen

    return Screen(snakemake_door.screen(workflow))


def expected_runs():
    """Return the runs that the report is made from, and what is expected of those to be trained."""
    from l2study.workflow import estimate

    def is_new(folder):
        return not Path(folder, "run.json").exists()

    expected = estimate.expected_runs(STUDY, SETUPS.values(), RESULTS, is_new)
    return [run for run in expected if run.folder not in missing()]


def start_work():
    """Make this process the only one at work on the study, and get ready for training."""
    from l2study.workflow import lock, notes

    try:
        done = lock.hold(LOCK, jobs=snakemake_door.name_of_jobs(workflow))
    except lock.OwnedError as error:
        sys.exit(str(error))
    if done:
        print(done, file=sys.stderr)
    if variation.until(STUDY):
        at_work.round_of(STUDY["study"]).write_text(f"{len(SEEDS)}\n")
    snakemake_door.look_again_when_needed(workflow)
    snakemake_door.see_every_end(workflow)
    snakemake_door.ask_steadily(workflow)
    snakemake_door.submit_what_is_missing(workflow)
    snakemake_door.spare_tries(workflow)
    if SCREEN.jobs.cores and SCREEN.jobs.planned.keys() & {"train", "measure"}:
        # On this machine, and now: TensorFlow is imported while data are prepared.
        preload.start()
    SCREEN.start(expected_runs, notes.unnamed(STUDY))


def end_work(words):
    """Say the last `words` of the study."""
    from l2study.workflow import lock

    lock.rest(LOCK)
    print(words, file=sys.stderr)
    if variation.until(STUDY):
        from l2study.workflow import seeds_so_far

        print(seeds_so_far.words(STUDY, list(SETUPS.values()), RESULTS), file=sys.stderr)

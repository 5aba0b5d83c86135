"""One start of Snakemake: its lock, the display of progress, and what is mended in Snakemake."""

import itertools
import json
import sys
from pathlib import Path

from l2study.training import preload
from l2study.workflow import slurm, snakemake_compat
from l2study.workflow.study import Study, round_of, rounds_of


class Invocation:
    """What happens around the jobs of a study. A module of another workflow has nothing of it."""

    def __init__(self, workflow, study: Study):
        """Get ready for the runs of a cluster's job, or follow what Snakemake says from here on."""
        self._workflow, self._study = workflow, study
        if not study.is_main:
            print(snakemake_compat.BEGUN, file=sys.stderr)
            snakemake_compat.one_slot(workflow)
            snakemake_compat.keep_going(workflow)
            preload.announce()
        elif study.stands_alone:
            slurm.leave_job()
            # Imported late, as below: a job of a cluster has no need of it.
            from l2study.workflow.screen import Screen

            snakemake_compat.heed_quota(workflow)
            self._screen = Screen(snakemake_compat.screen(workflow))

    def begin(self) -> None:
        """Make this process the only one at work on the study, and get ready for training."""
        from l2study.workflow import lock, notes

        workflow, study, jobs = self._workflow, self._study, self._screen.jobs
        try:
            name = snakemake_compat.name_of_jobs(workflow)
            done = lock.hold(lock.path_of(study.design.study), jobs=name)
        except lock.OwnedError as error:
            sys.exit(str(error))
        if done:
            print(done, file=sys.stderr)
        if (base := study.design.base).in_rounds:
            now = len(base.seeds) if base.until else base.lambdas
            round_of(study.design.study).write_text(f"{json.dumps(now)}\n")
        if snakemake_compat.touches(workflow):
            self._screen.give_back()
            return
        snakemake_compat.mend(workflow)
        if jobs.cores and jobs.planned.keys() & {"train", "measure"}:
            # On this machine, and now: TensorFlow is imported while data are prepared.
            preload.start()
        self._screen.start(self._expected_runs, notes.unnamed(study.design.config))

    def end(self, is_made: bool) -> None:
        """Say that the study is made and where its page is, or which jobs have failed and why."""
        from l2study.workflow import lock

        study, screen = self._study, self._screen
        words = screen.success(study.report()[1]) if is_made else screen.failures()
        lock.rest(lock.path_of(study.design.study))
        print(words, file=sys.stderr)
        if study.design.base.in_rounds:
            print(rounds_of(study.design).words(study.design, study.results), file=sys.stderr)

    def _expected_runs(self) -> tuple[list, float | None]:
        """Return the runs that the report is made from, and 1.0 if it is known what they take."""
        from l2study.workflow import estimate

        def is_new(folder: str) -> bool:
            return not Path(folder, "run.json").exists()

        design, results = self._study.design, self._study.results
        costs = estimate.known_costs(design, Path(results))
        found = estimate.expected_runs(design, results, is_new, costs)
        wanted = set(itertools.chain.from_iterable(self._study.runs.values()))
        return [run for run in found if run.folder in wanted], 1.0 if costs else None

"""The study of one start of Snakemake: what its rules make, and from what.

Every job of a cluster reads the Snakefile again. So what is imported at the top loads little, and
what takes time is computed when it is asked for.
"""

import contextlib
import hashlib
import itertools
import json
import shlex
import sys
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Self

from l2study.core import paths
from l2study.core.code import fingerprint
from l2study.core.config import ConfigError, check, checked_before, read_keys
from l2study.core.design import NOT_OF_MODEL, Design
from l2study.core.files import read_json, write_json
from l2study.core.seeds import USUAL, write_sources
from l2study.workflow import snakemake_compat

PROJECT = Path(__file__).resolve().parents[3]


class Cell(NamedTuple):
    """A set-up and a lambda, named as the wildcards of a job are."""

    place: str
    l2: str


class Study:
    """A study: its set-ups, the paths of its files, and which of its runs are there.

    A run is one lambda and one seed in one set-up. The place of a set-up is what follows the
    study's folder in its paths: nothing for the base, /setups/<name> for the others.
    """

    def __init__(self, design: Design, is_main: bool = True, stands_alone: bool = True):
        """Describe the study of a design, in rounds that of this round.

        `is_main` says that a person has started this Snakemake, as opposed to a job of a cluster,
        and `stands_alone` that this is no module of another workflow.
        """
        self.design, self.is_main, self.stands_alone = design, is_main, stands_alone
        self.setups = {setup.place: setup for setup in design.setups}
        self.results, self.logs = f"results/{design.study}", f"logs/{design.study}"
        self.root = Path()
        """Where `results` begins on disk; a module's is below the prefix that it has."""

    @classmethod
    def read(cls, config: dict, workflow) -> Self:
        """Return the study of Snakemake's `config`; what is wrong with it ends the process."""
        stands_alone = Path(workflow.basedir).resolve().is_relative_to(PROJECT)
        if stands_alone:
            snakemake_compat.read_command_line(workflow, config)
        if not snakemake_compat.is_main(workflow):
            design = Design.of(checked_before(config), checked=True)
            if design.base.in_rounds:
                design = design.in_round(json.loads(round_of(design.study).read_text()))
            return cls(design, False, stands_alone)
        from l2study.data.preparation import check_setups
        from l2study.data.prepared import DataError

        try:
            for file in (snakemake_compat.config_files(workflow) or []) if stands_alone else []:
                read_keys(file)
            design = Design.of(check(config))
            check_setups(design.setups)
            if design.base.in_rounds and not stands_alone:
                key = "seeds.until" if design.base.until else "lambdas.extend"
                raise ConfigError(
                    f"{key}: does not work in a module; allowed: fixed lists of seeds and lambdas"
                )
        except (ConfigError, DataError) as error:
            sys.exit(f"config: {error}")
        if design.base.in_rounds:
            now, _ = rounds_of(design).look(design, f"results/{design.study}")
            design = design.in_round(now)
        if stands_alone:
            refuse_unknown_results(design.study)
        return cls(design, True, stands_alone)

    # ---- what a rule needs of a job's set-up

    def per_setup(self, value: Callable[[str], object]) -> object:
        """Return `value(place)` for the set-up of a job, as a function of the job's wildcards; of a
        single set-up the value itself, since functions are much of what planning takes."""
        if len(self.setups) == 1:
            return value("")
        known = cache(value)
        return lambda wildcards: known(getattr(wildcards, "place", ""))

    def settings(self, *keys: str) -> object:
        """Return for `params:` the part of the configuration that a stage depends on, as JSON.

        One text: Snakemake compares parameters as a set of values, in which two that have been
        swapped would look unchanged. Of a crossed design a stage only needs the seeds of the runs.
        """

        def part(place: str) -> str:
            setup = self.setups[place]
            config = setup.config | {"seeds": setup.seeds}
            return as_text({key: config[key] for key in keys})

        return self.per_setup(part)

    @property
    def whole(self) -> str:
        """The whole configuration, as JSON."""
        # What is made of the runs, and whether all must be there, is no part of what is studied.
        others = ("allow_missing", "allow_large", "tensorboard")
        return as_text({k: v for k, v in self.design.config.items() if k not in others})

    def name_of_setup(self, wildcards) -> str:
        """Return the name of the set-up of a job."""
        return self.setups[wildcards.get("place", "")].name

    # ---- data

    def data_file(self, name: str) -> object:
        """Return for `input:` a file of the prepared data of the set-up."""
        return self.per_setup(lambda place: f"{self.results}{self.setups[place].data_place}/{name}")

    def data_settings(self, wildcards) -> str:
        """Return the part of the configuration that the prepared data depend on, as JSON."""
        setup = self.design.data[wildcards.data]
        part = {key: setup.config[key] for key in ("dataset", "validation")}
        # Not the levels of a crossed design: a further one does not change what is prepared.
        by_seed = [source for source in setup.varied if source in ("split", "sample")]
        return as_text(part | ({"variation": by_seed} if by_seed else {}))

    def data_source(self, wildcards) -> str:
        """Return the checksums of the files that the data are read from; times change by a copy."""
        from l2study.data.sources import source_fingerprint

        return source_fingerprint(self.design.data[wildcards.data].config["dataset"])

    # ---- model

    def model_file(self) -> object:
        """Return for `input:` the description of the set-up's model."""
        return self.per_setup(lambda place: self._models[place])

    @cached_property
    def _models(self) -> dict[str, str]:
        """The description of each set-up's model, by the set-up's place.

        Its name has a checksum of what it depends on, so it never is out of date. Set-ups that
        differ in their epochs share one, so that the longest is trained first.
        """
        found = {}
        for place in self.setups:
            text = f"{fingerprint('train')} {self._model_settings(place)}"
            checksum = hashlib.sha256(text.encode()).hexdigest()[:12]
            found[place] = f"{self.results}/{paths.MODEL.format(checksum=checksum)}"
        return found

    def _setup_of(self, wildcards) -> str:
        """Return the place of a set-up that has the model of a job; the base where none has."""
        file = f"{self.results}/{paths.MODEL.format(checksum=wildcards.checksum)}"
        return next((place for place, own in self._models.items() if own == file), "")

    def model_settings(self, wildcards) -> str:
        """Return the part of the configuration that a model depends on, as JSON."""
        return self._model_settings(self._setup_of(wildcards))

    def model_data(self, name: str) -> Callable:
        """Return for `input:` a file of the prepared data of a set-up with the model of a job."""
        return lambda job: f"{self.results}{self.setups[self._setup_of(job)].data_place}/{name}"

    def _model_settings(self, place: str) -> str:
        config = self.setups[place].config
        training = {k: v for k, v in config["training"].items() if k not in NOT_OF_MODEL}
        return as_text(
            {part: config[part] for part in ("dataset", "model")} | {"training": training}
        )

    # ---- runs

    def sources(self, wildcards) -> str:
        """Return the option that gives every source its seed; none where that is as usual."""
        seed = int(wildcards.seed)
        own = self.design.base.sources(seed)
        return "" if own == dict.fromkeys(USUAL, seed) else f"--sources {write_sources(own)}"

    def sharing(self, wildcards, output) -> str:
        """Return the options by which runs that differ in their epochs alone share their training:
        the longest leaves the others what they need, if they come later.

        A run trained by itself is the same. So `output` is an argument: Snakemake does not compare
        what is made of it, and no run is made again.
        """
        setup = self.setups[wildcards.place]
        longest, *others = next(group for group in self.design.sharing if setup in group)
        if setup is longest:
            epochs = sorted(other.config["training"]["epochs"] for other in others)
            return " ".join(["--leave", *map(str, epochs)]) if others else ""
        run = paths.RUN.format(**wildcards)
        study = output.history.removesuffix(f"{wildcards.place}/{run}/history.csv")
        return f"--take-from {shlex.quote(f'{study}{longest.place}/{run}')}"

    def priority(self, workflow, is_first: bool) -> object:
        """Return for `priority:` an order by set-ups, so that compiled programs serve many runs;
        jobs of a rule that `is_first` come before those of another."""
        # The longest of those that share runs comes first.
        order = [setup.place for group in self.design.sharing for setup in group]
        first = len(order) if is_first else 0
        if not snakemake_compat.orders_jobs(workflow):
            return first
        return self.per_setup(lambda place: first - order.index(place))

    @cached_property
    def runs(self) -> dict[Cell, list[str]]:
        """The folders of the runs that the report is made from; only cells that have any."""
        base = self.design.base
        found = {
            Cell(place, l2): [
                f"{self.results}{place}/{paths.RUN.format(l2=l2, seed=seed)}" for seed in base.seeds
            ]
            for place, l2 in itertools.product(self.setups, base.lambdas)
        }
        if self.design.config.get("allow_missing"):
            # run.json is the last file of a run to be written.
            for cell, runs in found.items():
                found[cell] = [run for run in runs if self.is_there(f"{run}/run.json")]
        return {cell: runs for cell, runs in found.items() if runs}

    @property
    def lacks_runs(self) -> bool:
        """Whether runs are missing, and may be."""
        return sum(map(len, self.runs.values())) < self.design.runs

    def records(self, wildcards) -> list[str]:
        """Return for `input:` the record of every run of a job's cell."""
        runs = self.runs.get((wildcards.place, wildcards.l2), [])
        return [f"{folder}/run.json" for folder in runs]

    def is_there(self, file: str) -> bool:
        """Return whether a file of the study, a path from its `root`, is on disk."""
        return (self.root / file).exists()

    def keep_runs_without_model(self) -> None:
        """Put an empty file in the place of a description that is absent though a run is there of
        that model, as in results from elsewhere.

        Else Snakemake would make it, and train all runs of the set-up: it leaves alone what takes
        an `ancient` file only if that is there while it plans.
        """
        if not self.is_main:
            return
        for place, setup in self.setups.items():
            file = self.root / self._models[place]
            runs = Path(self.root, f"{self.results}{place}", "runs").glob("*/*/run.json")
            if file.exists() or not (run := next(runs, None)):
                continue
            promised = setup.promised["config"] | {"code": fingerprint("train")}
            with contextlib.suppress(OSError, ValueError, KeyError):
                record = read_json(run)
                if record["config"] | {"code": record["code"]} == promised:
                    write_json(file, {})

    def deleted(self, cells: Iterable[Cell] | None = None) -> list[str]:
        """Return one file that is not there, whose job makes all, for every run that lacks any."""
        if not self.is_main:
            return []
        found = []
        for folder in itertools.chain.from_iterable(self.runs[cell] for cell in cells or self.runs):
            files = (f"{folder}/{name}" for name in ("run.json", "history.csv"))
            found += [file for file in files if not self.is_there(file)][:1]
        return found

    def deleted_after_measuring(self) -> list[str]:
        """Return `deleted` of the lambdas that have been measured, where tables have to be made.

        For tables that are asked for by name: a run is an input of measuring alone, and Snakemake
        makes no input of what is done. Where there are tables, it would make them once more.
        """
        if not self.is_main or self.is_there(self.tables[0]):
            return []
        measured = [cell for cell in self.runs if self.is_there(self.measures(cell))]
        return self.deleted(measured) if measured else []

    # ---- what is made of the runs

    def measures(self, cell: Cell) -> str:
        """Return the file with the measures of a cell's runs."""
        return f"{self.results}{cell.place}/{paths.MEASURES.format(l2=cell.l2)}"

    def predictions(self, cell: Cell) -> str:
        """Return the file with the predictions of a cell's runs."""
        return f"{self.results}{cell.place}/{paths.PREDICTIONS.format(l2=cell.l2)}"

    @property
    def events(self) -> list[str]:
        """The folders with the event files of TensorBoard, if the configuration asks for them."""
        cells = self.runs if self.design.config.get("tensorboard") else []
        return [f"{self.results}{place}/tensorboard/l2~{l2}" for place, l2 in cells]

    @cached_property
    def tables(self) -> list[str]:
        """The files of the tables. A table is one that has a caption."""
        files = [f"{name}.csv" for name in captions("tables")]
        files += ["histories.parquet", "runs.parquet", "datapackage.json"]
        return [f"{self.results}/tables/{file}" for file in files]

    @cached_property
    def figures(self) -> dict[str, list[str]]:
        """The figures of the base's report, by the folder of their captions in reports/."""
        return {
            "captions": captions("captions"),
            "captions_crossed": captions("captions_crossed") if self.design.base.crossed else [],
            "captions_across": captions("captions_across") if len(self.setups) > 1 else [],
        }

    def report(self, place: str = "") -> list[str]:
        """Return the files of the report of the set-up at `place`, whose page comes second; figures
        across set-ups are of the base's."""
        kinds = [kind for kind in self.figures if not (place and kind == "captions_across")]
        files = ["report.ipynb", "report.html", "summary.md"]
        for name in itertools.chain.from_iterable(self.figures[kind] for kind in kinds):
            files += [f"figures/{name}.png", f"figures/{name}.svg"]
        return [f"{self.results}{place}/report/{file}" for file in files]

    @property
    def reports(self) -> list[str]:
        """The files of the reports of all set-ups that have runs, and of the base."""
        places = dict.fromkeys(["", *(cell.place for cell in self.runs)])
        return [file for place in places for file in self.report(place)]


def rounds_of(design: Design) -> ModuleType:
    """Return the module that knows the rounds of a design: of its seeds, or of its lambdas."""
    if design.base.until:
        from l2study.workflow import seeds_so_far as rounds
    else:
        from l2study.workflow import lambdas_so_far as rounds
    return rounds


def round_of(study: str) -> Path:
    """Return the file that tells jobs of a cluster the seeds or the lambdas of their round."""
    return Path(f".snakemake/at-work/{study}.round")


def refuse_unknown_results(study: str) -> None:
    """End this process where a study has results, which are in folders, without the lock that every
    start makes before its first job: they were copied. Snakemake has no record of them, and would
    take them as they are if they are newer than the code."""
    from l2study.workflow import lock

    files = (path for path in Path("results", study).glob("*/**/*") if path.is_file())
    if not lock.path_of(study).exists() and any(files):
        sys.exit(
            f"results/{study} exists, but .snakemake has no record of it. To keep its runs with"
            " this configuration, data and code: make adopt before make study, or python"
            " scripts/adopt.py with the file of the configuration. To start over: delete"
            f" results/{study}, or give the configuration another study name"
        )


def as_text(part: dict) -> str:
    """Return a part of a configuration as JSON; equal parts give equal texts."""
    # The order of factors is that of the names of set-ups.
    return json.dumps(part, sort_keys="factors" not in part)


def captions(folder: str) -> list[str]:
    """Return, sorted, the names of what has a caption in a folder of reports/."""
    return sorted(file.stem for file in (PROJECT / "reports" / folder).glob("*.rst"))

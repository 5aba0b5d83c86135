"""All tables of a study, from the files of its runs to the files in RESULTS/tables."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from l2study.core.design import Design, Setup
from l2study.core.files import read_json, write_json, write_table
from l2study.core.measures import RUN_MEASURES, names
from l2study.core.paths import DATA_CHECK
from l2study.core.runs import DamagedRunError, Run, read_runs, weights_checksum
from l2study.data.groups import counted, groups_in
from l2study.tables import across, build, datapackage
from l2study.tables.choice import choice_table, choices_of
from l2study.tables.claims import claims_table
from l2study.tables.course import course_table
from l2study.tables.crossed import crossing_of, with_all_runs
from l2study.tables.derived import DERIVED_MEASURES, with_derived
from l2study.tables.dose_response import dose_tables
from l2study.tables.gain import best_table
from l2study.tables.image_intervals import images_of
from l2study.tables.laws import with_laws
from l2study.tables.ledger import read_ledger
from l2study.tables.one_seed import one_seed_table
from l2study.tables.power import power_table
from l2study.tables.rounds import rounds_table
from l2study.tables.spread import spread_table
from l2study.tables.variance import variance_table


def write_tables(config: dict, ledger: Path, results: Path, *, allow_missing: bool = False) -> None:
    """Write every table of the study to `results`/tables, and datapackage.json beside them.

    Args:
        config: a canonical configuration; `dataset` and `validation` are only written down.
        ledger: the claims and the rules that judge them, YAML.
        results: the study's results folder, with its runs and those of its set-ups.
        allow_missing: leave out promised runs that are not there, and use the others.

    Raises:
        DamagedRunError: a promised run is missing or damaged.
        LedgerError: the ledger is not as it should be.
        DescriptionError: the tables are not as schemas/tables.yaml describes them.
    """
    design, claims = Design.of(config, checked=True), read_ledger(ledger)
    studied, data, rows, checks, weights, faults = {}, {}, {}, {}, {}, []
    for setup in design.setups:
        manifest = Path(f"{results}{setup.data_place}") / "data.json"
        data[setup.name] = given = read_json(manifest) if manifest.exists() else {}
        rows[setup.name] = given.get("counts", {}).get("train")
        check = manifest.with_name(DATA_CHECK)
        checks[setup.name] = pd.DataFrame(read_json(check) if check.exists() else [])
        try:
            place = Path(f"{results}{setup.place}")
            runs = read_runs(place, setup, given, names("weights"), allow_missing=allow_missing)
        except DamagedRunError as fault:
            faults.append(str(fault))
            continue
        if runs:
            of_one = tables_of(setup, claims, runs, rows[setup.name], groups_in(given))
            studied[setup.name] = of_one
            weights[setup.name] = weights_checksum(run.record for run in runs)
            # They take most of the memory, and writing the tables takes more.
            del runs
    if faults:
        raise DamagedRunError("\n".join(faults))
    if not studied:
        raise DamagedRunError(f"{results}: has none of the runs of the study")
    for name, judged in across.judged_over_setups(design, studied, claims, rows).items():
        studied[name]["claims"] = judged
    tables = {
        name: pd.concat([of_one[name].assign(setup=setup) for setup, of_one in studied.items()])
        for name in next(iter(studied.values()))
    }
    runs = {name: of_one["runs"] for name, of_one in studied.items()}
    tables |= {
        "setups": across.setups_table(design, studied, claims),
        "interactions": across.interactions_table(design, studied),
        "rounds": rounds_table(design.base.until, design.base.confidence, runs),
        "data_check": pd.concat([own.assign(setup=name) for name, own in checks.items()]),
    }
    folder = results / "tables"
    absent = datapackage.absent_columns(tables)
    descriptions = datapackage.read_descriptions(design.factors, absent)
    for name, table in datapackage.as_described(tables, design.factors, absent).items():
        write_table(table, folder / f"{name}.csv")
        if descriptions[name]["parquet"]:
            fields = descriptions[name]["schema"]["fields"]
            datapackage.write_parquet(table, fields, folder / f"{name}.parquet")
    data = {name: counted(manifest) for name, manifest in data.items()}
    package = datapackage.data_package(design.config, data, weights, folder, design.factors, absent)
    write_json(folder / "datapackage.json", package)


def tables_of(
    setup: Setup,
    ledger: dict,
    found: list[Run],
    training_rows: int | None = None,
    groups: Mapping[str, np.ndarray] | None = None,
) -> dict[str, pd.DataFrame]:
    """Return every table of one set-up by its name, of its runs.

    In a crossed design, runs share initial weights, an order or a split. Counted as if they were
    independent, they would make every interval too narrow. So tables are of the independent runs
    alone, or of all by their mean squares, see `crossed`.
    """
    reference, confidence = setup.reference, setup.confidence
    histories = build.histories_table(found)
    runs = with_derived(histories, build.runs_table(found), build.regularised_kernels(found))
    runs = with_laws(histories, runs, setup, training_rows)
    runs[list(build.without_value(setup))] = math.nan
    absent = build.absent_measures(setup, runs)
    tables = {
        "histories": histories,
        "runs": runs,
        "weight_histogram": build.histogram_table(found),
        "variance": variance_table(setup, runs),
    }
    predicted = {(float(run.l2), run.seed): run.predictions for run in found if run.predictions}
    images, every = images_of(setup, predicted, groups), (histories, runs)
    histories, runs = (build.independent(table, setup) for table in every)
    measures = [name for name in (*RUN_MEASURES, *DERIVED_MEASURES) if name not in absent]
    choices = choices_of(runs, setup.choose_by, images)
    choice = choice_table(choices, reference, confidence)
    means = {
        "gap": build.gap_table(histories, runs, setup.epochs, confidence, absent, images),
        "contrasts": build.contrasts_table(runs, reference, confidence, absent, images),
        "means": build.means_table(runs, measures, confidence, images),
    }
    crossed = None
    if setup.crossed:
        means = with_all_runs(means, setup, *every, images)
        crossed = (crossing_of(setup, sorted(set(every[1]["seed"]))), *every)
    tables |= means | dose_tables(runs, confidence, images)
    claims = claims_table(
        ledger, histories, runs, choice, setup.epochs, confidence, images, crossed
    )
    return tables | {
        "choice": choice,
        "best": best_table(choices, choice, reference, confidence),
        "power": power_table(runs, reference, confidence, images),
        "claims": claims,
        "course": course_table(claims, histories, runs, confidence, images, crossed),
        "spread": spread_table(runs, confidence, absent),
        "one_seed": one_seed_table(runs, choice, reference, confidence),
    }

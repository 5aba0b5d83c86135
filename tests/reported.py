"""Made-up studies taken as far as their tables, for tests of what the report shows."""

import hashlib
import json
import shutil
from dataclasses import replace
from functools import cache

import nbformat
import numpy as np
import pandas as pd

import set_ups
from aggregate import write_tables
from l2study.core.config import check
from l2study.core.files import read_table, write_table
from l2study.report import answer
from l2study.report.study import Study, read_captions, read_study
from synthetic import made_tables, write_study
from tiny import PROJECT

CAPTIONS = PROJECT / "reports" / "captions"
NOTEBOOK = PROJECT / "reports" / "report.ipynb"

EDGE_CASES = {
    "one lambda, two seeds": {"lambdas": [1e-3], "seeds": [3, 8], "epochs": 3},
    "only lambda 0, one epoch": {"lambdas": [0], "seeds": [0, 1], "epochs": 1},
    "reference not in the study": {
        "lambdas": [1e-4, 1e-2], "seeds": [0, 1], "epochs": 3, "reference_lambda": 0,
    },
    "a lambda with every run diverged, another with one left": {
        "lambdas": [0, 1e-3, 1e-2],
        "seeds": [0, 1],
        "epochs": 3,
        "diverged": {(1e-2, 0): 2, (1e-2, 1): 1, (1e-3, 1): 3},
    },
    "every run diverged": {
        "lambdas": [0, 1e-2],
        "seeds": [0, 1],
        "epochs": 2,
        "diverged": {(l2, seed): 1 for l2 in (0, 1e-2) for seed in (0, 1)},
    },
    "twelve lambdas": {
        "lambdas": [0, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1],
        "seeds": [0, 1],
        "epochs": 2,
    },
    "three evaluated epochs": {
        "lambdas": [0, 1e-3], "seeds": [0, 1, 2], "epochs": 60, "evaluate_at": {"points": 3},
        "diverged": {(1e-3, 1): 20}, "kernels": ((784, 32), (32, 16)),
    },
}  # fmt: skip


def add_across(folder, factors, full=False, **made) -> str:
    """Make a study written by `write_results` one of several set-ups; return its configuration.

    All set-ups have the tables and runs of the base; what is said across them is made up.

    Args:
        folder: the study's results folder.
        factors: see `set_ups.setups_table`.
        full: whether the levels are combined.
        made: further arguments of `set_ups.setups_table`.
    """
    path = folder / "tables" / "datapackage.json"
    package = json.loads(path.read_text())
    table = set_ups.setups_table(factors, full, **made)
    tables = set_ups.across_tables(table)
    del tables["all_claims"]
    made_up = tables.pop("verdicts").set_index(["setup", "id"])["conclusion"]
    own = read_table(folder / "tables" / "claims.csv")
    claims = []
    for rank, name in enumerate(table.loc[table["completed"] > 0, "setup"]):
        rows = own.assign(setup=name, estimate=own["estimate"] * (1 + 0.1 * rank))
        if rank:
            whole = rows["estimand"] == "overall"
            rows.loc[whole, "conclusion"] = [
                made_up[name, claim] for claim in rows.loc[whole, "id"]
            ]
            rows["explains"] = rows["decisive"].where(rows["decisive"] == "yes")
        claims.append(rows)
    tables["claims"] = pd.concat(claims)
    for name in ("runs", "histories", "gap", "contrasts", "choice", "power", "weight_histogram",
                 "means", "one_seed", "spread", "dose_response", "equivalence",
                 "course"):  # fmt: skip
        rows = read_table(folder / "tables" / f"{name}.csv")
        tables[name] = pd.concat([rows.assign(setup=one) for one in table["setup"]])
    best = tables["best"]
    own = read_table(folder / "tables" / "best.csv")  # the rest of the base's results is of these
    tables["best"] = pd.concat([own, best[best["setup"] != "base"]])
    package["resources"] = [r for r in package["resources"] if r["path"][:-4] not in tables]
    for name, rows in tables.items():
        write_table(rows, folder / "tables" / f"{name}.csv")
        content = (folder / "tables" / f"{name}.csv").read_bytes()
        checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
        package["resources"].append({"path": f"{name}.csv", "hash": checksum})
    package["weights_sha256"] = dict.fromkeys(table["setup"], package["weights_sha256"]["base"])
    path.write_text(json.dumps(package))
    for name in table["setup"][1:]:
        shutil.copytree(folder / "runs", folder / "setups" / name / "runs")
    config = check(package["config"] | set_ups.factors_config(factors, full))
    return json.dumps(config)


def write_results(folder, **options) -> str:
    """Write a made-up study with its tables to `folder` and return its configuration as JSON."""
    config = write_study(folder, **options)
    write_tables(config, PROJECT / "reports" / "claims" / "exercise.yaml", folder)
    return json.dumps(config)


def made_up(folder, **options) -> Study:
    """Return a made-up study as the report reads it."""
    return read_study(write_results(folder, **options), folder, CAPTIONS)


@cache
def _captions():
    return read_captions(CAPTIONS)


SHOWN = {}


def shown(*claims, **options) -> Study:
    """Return a made-up study for what is shown of it, without a file; made once.

    Args:
        claims: ids of those that are judged; only the first of the ledger if none is given.
        options: of `synthetic.made_study`.
    """
    key = claims, repr(options)
    if key not in SHOWN:
        setup, tables = made_tables(*(claims or ["penalty"]), **options)
        tables = {name: table.replace("", np.nan) for name, table in tables.items()}  # as read
        tables["best"] = tables["best"].assign(setup="base")
        SHOWN[key] = Study("made-up", setup.config, tables, _captions())
    return SHOWN[key]


def with_tables(study, **tables) -> Study:
    """Return a study with these tables in place of its own."""
    return replace(study, tables={**study.tables, **tables})


def said(study) -> str:
    """Return all that the answer of a study says, in one text."""
    found = answer.of(study)
    states = [text for text, _ in found.state]
    return " ".join([found.headline, *found.sentences, *found.choice, *states, *found.coverage])


def write_page(folder, *contents):
    """Write a page with these pieces of HTML, each as a cell's output, and return its path."""
    from l2study.report import page  # takes long, and most tests need none

    cells = [
        nbformat.v4.new_code_cell(
            "show()", outputs=[nbformat.v4.new_output("display_data", {"text/html": content})]
        )
        for content in contents
    ]
    path = folder / "page.html"
    notebook = nbformat.v4.new_notebook(cells=cells)
    path.write_text(page.to_html(notebook, NOTEBOOK.parent, "A page"), encoding="utf-8")
    return path

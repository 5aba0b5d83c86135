"""What one seed would have said beside what all seeds say, from the table `one_seed`.

The counts are in that table. The script reports/page/one_seed.js draws a seed and fills in a column
of the table that `drawing` returns.
"""

import html
import json

import pandas as pd

from l2study.core.labels import l2_label
from l2study.core.measures import MEASURES
from l2study.core.scope_rows import widest
from l2study.core.variation import independent_seeds, is_crossed
from l2study.core.wording import Form, interval, labelled, percent, rounded
from l2study.report.study import Study
from l2study.report.table_cells import Number, Rows, Words

MOST_CELLS = 20_000
"""So many cells of single seeds are on the page at most, about 0.3 MB."""

_PERCENT = rounded(2, 100)
_OPPOSITE = {"picks another": "another lambda", "opposite sign": "opposite sign"}


def counts_table(study: Study) -> Rows:
    """Return a row per lambda: how many seeds pick it, and how many show the opposite sign."""
    counts, rows = study.tables["one_seed"], {}
    for row in counts[counts["says"] != "picks another"].itertuples():
        cells = rows.setdefault(row.l2, {"λ": Number(row.l2, l2_label)})
        head = (
            "Picked by" if row.says == "picks" else f"{MEASURES[row.measure].label}, opposite sign"
        )
        cells[head] = Words(f"{row.count} of {row.n}", _share(row))
    heads = dict.fromkeys(head for cells in rows.values() for head in cells)
    return [{head: cells.get(head, "–") for head in heads} for _, cells in sorted(rows.items())]


def sentences(study: Study) -> list[str]:
    """Return how often a seed would have picked another lambda, or shown the opposite sign."""
    counts = study.tables["one_seed"]
    if counts.empty:
        return ["A single seed can say nothing else than all seeds: there are no two lambdas."]
    level, texts = percent(study.config["confidence"]), []
    for row in counts[counts["says"] == "picks another"].itertuples():
        texts.append(
            f"All seeds together pick lambda {l2_label(row.l2)} by the lowest validation"
            f" cross-entropy. Alone, {_of(row)} would have picked another one ({level} interval of"
            f" this share: {_share(row)})."
        )
    signs = counts[counts["says"] == "opposite sign"]
    if not signs.empty:
        row = max(signs.itertuples(), key=lambda one: one.share)
        against = f"the difference from lambda {l2_label(row.reference_l2)}"
        names = [MEASURES[name].label.lower() for name in dict.fromkeys(signs["measure"])]
        if row.count:
            texts.append(
                f"The sign of {against} is least sure in the {MEASURES[row.measure].label.lower()}"
                f" at lambda {l2_label(row.l2)}. Alone, {_of(row)} would have shown the opposite"
                f" sign ({_share(row)})."
            )
            whole = _contrasts(study).loc[(row.measure, row.l2)]
            if whole["low"] <= 0 <= whole["high"]:
                texts[-1] += " All seeds together do not resolve this sign."
        else:
            texts.append(
                f"No seed alone shows the opposite sign of {against}, in {', '.join(names)}, at any"
                " lambda."
            )
    texts.append(
        "Each seed is one of all seeds here, so with few seeds these shares are smaller than for a"
        " new seed. The intervals are Wilson's."
    )
    if is_crossed(study.config):
        texts.append(
            "A seed is here a combination of the sources of variation. Those combinations are asked"
            " that share no level."
        )
    return texts


def drawing(study: Study) -> str:
    """Return a button and a table as HTML, hidden until the page's script can use them.

    Empty if there is nothing to say. The table has what all seeds say. The numbers of every seed
    are beside it as JSON: `seeds`, and for each of them and each row of the table, `said` as text
    and `other`, whether that is counted in the table.
    """
    counts = study.tables["one_seed"]
    shown = counts[counts["says"] != "picks"]
    if shown.empty:
        return ""
    runs = study.tables["runs"]
    runs = runs[runs["seed"].isin(independent_seeds(study.config))]
    seeds = sorted(set(runs.loc[runs["status"] == "completed", "seed"]))
    drawn = seeds[: max(1, MOST_CELLS // len(shown))]
    contrasts = _contrasts(study)
    body, said, other = [], [], []
    for row in shown.itertuples():
        if row.says == "picks another":
            name, of_all = "Lambda with the lowest validation cross-entropy", l2_label(row.l2)
            picks = counts[counts["says"] == "picks"].itertuples()
            own = {seed: l2_label(one.l2) for one in picks for seed in _seeds(one)}
        else:
            measure, whole = MEASURES[row.measure], contrasts.loc[(row.measure, row.l2)]
            form = rounded(3, measure.scale)
            name = f"{labelled(measure)}: λ {l2_label(row.l2)} less λ {l2_label(row.reference_l2)}"
            ends = interval(whole["low"], whole["high"], form)
            of_all = f"{form(whole['mean_difference'])}<br><small>{ends}</small>"
            own = _differences(runs, row.measure, row.l2, row.reference_l2, form)
        others = _seeds(row)
        body.append(
            f'<tr data-other="{_OPPOSITE[row.says]}"><th scope="row" class="text">{name}</th>'
            f"<td>{of_all}</td><td></td></tr>"
        )
        said.append([own.get(seed, "–") for seed in drawn])
        other.append([int(seed in others) for seed in drawn])
    data = {"seeds": drawn, "said": said, "other": other}
    some = f"<p>It draws from the first {len(drawn)} seeds.</p>" if drawn != seeds else ""
    return (
        '<div id="one-seed" hidden><p><button type="button">Draw one seed</button></p>'
        f'{some}<p role="status"></p>'
        '<div class="scroll" role="region" tabindex="0" aria-label="All seeds and one seed" hidden>'
        "<table>"
        f'<thead><tr><th scope="col" class="text">What</th><th scope="col">All {len(seeds)} seeds'
        '</th><th scope="col">One seed</th></tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div></div>"
        '<script type="application/json" id="one-seed-data">'
        f"{json.dumps(data, separators=(',', ':'))}</script>"
    )


def paragraphs(study: Study) -> str:
    """Return `sentences` as HTML."""
    return "".join(f"<p>{html.escape(text)}</p>" for text in sentences(study))


def _contrasts(study: Study) -> pd.DataFrame:
    keys = ["measure", "l2"]
    return widest(study.tables["contrasts"], keys).set_index(keys)


def _differences(
    runs: pd.DataFrame, measure: str, l2: float, reference: float, form: Form
) -> dict[int, str]:
    table = runs.pivot(index="seed", columns="l2", values=measure)
    return {seed: form(value) for seed, value in (table[l2] - table[reference]).dropna().items()}


def _seeds(row: tuple) -> set[int]:
    return set() if pd.isna(row.by_seeds) else set(map(int, row.by_seeds.split()))


def _of(row: tuple) -> str:
    return f"{row.count} of {row.n} seeds"


def _share(row: tuple) -> str:
    return f"{interval(row.low, row.high, _PERCENT)} %"

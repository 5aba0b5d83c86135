"""What the report's notebook shows, and the page made from it: one HTML file that needs no network.

The functions that the notebook calls return objects that a notebook displays.
"""

import base64
import html
import math
import re
from pathlib import Path

from IPython.display import HTML
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from l2study.core.measures import MEASURES
from l2study.core.paths import BASE, place
from l2study.core.wording import labelled, percent
from l2study.report import (
    claim_tables,
    curve_picker,
    effect_figures,
    figures,
    one_seed_text,
    provenance,
    round_text,
    setups_text,
    text_tables,
    variance_figures,
    variance_text,
)
from l2study.report.answer import answer as sentences
from l2study.report.navigation import chooser, tables_folder
from l2study.report.setup_names import words
from l2study.report.study import Study
from l2study.report.summary import QUESTION
from l2study.report.table_cells import Cell, Evidence, Link, Number, Rows, Verdict, Words

_FIGURES = "figures"


def header(study: Study) -> HTML:
    """Return the page's heading: the study's name and the question, and links to other set-ups."""
    name = html.escape(study.config["study"])
    which = "" if study.setup == BASE else f", {html.escape(words(study.setup))}"
    return HTML(
        f"<h1>L2 regularisation study: {name}{which}</h1>"
        f'<p class="question">{html.escape(QUESTION)}</p>'
        '<p class="where">This page is complete in itself. Its links to data and picture files '
        f"work where it was made, in results/{name}{html.escape(place(study.setup))}/report/.</p>"
        f"{chooser(study)}"
    )


def overview(study: Study, folder: str | Path = "") -> HTML | None:
    """Return what the study says across its set-ups, on the page of the base; else nothing.

    Args:
        study: the study.
        folder: where to write its figures, see `figure`.
    """
    if not setups_text.has_overview(study):
        return None
    texts = [setups_text.advice(study), *setups_text.overview(study)]
    advice, first, *rest = (f"<p>{html.escape(text)}</p>" for text in texts)
    claims = "".join(
        f"<dt>{html.escape(f'{name}: {claim}')}</dt><dd>{html.escape(text)}</dd>"
        for name, claim, text in setups_text.claim_sentences(study)
    )
    drawn = {name: figure(study, name, folder).data for name in figures.ACROSS}
    verdicts = _table(setups_text.map_table(study), "Verdicts by set-up")
    best = _table(setups_text.best_table(study), "The best lambda by set-up")
    return HTML(
        f'<h2>Across the set-ups</h2><div class="answer">{advice}</div>{first}'
        f"{drawn['verdict_map']}"
        f"<details><summary>The verdicts as a table, with links</summary>{verdicts}</details>"
        f"{''.join(rest)}"
        f"<h3>Every claim in all set-ups</h3><dl>{claims}</dl>"
        "<details><summary>The estimate behind each verdict, in every set-up</summary>"
        f"{drawn['specification']}</details><h3>What L2 is worth</h3>{drawn['benefit']}"
        f"<details><summary>The best lambdas as a table</summary>{best}</details>"
        "<p>From here on, this page is about the base alone.</p>"
    )


def answer(study: Study) -> HTML:
    """Return the answer in a few sentences, and how many runs it rests on."""
    texts = [*sentences(study), provenance.runs_sentence(study)]
    lost = (study.tables["runs"]["status"] == "diverged").any() or provenance.missing(study)
    classes = ["", *[""] * (len(texts) - 2), ' class="diverged"' if lost else ' class="note"']
    paragraphs = (
        f"<p{kind}>{html.escape(text)}</p>" for kind, text in zip(classes, texts, strict=True)
    )
    return HTML(f'<div class="answer">{"".join(paragraphs)}</div>')


def table(rows: Rows, about: str, kind: str = "cards", note: str = "") -> HTML:
    """Return a table as HTML.

    Args:
        rows: cells, typed as in `table_cells`.
        about: what the table is, for readers who do not see it.
        kind: a stack of `cards` where the screen is narrow, to be sorted by its columns; or a
            `list` of few columns that are not to be sorted.
        note: sentences below it.
    """
    if not rows:
        return HTML(f"<p>{html.escape(about)}: none.</p>")
    return HTML(_table(rows, about, kind) + (f"<p>{html.escape(note)}</p>" if note else ""))


def _table(rows: Rows, about: str, kind: str = "cards") -> str:
    heads = list(rows[0])
    numeric = {head: isinstance(rows[0][head], Number) for head in heads}
    # the first column names the rows: its numbers are labels, which do not meet at a point
    decimals = {
        head: max(len(_decimals(row[head].text)) for row in rows)
        for head in heads[1:]
        if numeric[head]
    }
    classes = {head: "" if numeric[head] else f' class="text {_slug(head)}"' for head in heads}
    tags = ["th scope=row role=rowheader", *["td role=cell"] * (len(heads) - 1)]
    labels = {head: f' data-label="{html.escape(head, quote=True)}"' for head in heads}
    # Some browsers take a table that is laid out as cards for a table only if it says so.
    head = "".join(
        f"<th{classes[h]} scope=col role=columnheader>{html.escape(h)}</th>" for h in heads
    )
    body = "".join(
        "<tr role=row>"
        + "".join(
            f"<{tag}{classes[h]}{labels[h]}{_sort_key(row[h])}>{_cell(row[h], decimals.get(h, 0))}"
            f"</{tag.split()[0]}>"
            for tag, h in zip(tags, heads, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    look = ["sortable"] * (len(rows) > 2) + ["cards"] if kind != "list" else []
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{html.escape(about)}">'
        f'<table class="{" ".join(look)}" role=table>'
        f"<thead role=rowgroup><tr role=row>{head}</tr></thead>"
        f"<tbody role=rowgroup>{body}</tbody></table></div>"
    )


def _sort_key(cell: Cell) -> str:
    """Return the attribute by which sort.js sorts a number; a missing one has none."""
    there = isinstance(cell, Number) and not math.isnan(cell.value)
    return f" data-value={float(cell.value)!r}" if there else ""


def _cell(cell: Cell, decimals: int) -> str:
    """Return a cell as HTML, numbers padded as if they had so many decimals."""
    match cell:
        case Number():
            text = html.escape(cell.text) + _padding(cell.text, decimals)
            return text + (f"<br><small>{cell.interval}</small>" if cell.interval else "")
        case Verdict():
            return f'<span class="verdict {_slug(cell.text)}">{html.escape(cell.text)}</span>'
        case Words():
            beneath = f"<br><small>{html.escape(cell.beneath)}</small>" if cell.beneath else ""
            return html.escape(cell.text) + beneath
        case Evidence():
            source, name = html.escape(cell.table), html.escape(cell.figure)
            link = f'<a href="#figure-{name}">{name}</a>'
            return f'<a href="{html.escape(cell.folder)}/{source}">{source}</a>, {link}'
        case Link():
            beneath = f"<br><small>{html.escape(cell.beneath)}</small>" if cell.beneath else ""
            return f'<a href="{html.escape(cell.address)}">{html.escape(cell.text)}</a>{beneath}'
        case _:
            return html.escape(cell)


def _decimals(text: str) -> str:
    """Return the decimals of a number; none if it has an exponent, which stands where they end."""
    decimals = text.partition(".")[2]
    return decimals if decimals.isdigit() else ""


def _padding(text: str, most: int) -> str:
    """Return spaces as wide as the point and the digits that a number lacks to have `most`."""
    if not most or not text[-1].isdigit() or "e" in text:
        return ""
    point, digit = "\u2008", "\u2007"
    there = len(_decimals(text))
    return ("" if there else point) + digit * (most - there)


def _slug(text: str) -> str:
    """Return `text` as a name for a class or an anchor."""
    return re.sub(r"\W+", "-", text.lower()).strip("-")


def claims(study: Study) -> HTML:
    """Return the claims ledger: a table of verdicts, then every claim's estimates to unfold."""
    parts = [f"<p>{html.escape(claim_tables.claims_text(study))}</p>"]
    parts.append(_table(claim_tables.verdict_table(study), "Claims and verdicts"))
    rows = study.tables["claims"]
    overall = rows[rows["estimand"] == "overall"]
    parts.append('<p class="unfold">The estimates behind each verdict:</p>')
    for row in overall.itertuples():
        details = claim_tables.claim_table(study, row.id)
        parts.append(
            f"<details><summary>{html.escape(row.claim)}: {_cell(Verdict(row.verdict), 0)}"
            f"</summary>{_table(details, f'Estimates for the claim: {row.claim}')}"
            "</details>"
        )
    return HTML("".join(parts))


def runs(study: Study) -> HTML:
    """Return how many runs completed, which diverged and when, and what the runs cost."""
    lost = "".join(f"<li>{html.escape(line)}</li>" for line in provenance.diverged(study))
    costs = _table(provenance.cost_table(study), "Cost of the runs", "list")
    sentence = html.escape(provenance.runs_sentence(study))
    return HTML(f"<p>{sentence}</p>" + (f"<ul>{lost}</ul>" if lost else "") + costs)


def setup(study: Study) -> HTML:
    """Return the set-up of the study and what it was run with."""
    settings = _table(provenance.setup(study), "Set-up of the study", "list")
    environments = provenance.versions(study)
    trained = _table(environments, "Versions the runs were trained with")
    report = html.escape(provenance.report_versions())
    return HTML(
        f"{settings}<p>Trained with:</p>{trained}<p>Tables and figures made with {report}.</p>"
    )


def figure(study: Study, name: str, folder: str | Path = "") -> HTML:
    """Return a figure with its caption and links to its data.

    Args:
        study: the study to draw.
        name: the figure, one of `figures.FIGURES` that has a caption.
        folder: where the figure is, or is to be written, as .png and .svg; nowhere if empty.
    """
    caption = study.captions[name]
    picture = figures.picture(name, study.tables, study.config["confidence"], folder)
    image = base64.b64encode(picture).decode("ascii")
    data = ", ".join(
        f'<a href="{tables_folder(study)}/{source}.csv">{source}.csv</a>'
        for source in (table.removeprefix("all_") for table in figures.tables_of(name))
    )
    return HTML(
        f'<figure id="figure-{name}">'
        f'<img alt="{html.escape(caption.description, quote=True)}" '
        f'src="data:image/svg+xml;base64,{image}">'
        f"<figcaption><strong>{caption.description_html}</strong>{caption.reading_html}"
        f'<p class="data">Data: {data}. Figure: <a href="{_FIGURES}/{name}.svg">SVG</a>, '
        f'<a href="{_FIGURES}/{name}.png">PNG</a>.</p></figcaption></figure>'
    )


def sources(study: Study, folder: str | Path = "") -> HTML | None:
    """Return where the variance comes from, if the sources of variation are crossed; else nothing.

    Args:
        study: the study.
        folder: where to write the figure, see `figure`.
    """
    if not variance_text.is_crossed(study):
        return None
    texts = "".join(f"<p>{html.escape(text)}</p>" for text in variance_text.sentences(study))
    parts = [
        "<h2>Where the variance comes from</h2>",
        texts,
        figure(study, "variance", folder).data,
    ]
    for measure in variance_figures.SHOWN:
        rows = variance_text.source_table(study, measure)
        label = f"{MEASURES[measure].label}: standard deviations and shares by source"
        contents = _table(rows, label)
        parts.append(f"<details><summary>{html.escape(label)}</summary>{contents}</details>")
    return HTML("".join(parts))


def one_seed(study: Study) -> HTML:
    """Return how often one seed would have said otherwise, and a button that draws a seed."""
    contents = one_seed_text.counts_table(study)
    counts = _table(contents, "How many seeds alone say what", "cards") if contents else ""
    return HTML(one_seed_text.paragraphs(study) + counts + one_seed_text.drawing(study))


def rounds(study: Study) -> HTML | None:
    """Return the rounds of a study whose seeds come in rounds; else nothing."""
    if not (text := round_text.rounds_sentence(study)):
        return None
    contents = _table(round_text.rounds_table(study), "Rounds of seeds")
    return HTML(f"<h2>Seeds in rounds</h2><p>{html.escape(text)}</p>{contents}")


def contrasts(study: Study) -> HTML:
    """Return the comparisons with the reference, a table to unfold for every measure drawn."""
    if study.tables["contrasts"].empty:
        return HTML("")
    level, reference = percent(study.config["confidence"]), study.config["reference_lambda"]
    parts = []
    for measure in effect_figures.CONTRASTS:
        label = f"{labelled(MEASURES[measure])}: differences from lambda {reference}"
        rows = text_tables.contrast_table(study, measure)
        contents = _table(rows, f"{label}, {level} intervals")
        parts.append(f"<details><summary>{html.escape(label)}</summary>{contents}</details>")
    return HTML("".join(parts))


def curves(study: Study) -> HTML:
    """Return the plot in which the reader picks lambdas and measures."""
    return HTML(curve_picker.explorer(study))


def to_html(notebook: NotebookNode, templates: Path, title: str) -> str:
    """Return an executed notebook as one HTML page with its code folded and a table of contents.

    Args:
        notebook: with its outputs.
        templates: the folder that holds the page's template, in a folder `page`.
        title: of the page.
    """
    settings = Config(
        HTMLExporter={
            "template_name": "page",
            "extra_template_basedirs": [str(templates)],
            "exclude_anchor_links": True,
            "exclude_input_prompt": True,
            "exclude_output_prompt": True,
            "language_code": "en",
        },
        CSSHTMLHeaderPreprocessor={"style": "friendly"},
    )
    own = [path.read_text(encoding="utf-8") for path in sorted((templates / "page").glob("*.js"))]
    body, _ = HTMLExporter(config=settings).from_notebook_node(
        notebook,
        resources={"metadata": {"name": title}, "scripts": [*curve_picker.scripts(), *own]},
    )
    return with_contents(body)


def with_contents(page: str) -> str:
    """Return `page` with an anchor at every second-level heading and the list of contents."""
    entries = []

    def anchored(match: re.Match) -> str:
        place = _slug(html.unescape(match[1]))
        entries.append(f'<li><a href="#{place}">{match[1]}</a></li>')
        return f'<h2 id="{place}">{match[1]}</h2>'

    page = re.sub(r"<h2>(.*?)</h2>", anchored, page)
    return page.replace("<!-- contents -->", f"<ol>{''.join(entries)}</ol>")

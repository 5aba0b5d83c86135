"""What the report's notebook shows, and the page made from it: one HTML file that needs no network.

The functions that the notebook calls return objects that a notebook displays.
"""

import base64
import html
import re
from pathlib import Path

import pandas as pd
from IPython.display import HTML
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from l2study import explorer, figures, summary
from l2study.answer import answer as sentences
from l2study.study import Study
from l2study.wording import percent

TEXT_COLUMNS = {
    "Claim",
    "The exercise's figure",
    "Verdict",
    "Decides",
    "Because",
    "Estimand",
    "Given",
    "Evidence",
    "Rule",
    "Measure",
    "Gap",
    "What",
    "Value",
    "Platform",
    "CPU",
    "Devices",
    "Hostname",
}
"""Columns of words; all others hold numbers and are aligned at the decimal point."""

CARDS = {"Claim", "Estimand", "Rule", "Runs"}
"""A table whose first column is one of these is a stack of cards where the screen is narrow."""

_TABLES, _FIGURES = "../tables", "figures"


def header(study: Study) -> HTML:
    """Return the page's heading: the study's name and the question."""
    name = html.escape(study.config["study"])
    return HTML(
        f"<h1>L2 regularisation study: {name}</h1>"
        f'<p class="question">{html.escape(summary.QUESTION)}</p>'
        '<p class="where">This page is complete in itself. Its links to data and picture files '
        f"work where it was made, in results/{name}/report/.</p>"
    )


def answer(study: Study) -> HTML:
    """Return the answer in two or three sentences, and how many runs it rests on."""
    texts = [*sentences(study.tables, study.config), summary.runs_sentence(study)]
    lost = (study.tables["runs"]["status"] == "diverged").any() or summary.missing(study)
    classes = ["", *[""] * (len(texts) - 2), ' class="diverged"' if lost else ' class="note"']
    paragraphs = (
        f"<p{kind}>{html.escape(text)}</p>" for kind, text in zip(classes, texts, strict=True)
    )
    return HTML(f'<div class="answer">{"".join(paragraphs)}</div>')


def table(frame: pd.DataFrame, about: str) -> HTML:
    """Return a table of text as HTML that scrolls sideways where the screen is narrow.

    Args:
        frame: cells as they are to be read.
        about: what the table is, for readers who do not see it.
    """
    if frame.empty:
        return HTML(f"<p>{html.escape(about)}: none.</p>")
    return HTML(_table(frame, about))


def _table(frame: pd.DataFrame, about: str) -> str:
    first = frame.columns[0]
    head = "".join(f"<th{_kind(c)} scope=col>{html.escape(str(c))}</th>" for c in frame.columns)
    cells = pd.DataFrame({c: _column(c, frame[c]) for c in frame.columns})
    # a card has no heads
    labels = {
        c: f' data-label="{html.escape(str(c), quote=True)}"' if first in CARDS else ""
        for c in frame.columns
    }
    body = "".join(
        "<tr>"
        + "".join(
            f"<th{_kind(c)}{labels[c]} scope=row>{row[c]}</th>"
            if c == first
            else f"<td{_kind(c)}{labels[c]}>{row[c]}</td>"
            for c in cells.columns
        )
        + "</tr>"
        for row in cells.to_dict("records")
    )
    label = html.escape(about, quote=True)
    kinds = ["sortable"] * (len(frame) > 2 and first != "What") + ["cards"] * (first in CARDS)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">'
        f'<table class="{" ".join(kinds)}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _column(name: str, texts: pd.Series) -> list[str]:
    """Return the cells of a column as HTML, numbers padded to meet at the decimal point."""
    cells = [_cell(name, text) for text in texts]
    if name in TEXT_COLUMNS or name == "λ":
        return cells
    found = [re.match(r"[<−]?\d+(\.\d+)?(?=$|<br>)", html.unescape(cell)) for cell in cells]
    most = max((len(match[1] or "") for match in found if match), default=0)
    return [
        cell.replace(
            html.escape(match[0]), html.escape(match[0]) + _padding(match[1] or "", most), 1
        )
        if match
        else cell
        for cell, match in zip(cells, found, strict=True)
    ]


def _padding(decimals: str, most: int) -> str:
    """Return spaces as wide as the point and the digits that `decimals` lacks to have `most`."""
    if not most:
        return ""
    point, digit = "\u2008", "\u2007"
    return ("" if decimals else point) + digit * (most - max(len(decimals), 1))


def _kind(column: str) -> str:
    return f' class="text {_slug(column)}"' if column in TEXT_COLUMNS else ""


def _slug(text: str) -> str:
    """Return `text` as a name for a class or an anchor."""
    return re.sub(r"\W+", "-", text.lower()).strip("-")


def _cell(column: str, text: str) -> str:
    text = str(text)
    if column == "Verdict":
        return f'<span class="verdict {_slug(text)}">{html.escape(text)}</span>'
    if column == "Evidence":
        return _evidence(text)
    if estimate := re.fullmatch(r"(\S+) \((\S+ to \S+)\)", text):
        return f"{estimate[1]}<br><small>{estimate[2]}</small>"
    return html.escape(text)


def _evidence(text: str) -> str:
    """Return `table.csv; figure` as links to the file and to the figure on the page."""
    source, _, name = (part.strip() for part in text.partition(";"))
    links = [f'<a href="{_TABLES}/{html.escape(source)}">{html.escape(source)}</a>']
    if name:
        links.append(f'<a href="#figure-{html.escape(name)}">{html.escape(name)}</a>')
    return ", ".join(links)


def claims(study: Study) -> HTML:
    """Return the claims ledger: a table of verdicts, then every claim's estimates to unfold."""
    parts = [f"<p>{html.escape(summary.claims_text(study))}</p>"]
    parts.append(_table(summary.verdict_table(study), "Claims and verdicts"))
    rows = study.tables["claims"]
    overall = rows[rows["estimand"] == "overall"]
    parts.append('<p class="unfold">The estimates behind each verdict:</p>')
    for row in overall.itertuples():
        details = summary.claim_table(study, row.id)
        parts.append(
            f"<details><summary>{html.escape(row.claim)}: "
            f"{_cell('Verdict', row.verdict)}</summary>"
            f"{_table(details, f'Estimates for the claim: {row.claim}')}</details>"
        )
    return HTML("".join(parts))


def runs(study: Study) -> HTML:
    """Return how many runs completed, which diverged and when, and what the runs cost."""
    lost = "".join(f"<li>{html.escape(line)}</li>" for line in summary.diverged(study))
    costs = _table(summary.cost_table(study), "Cost of the runs")
    sentence = html.escape(summary.runs_sentence(study))
    return HTML(f"<p>{sentence}</p>" + (f"<ul>{lost}</ul>" if lost else "") + costs)


def setup(study: Study) -> HTML:
    """Return the set-up of the study and what it was run with."""
    frame = pd.DataFrame(summary.setup(study), columns=["What", "Value"])
    trained = _table(summary.versions(study), "Versions the runs were trained with")
    report = html.escape(summary.report_versions())
    return HTML(
        f"{_table(frame, 'Set-up of the study')}<p>Trained with:</p>{trained}"
        f"<p>Tables and figures made with {report}.</p>"
    )


def figure(study: Study, name: str, folder: str | Path = "") -> HTML:
    """Draw a figure and return it with its caption and links to its data.

    Args:
        study: the study to draw.
        name: the figure, one of `figures.FIGURES` that has a caption.
        folder: where to write the figure as .png and .svg too; nowhere if empty.
    """
    caption = study.captions[name]
    files = figures.render(figures.draw(name, study.tables, study.config["confidence"]))
    if folder:
        figures.save(files, Path(folder), name)
    image = base64.b64encode(files["svg"]).decode("ascii")
    data = ", ".join(
        f'<a href="{_TABLES}/{source}.csv">{source}.csv</a>' for source in figures.tables_of(name)
    )
    return HTML(
        f'<figure id="figure-{name}">'
        f'<img alt="{html.escape(caption.description, quote=True)}" '
        f'src="data:image/svg+xml;base64,{image}">'
        f"<figcaption><strong>{caption.description_html}</strong>{caption.reading_html}"
        f'<p class="data">Data: {data}. Figure: <a href="{_FIGURES}/{name}.svg">SVG</a>, '
        f'<a href="{_FIGURES}/{name}.png">PNG</a>.</p></figcaption></figure>'
    )


def contrasts(study: Study) -> HTML:
    """Return the comparisons with the reference, a table to unfold for every measure drawn."""
    known = set(study.tables["contrasts"]["measure"])
    level, reference = percent(study.config["confidence"]), study.config["reference_lambda"]
    parts = []
    for measure in (m for m in figures.CONTRASTS if m in known):
        label = f"{summary.measure_label(measure)}: differences from lambda {reference}"
        frame = _table(summary.contrast_table(study, measure), f"{label}, {level} intervals")
        parts.append(f"<details><summary>{html.escape(label)}</summary>{frame}</details>")
    return HTML("".join(parts))


def curves(study: Study) -> HTML:
    """Return the plot in which the reader picks lambdas and measures, see `explorer`."""
    return HTML(explorer.explorer(study))


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
        resources={"metadata": {"name": title}, "scripts": [*explorer.scripts(), *own]},
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

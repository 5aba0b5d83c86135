"""The summary of a study in Markdown, which can be read on its own."""

from collections.abc import Iterable

from l2study.core.paths import BASE
from l2study.core.wording import percent
from l2study.report import (
    claim_tables,
    one_seed_text,
    provenance,
    setups_text,
    text_tables,
    variance_text,
)
from l2study.report.answer import answer
from l2study.report.figures import ACROSS, CROSSED
from l2study.report.navigation import tables_folder
from l2study.report.setup_names import words
from l2study.report.study import Study
from l2study.report.table_cells import Cell, Number, Rows

QUESTION = (
    "What does L2 regularisation do to a Keras network: to its accuracy, its weights and the gap "
    "between training and test accuracy? Lambda is the strength of the regularisation."
)

LEADING_FIGURE = "decomposition"
"""The figure that the summary shows right after the answer."""


def markdown_table(rows: Rows) -> str:
    """Return a Markdown table in which numbers are aligned to the right."""
    if not rows:
        return "(none)"

    def line(cells: Iterable[Cell]) -> str:
        return "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"

    rule = ["---:" if isinstance(cell, Number) else "---" for cell in rows[0].values()]
    return "\n".join([line(rows[0]), line(rule), *(line(row.values()) for row in rows)])


def summary(study: Study) -> str:
    """Return the Markdown summary of a study, which can be read on its own."""
    config = study.config
    level = percent(config["confidence"])
    figures = {
        name: f"![{caption.description}](figures/{name}.png)\n\n"
        f"*{caption.description}* {caption.reading}"
        for name, caption in study.captions.items()
    }
    leading = [figures.pop(LEADING_FIGURE)] if LEADING_FIGURE in figures else []
    lost = provenance.diverged(study)
    which = "" if study.setup == BASE else f", {words(study.setup)}"
    parts = [
        f"# L2 regularisation study: {config['study']}{which}",
        QUESTION,
        "## Answer",
        *answer(study),
        provenance.runs_sentence(study),
        *leading,
        *(_across(study, figures) if setups_text.has_overview(study) else []),
        "## Per lambda",
        "All numbers are means over the completed runs after the last epoch. Accuracies and gaps "
        "are measured with the final weights. The reported gap is the exception: it is the running "
        "training accuracy that Keras prints, minus the validation accuracy. The norm is the "
        "square root of the sum of the squared weights, of those with the regulariser. Gaps are in "
        f"points, and their variances over seeds in points². The ranges in "
        f"brackets are {level} intervals. " + text_tables.scopes_sentence(study),
        markdown_table(text_tables.lambda_table(study)),
        "The reported gap is the sum of three parts. The lag comes from averaging over a changing "
        "model. Generalisation is training minus test accuracy. The split is test minus validation "
        "accuracy.",
        markdown_table(text_tables.gap_table(study)),
        *([" ".join(said)] if (said := text_tables.variance_sentences(study)) else []),
        *(_sources(study, figures) if variance_text.is_crossed(study) else []),
        "## Claims",
        claim_tables.claims_text(study),
        markdown_table(claim_tables.verdict_table(study)),
        f"The estimates behind the verdicts are in [claims.csv]({tables_folder(study)}/claims.csv)"
        " and on the [page](report.html).",
        "## Choice of lambda",
        "Lambda is chosen on the validation cross-entropy. The test set decides nothing.",
        markdown_table(text_tables.choice_table(study)),
        " ".join(one_seed_text.sentences(study)),
        "## Set-up",
        "\n".join(f"- {row['What']}: {row['Value']}" for row in provenance.setup(study)),
        "## Runs",
        "\n".join(f"- {line}" for line in lost) if lost else "No run diverged.",
        "Trained with:",
        markdown_table(provenance.versions(study)),
        f"Tables and figures made with {provenance.report_versions()}.",
        "## Figures",
        *figures.values(),
    ]
    return "\n\n".join(parts) + "\n"


def _sources(study: Study, figures: dict[str, str]) -> list[str]:
    """Return the section on where the variance comes from; takes its figure out of `figures`."""
    return [
        "## Where the variance comes from",
        *variance_text.sentences(study),
        *(figures.pop(name) for name in CROSSED if name in figures),
    ]


def _across(study: Study, figures: dict[str, str]) -> list[str]:
    """Return the section on all set-ups; takes the figures that it shows out of `figures`."""
    return [
        "## Across the set-ups",
        setups_text.advice(study),
        *setups_text.overview(study),
        "\n".join(f"- {name}: {text}" for name, _, text in setups_text.claim_sentences(study)),
        markdown_table(setups_text.map_table(study)),
        *(figures.pop(name) for name in ACROSS if name in figures),
        "The best lambda of every set-up:",
        markdown_table(setups_text.best_table(study)),
        "The rest of this summary is about the base alone.",
    ]

"""The summary of a study in Markdown, which can be read on its own."""

import re

from l2study.report import (
    answer,
    claim_tables,
    dose_text,
    one_seed_text,
    provenance,
    setups_text,
    text_tables,
    variance_text,
)
from l2study.report.figures import ACROSS, CROSSED
from l2study.report.navigation import tables_folder
from l2study.report.study import Study
from l2study.report.templates import TEMPLATES

QUESTION = (
    "What does L2 regularisation do to a Keras network: to its accuracy, its weights and the gap "
    "between training and test accuracy? Lambda is the strength of the regularisation."
)


def summary(study: Study) -> str:
    """Return the Markdown summary of a study, which can be read on its own."""
    text = TEMPLATES.get_template("page/summary.md.j2").render(
        study=study,
        question=QUESTION,
        answer=answer,
        claim_tables=claim_tables,
        dose=dose_text,
        one_seed=one_seed_text,
        provenance=provenance,
        setups=setups_text,
        tables=text_tables,
        variance=variance_text,
        folder=tables_folder(study),
        elsewhere=["decomposition", *ACROSS, *CROSSED],
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"

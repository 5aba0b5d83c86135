"""What a reader should know of the data before the answer, from the table `data_check`.

The table says what is a finding. The text data_check.txt.j2 says it, the most serious first.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from l2study.report.templates import paragraphs

if TYPE_CHECKING:  # which takes long to import
    from l2study.report.study import Study

OF_SCALE = ("test_accuracy_noise_", "test_accuracy_fgsm_", "test_accuracy_pgd_", "accuracy_lost_")
"""How the names of measures begin that change inputs by a fixed amount."""

_ROUNDING = 1e-6
"""Accuracies are of 32 bits."""


def text(study: "Study") -> list[str]:
    """Return a sentence or two for each finding about the data of a study; empty without any."""
    return sentences(_rows(study), is_of_scale(study.measured), no_better(study))


def is_of_scale(measures: Iterable[str]) -> bool:
    """Return whether there is a measure that changes inputs by a fixed amount."""
    return any(str(measure).startswith(OF_SCALE) for measure in measures)


def withholds(study: "Study") -> bool:
    """Return whether the data, or what the networks made of them, allow no answer."""
    better = no_better(study)
    return bool(_found(study, "constant inputs")) or (better is not None and better["surely"])


def unscaled(study: "Study") -> bool:
    """Return whether the scale of the inputs leaves no meaning to fixed amounts of noise."""
    return "train" in _found(study, "deviation")


def sentences(
    rows: Sequence[Mapping], to_noise: bool = True, better: Mapping | None = None
) -> list[str]:
    """Return what is said of the rows of a table `data_check` of one set-up.

    `to_noise` says whether noise or attacks of a fixed size are among the measures; for `better`
    see `no_better`.
    """
    found, classes, ranges = defaultdict(list), defaultdict(dict), defaultdict(dict)
    for row in rows:
        if row["finding"] == "yes":
            found[row["check"]].append(row)
        if row["check"] == "class":
            classes[row["part"]][row["which"]] = row["count"]
        if row["check"] in ("lowest", "highest", "deviation"):
            ranges[row["part"]][row["check"]] = row["value"]
    facts = {"found": found, "classes": classes, "ranges": ranges}
    return paragraphs("data_check", **facts, to_noise=to_noise, better=better)


def no_better(study: "Study") -> dict | None:
    """Return what is known where no lambda is shown to beat always saying the class that most test
    images are of; None where one is, or where that is not known.

    `share` is the accuracy of always saying the class `which`, and `highest` the highest mean test
    accuracy. `surely` says that no interval reaches above that share, not only that each reaches
    down to it. Both are on the images of the study, so the intervals are those for other seeds.
    """
    largest = [r for r in _rows(study) if (r["part"], r["check"]) == ("test", "largest class")]
    if not largest:
        return None
    means, (largest,) = study.over_seeds["means"], largest
    means = means.query("measure == 'test_accuracy' and n > 0")
    if means.empty:
        return None
    beaten = largest["share"] + _ROUNDING
    surely = bool((means["high"].fillna(means["mean"]) <= beaten).all())
    if not surely and not (means["low"] <= beaten).all():
        return None
    known = {"share": largest["share"], "which": largest["which"]}
    return known | {"highest": means["mean"].max(), "surely": surely}


def _rows(study: "Study") -> list[dict]:
    """Return the rows of the table as mappings; none of a study from before there was one."""
    table = study.tables.get("data_check")
    return [] if table is None else table.to_dict("records")


def _found(study: "Study", check: str) -> list[str]:
    """Return the parts of the data in which a check found something."""
    return [r["part"] for r in _rows(study) if r["check"] == check and r["finding"] == "yes"]

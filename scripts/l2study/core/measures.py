"""The registry of measures: what each number of a run is called, and where it is computed.

The entries are data, in schemas/measures.yaml. Training and measuring do not read them, so another
word for a measure trains and measures nothing again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from l2study.core.files import read_yaml

SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "measures.yaml"


@dataclass(frozen=True)
class Measure:
    """A measure. A reader sees `scale` times its number, in `unit`.

    `better` is "lower", "higher" or None; `compared` says whether lambdas are compared by it;
    `computed` is where it comes from: "history", "curve", "gap", "weights" or "derived"; `section`
    is where TensorBoard shows a column of the history; `difference` has the two columns of a gap;
    `margin` is the size of a difference that does not matter, in the unit of the column; `images`
    has of a mean over images the coefficient by what is averaged and by the part of the images, and
    `epoch` is "best" where that was predicted after a run's best epoch; `optional` says that only
    some models have it; `column` has type, unit and limits of its number in the tables.
    """

    label: str
    description: str = ""
    computed: str = ""
    section: str = ""
    unit: str = ""
    scale: float = 1.0
    better: str | None = None
    compared: bool = True
    difference: tuple[str, ...] = ()
    margin: float | None = None
    images: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    epoch: str | None = None
    optional: bool = False
    column: Mapping[str, object] = field(default_factory=dict)

    @property
    def sign(self) -> int:
        """-1 where a higher value is better, else 1: what is best is smallest, times this."""
        return -1 if self.better == "higher" else 1


def names(*places: str) -> list[str]:
    """Return the names of the measures that are computed in one of `places`, in their order."""
    return [name for name, measure in MEASURES.items() if measure.computed in places]


MEASURES = {name: Measure(**entry) for name, entry in read_yaml(SCHEMA).items()}
"""Every measure by its name, in the order of the columns of runs.csv."""

RUN_MEASURES = names("history", "curve", "gap", "weights")
"""The measures that runs.csv has a column of."""

GAPS = {name.removeprefix("gap_"): tuple(MEASURES[name].difference) for name in names("gap")}
"""Every kind of gap with its two history columns: the first minus the second. For every run and
epoch, reported = lag + generalisation + split, and, where these are there, lag = lag_averaging +
lag_mode."""

OPTIONAL = [name for name, measure in MEASURES.items() if measure.optional]
"""The measures that only some models have, such as those with BatchNormalization or Dropout."""

"""Set two or more finished studies side by side, on one page that needs no network.

For MNIST beside Fashion-MNIST, or Adam beside SGD: the reported gap, the generalisation gap, test
accuracy and validation cross-entropy against lambda with their intervals, what differs between the
configurations, which lambda each study chooses, and its verdicts on the claims. The page says what
can be compared and what cannot; no study is tested against another.

The folders are named as the studies are on the page. Beside the page there will be a table of the
same name that ends in .csv, with the columns study, l2, measure, unit, n, mean, low, high,
diverged_seeds: a row per study, lambda and measure, at the last epoch.

Example:
    python scripts/compare.py results/mnist results/fashion --output comparison.html
"""

import argparse
import base64
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from l2study.core.files import write_text
from l2study.core.measures import MEASURES
from l2study.core.table_files import write_table
from l2study.core.wording import percent
from l2study.data.prepared import reason
from l2study.report import comparison, figures
from l2study.report.comparison import ComparisonError
from l2study.report.plot_helpers import diverged_text
from l2study.report.study import ReportError, Study

REPORTS = Path(__file__).resolve().parents[1] / "reports"


def compare(folders: Sequence[Path], output: Path) -> None:
    """Write the page `output`, and the table beside it, on the studies in `folders`.

    Raises:
        ComparisonError: `output` is not named .html, or the studies cannot be compared.
        ReportError: a study cannot be read.
        OSError: a file cannot be written.
    """
    if output.suffix != ".html":
        raise ComparisonError(f"--output: {output} is not allowed; allowed: a name in .html")
    studies = comparison.read_studies(folders)
    table = comparison.comparison_table(studies)
    page = to_html(studies, table, output.with_suffix(".csv").name)
    write_table(table, output.with_suffix(".csv"))
    write_text(output, page)


def to_html(studies: Sequence[Study], table: pd.DataFrame, csv: str) -> str:
    """Return the page.

    Args:
        studies: those to compare.
        table: of `comparison.comparison_table`.
        csv: the name of the file that has this table.
    """
    environment = Environment(
        loader=FileSystemLoader(REPORTS), autoescape=True, undefined=StrictUndefined
    )
    measures = [
        {
            "name": measure,
            "label": MEASURES[measure].label,
            "rows": comparison.measure_rows(studies, table, measure),
            "image": _image(studies, table, measure),
            "apart": measure in comparison.OF_THE_DATA and not comparison.same_data(studies),
        }
        for measure in comparison.COMPARED
    ]
    return environment.get_template("comparison.html.j2").render(
        style=(REPORTS / "page" / "page.css").read_text(encoding="utf-8"),
        names=[study.name for study in studies],
        short=[(study.name, comparison.in_short(study, table)) for study in studies],
        comparability=comparison.comparability(studies),
        differences=comparison.differences(studies),
        choices=comparison.choices(studies),
        verdicts=comparison.verdicts(studies),
        diverged=[
            (study.name, text) for study in studies if (text := diverged_text(study.tables["runs"]))
        ],
        measures=measures,
        level=percent(studies[0].config["confidence"]),
        csv=csv,
    )


def _image(studies: Sequence[Study], table: pd.DataFrame, measure: str) -> str:
    svg = figures.render(comparison.draw(studies, table, measure))["svg"]
    return base64.b64encode(svg).decode("ascii")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit with one line for what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="RESULTS", help="folder of a finished study"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("comparison.html"), help="the page (comparison.html)"
    )
    options = parser.parse_args(arguments)
    try:
        compare(options.folders, options.output)
    except (ComparisonError, ReportError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{options.output}: cannot be written: {reason(error)}")
    print(f"{options.output} and {options.output.with_suffix('.csv')}")


if __name__ == "__main__":
    main()

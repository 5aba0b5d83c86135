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

import sys
from collections.abc import Sequence
from pathlib import Path

from l2study.core.files import write_table, write_text
from l2study.core.program import parser
from l2study.data.prepared import reason
from l2study.report import comparison
from l2study.report.comparison import ComparisonError
from l2study.report.study import ReportError


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
    page = comparison.to_html(studies, table, output.with_suffix(".csv").name)
    write_table(table, output.with_suffix(".csv"))
    write_text(output, page)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit with one line for what is wrong."""
    command = parser(__doc__)
    command.add_argument(
        "folders", nargs="+", type=Path, metavar="RESULTS", help="folder of a finished study"
    )
    command.add_argument(
        "--output", type=Path, default=Path("comparison.html"), help="the page (comparison.html)"
    )
    options = command.parse_args(arguments)
    try:
        compare(options.folders, options.output)
    except (ComparisonError, ReportError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{options.output}: cannot be written: {reason(error)}")
    print(f"{options.output} and {options.output.with_suffix('.csv')}")


if __name__ == "__main__":
    main()

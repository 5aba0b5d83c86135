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

from pathlib import Path

from l2study.core.files import write_table, write_text
from l2study.core.program import faults_in_one_line, parser
from l2study.report import comparison


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
    output, beside = options.output, options.output.with_suffix(".csv")
    with faults_in_one_line("compare.py", output):
        if output.suffix != ".html":
            raise ValueError(f"--output: {output} does not end in .html")
        studies = comparison.read_studies(options.folders)
        table = comparison.comparison_table(studies)
        page = comparison.to_html(studies, table, beside.name)
        write_table(table, beside)
        write_text(output, page)
    print(f"{output} and {beside}")


if __name__ == "__main__":
    main()

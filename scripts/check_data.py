"""Look at prepared data for what misleads: classes, constant inputs, scales, copies in two parts.

Reads the manifest DATA and the arrays beside it, in pieces, and writes what there is to OUTPUT, as
JSON. Nothing is trained otherwise for it. The tables and the report say what is found.

Example:
    python scripts/check_data.py --data results/mnist/data.json \\
        --output results/mnist/data.check.json
"""

from pathlib import Path

from l2study.core.files import write_json
from l2study.core.program import faults_in_one_line, parser
from l2study.data.check import check_prepared


def main(arguments: list[str] | None = None) -> None:
    """Check the data and say how many findings there are."""
    options = parser(__doc__)
    options.add_argument("--data", required=True, type=Path, help="manifest of the prepared data")
    options.add_argument("--output", required=True, type=Path, help="file to write")
    given = options.parse_args(arguments)
    with faults_in_one_line("check_data.py", given.output):
        found = check_prepared(given.data)
        write_json(given.output, found)
    print(f"{given.data}: {sum(row['finding'] == 'yes' for row in found)} findings")


if __name__ == "__main__":
    main()

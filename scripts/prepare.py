"""Prepare a study's data: read it, check it, split it, and write it in a form quick to load.

Reads the keys `dataset` and `validation` of the configuration, and what a seed changes from
`variation` and `seeds`. Writes the manifest (JSON: counts, image shape, number of classes,
checksums) to OUTPUT and, beside it, the arrays, with `.images.npy` and `.labels.npy` in place of
`.json`: training rows first, then validation, then test. Where a seed changes which rows these are,
the arrays have the rows of the training file, then test, and every run chooses its own.

Example:
    python scripts/prepare.py --config config.yaml --output results/mnist/data.json
"""

from pathlib import Path

from l2study.core.config import read_config
from l2study.core.design import Setup
from l2study.core.program import add_config, faults_in_one_line, parser
from l2study.data.groups import groups_in
from l2study.data.preparation import prepare


def main() -> None:
    """Prepare the data and say in one line what there is."""
    options = parser(__doc__)
    add_config(options, "; a missing key has its default")
    options.add_argument("--output", required=True, type=Path, help="manifest to write, data.json")
    arguments = options.parse_args()
    with faults_in_one_line("prepare.py", arguments.output):
        known = prepare(Setup.of(read_config(arguments.config)), arguments.output)
    counts = ", ".join(f"{count} {part}" for part, count in known["counts"].items())
    shape = " x ".join(str(size) for size in known["shape"])
    low, high = known["values"]
    values = f"values {low:g} to {high:g}{'' if known['scale'] == 1 else ', divided by 255'}"
    if known.get("standardize"):
        values += ", standardised by the training rows of a run"
    if known.get("validation_left_out"):
        values += f"; {known['validation_left_out']} validation rows left out"
    for part, numbers in groups_in(known).items():
        values += f"; {part} rows of {numbers.max() + 1} groups"
    print(f"{known['source']}: {counts} rows of {shape}, {known['classes']} classes; {values}")


if __name__ == "__main__":
    main()

"""Prepare a study's data: read it, check it, split it, and write it in a form quick to load.

Reads the keys `dataset` and `validation` of the configuration, and what a seed changes from
`variation` and `seeds`. Writes the manifest (JSON: counts, image shape, number of classes,
checksums) to OUTPUT and, beside it, the arrays, with `.images.npy` and `.labels.npy` in place of
`.json`: training rows first, then validation, then test. Where a seed changes which rows these are,
the arrays have the rows of the training file, then test, and every run chooses its own.
"""

import argparse
import sys
from pathlib import Path

from l2study.core.config import ConfigError, read_config
from l2study.core.design import Setup
from l2study.core.files import read_json
from l2study.data.preparation import prepare
from l2study.data.prepared import DataError, load, reason


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  "
        "python scripts/prepare.py --config config.yaml --output results/mnist/data.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument(
        "--config",
        required=True,
        help="a YAML or JSON file, or the JSON text itself; a missing key has its default",
    )
    result.add_argument("--output", required=True, type=Path, help="manifest to write, data.json")
    return result


def main() -> None:
    """Prepare the data and say in one line what there is."""
    arguments = parser().parse_args()
    try:
        config = read_config(arguments.config)
        prepare(config, arguments.output)
        setup = Setup.of(config)
        data = load(arguments.output, setup.sources(setup.seeds[0]))
    except (ConfigError, DataError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        # NumPy says how much of an array was written, and not why it was not all of it.
        why = reason(error) if error.errno else f"is the disk full? ({reason(error)})"
        sys.exit(f"error: {arguments.output}: cannot be written: {why}")
    counts = ", ".join(f"{count} {part}" for part, count in data.counts.items())
    shape = " x ".join(str(size) for size in data.shape)
    low, high = read_json(arguments.output)["values"]
    values = f"values {low:g} to {high:g}{'' if data.scale == 1 else ', divided by 255'}"
    print(f"{data.source}: {counts} rows of {shape}, {data.classes} classes; {values}")


if __name__ == "__main__":
    main()

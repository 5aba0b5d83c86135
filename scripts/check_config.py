"""Check a configuration file before a study starts: what is wrong with it takes one line.

Snakemake reads the file too, but shows an error of its own where the file is absent or is not YAML.

Example:
    python scripts/check_config.py mine.yaml
"""

import sys
from pathlib import Path

from l2study.core.config import ConfigError, read_config
from l2study.core.program import parser


def main(arguments: list[str] | None = None) -> None:
    """Check the file; exit with one line if it is of no use."""
    options = parser(__doc__)
    options.add_argument("file", type=Path, help="a YAML file; a missing key has its default")
    try:
        read_config(options.parse_args(arguments).file)
    except ConfigError as error:
        sys.exit(f"config: {error}")


if __name__ == "__main__":
    main()

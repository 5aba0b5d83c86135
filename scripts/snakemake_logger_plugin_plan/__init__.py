"""A logger for Snakemake that says only what is wrong: warnings and errors.

They go to the standard error. Snakemake finds this folder where it is on PYTHONPATH, as
`--logger plan`.
"""

import logging
import sys

from snakemake_interface_logger_plugins.base import LogHandlerBase


class LogHandler(LogHandlerBase):
    """Prints warnings and errors, and nothing else."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = False
    needs_rulegraph = False

    def emit(self, record: logging.LogRecord) -> None:
        """Print that something is wrong."""
        if record.levelno >= logging.WARNING:
            print(self.format(record), file=sys.stderr)

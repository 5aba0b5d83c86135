"""A logger for Snakemake that says what a dry run would do, for programs to read.

Each job is a line of JSON on the standard output, with its rule and its shell command. Warnings and
errors go to the standard error. Snakemake finds this folder where it is on PYTHONPATH, as
`--logger plan`.
"""

import json
import logging
import sys

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent


class LogHandler(LogHandlerBase):
    """Prints jobs, warnings and errors, and nothing else."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = False
    needs_rulegraph = False

    def emit(self, record: logging.LogRecord) -> None:
        """Print what `record` tells of a job, or that something is wrong."""
        if getattr(record, "event", None) == LogEvent.JOB_INFO:
            print(json.dumps({"rule": record.rule_name, "command": record.shellcmd}))
        elif record.levelno >= logging.WARNING:
            print(self.format(record), file=sys.stderr)

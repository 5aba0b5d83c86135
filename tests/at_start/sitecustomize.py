"""What tests change in programs: where they run (preloaded.py), and what they meet (faults.py).

Python imports this module at its start where this folder is on PYTHONPATH.
"""

import json
import os
import socket
import sys
from pathlib import Path

PROGRAMS = ("snakemake", "prepare", "check_data", "aggregate", "report", "adopt")
"""Those that spend most of a small study's time on imports, and none on TensorFlow's."""


def status_of(command):
    """Return the exit status of a command of Python, run by the preloaded process."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"\0{os.environ['PRELOADED']}")
        socket.send_fds(connection, [b"."], [0, 1, 2])
        connection.sendall(json.dumps([command, os.getcwd(), dict(os.environ)]).encode())
        connection.shutdown(socket.SHUT_WR)
        return int(connection.recv(4) or 1)


if "PRELOADED" in os.environ:
    command = sys.orig_argv[1:]
    if command[:2] == ["-m", "snakemake"] or Path(*command[:1]).stem in PROGRAMS:
        os._exit(status_of(command))
if "INJECTED_FAULTS" in os.environ:
    import faults  # noqa: F401

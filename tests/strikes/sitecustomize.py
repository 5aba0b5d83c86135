"""Strike a program at a moment that a test has chosen, without a change to the program.

Python imports this module at its start, because `Project.start` puts this folder on PYTHONPATH.
The file that the environment variable STRIKES names holds a list of strikes: `{"at": PATTERN,
"do": ACTION, "once": true}`. A moment is one line of text, and PATTERN a regular expression that is
searched in it:

    open PATH MODE      just before a file is opened
    rename PATH         just before a file gets its final name
    print WORDS         just after a line was printed
"""

import builtins
import ctypes
import json
import os
import re
import signal
import sys
import time
from pathlib import Path


def wait():
    """Wait until the test takes the list of strikes away."""
    while LIST.exists():
        time.sleep(0.02)


def fail():
    """Fail as a program with a mistake does."""
    raise RuntimeError("out of luck")


def abort():
    """End as C++ does when it gives up: with a line that Python knows nothing of."""
    ctypes.CDLL(None).perror(b"a reason from C")
    os.abort()


def kill():
    """End as a process that the system kills."""
    os.kill(os.getpid(), signal.SIGKILL)


def strike(moment):
    """Do what the list says for this moment."""
    for number, pattern, action, once in STRIKES:
        if pattern.search(moment):
            if once:
                try:
                    LIST.with_suffix(f".struck-{number}").touch(exist_ok=False)
                except FileExistsError:
                    continue
            LIST.with_suffix(f".reached-{number}").touch()
            action()


def listen(event, arguments):
    """Tell the moments of Python's audit events; `os.replace` is one of `os.rename`."""
    if event == "os.rename":
        strike(f"rename {os.fsdecode(arguments[1])}")
    elif event == "open" and isinstance(arguments[0], str | bytes):
        strike(f"open {os.fsdecode(arguments[0])} {arguments[1]}")


def print_and_strike(*words, plain=builtins.print, **options):
    """Print, and tell that moment."""
    plain(*words, **options)
    strike("print " + " ".join(map(str, words)))


LIST = Path(os.environ.get("STRIKES", "/nonexistent"))
if LIST.is_file():
    STRIKES = [
        (number, re.compile(entry["at"]), globals()[entry["do"]], entry.get("once", False))
        for number, entry in enumerate(json.loads(LIST.read_text()))
    ]
    builtins.print = print_and_strike
    sys.addaudithook(listen)

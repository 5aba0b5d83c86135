"""Let a program meet a fault at a moment that a test has chosen, without a change to the program.

The environment variable INJECTED_FAULTS names a file with a list of faults: `{"at": PATTERN,
"do": ACTION, "once": true}`. PATTERN is a regular expression that is searched in a line of text,
the moment:

    open PATH MODE      just before a file is opened
    rename PATH         just before a file gets its final name
    print WORDS         just after a line was printed

Without "once", the fault meets every program that comes to this moment.
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
    """Wait until the test takes the list of faults away."""
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


def meet(moment):
    """Do what the list says for this moment."""
    for number, fault in enumerate(FAULTS):
        if re.search(fault["at"], moment):
            if fault.get("once"):
                try:
                    LIST.with_suffix(f".met-{number}").touch(exist_ok=False)
                except FileExistsError:
                    continue
            LIST.with_suffix(f".reached-{number}").touch()
            globals()[fault["do"]]()


def listen(event, arguments):
    """Tell the moments of Python's audit events; `os.replace` is one of `os.rename`."""
    if event == "os.rename":
        meet(f"rename {os.fsdecode(arguments[1])}")
    elif event == "open" and isinstance(arguments[0], str | bytes):
        meet(f"open {os.fsdecode(arguments[0])} {arguments[1]}")


def print_and_meet(*words, plain=builtins.print, **options):
    """Print, and tell that moment."""
    plain(*words, **options)
    meet("print " + " ".join(map(str, words)))


LIST = Path(os.environ.get("INJECTED_FAULTS", "/nonexistent"))
if LIST.is_file():
    FAULTS = json.loads(LIST.read_text())
    builtins.print = print_and_meet
    sys.addaudithook(listen)

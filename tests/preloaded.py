"""Snakemake, TensorFlow and all else, imported once for all studies that one process tests.

A small study spends most of its time on imports. Run as a program, this module imports what
programs of the project need, and runs each program that tests/at_start/sitecustomize.py asks for in
a child of its own. Training and measuring are left to the process that the project preloads.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import socket
import subprocess
import sys
import traceback
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parent


def environment(trains_itself: bool = False) -> dict[str, str]:
    """Return what the environment must have for programs to run preloaded.

    Those that train and measure do not if the study `trains_itself`.
    """
    own = _process()[1]
    return {k: v for k, v in own.items() if not (trains_itself and k.startswith("L2STUDY"))}


@cache
def _process() -> tuple[subprocess.Popen, dict[str, str]]:
    """The process of this module, which ends when that of the tests does, and see `environment`."""
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, json.loads(process.stdout.readline())


def _serve() -> None:
    """Run every program that is asked for, until standard input ends."""
    address = f"l2study-tests-{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{address}")
    listener.listen(100)
    own = {"PRELOADED": address, "PYTHONPATH": str(TESTS / "at_start")}
    print(json.dumps(own | _import_all()), flush=True)
    gc.freeze()  # children need not look through what is imported
    while listener in select.select([sys.stdin, listener], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(connection)
        connection.close()
        while os.waitpid(-1, os.WNOHANG)[0]:  # the preloaded process that trains stays
            pass


def _import_all() -> dict[str, str]:
    """Import what programs need, and return the address of the process that trains."""
    sys.path[:1] = [str(TESTS.parent / "scripts"), str(TESTS / "executor")]
    from l2study.training import preload

    preload.start()
    for package in ("data", "tables", "report"):
        folder = str(TESTS.parent / "scripts" / "l2study" / package)
        for module in pkgutil.iter_modules([folder], f"l2study.{package}."):
            importlib.import_module(module.name)
    import papermill  # noqa: F401  # what is imported late
    import smart_open  # noqa: F401
    from snakemake.cli import get_argument_parser

    get_argument_parser()  # imports every plugin, ours too
    del sys.path[1]
    for name in [name for name in sys.modules if name.split(".")[0] == "l2study"]:
        del sys.modules[name]  # each study imports its own
    return {preload.ADDRESS: os.environ[preload.ADDRESS]}


def _answer(connection: socket.socket) -> None:
    """Run the program that is asked for, and send its exit status."""
    _, descriptors, *_ = socket.recv_fds(connection, 1, 3)
    command, folder, environment = json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))
    program = os.fork()
    if program == 0:
        connection.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.setpgid(0, 0)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        if "INJECTED_FAULTS" in environment:
            runpy.run_path(str(TESTS / "at_start" / "faults.py"))
        status = _run(command)
        atexit._run_exitfuncs()
        os._exit(status)  # Python would take all modules apart, for a fifth of a second
    _, status = os.waitpid(program, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status) % 256).encode())
    os._exit(0)


def _run(command: list[str]) -> int:
    """Run a command of Python in this process, and return its exit status."""
    try:
        if command[0] == "-m":
            sys.argv, sys.path[0] = command[1:], os.getcwd()
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[0] = command, str(Path(command[0]).parent)
            runpy.run_path(command[0], run_name="__main__")
        return 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    _serve()

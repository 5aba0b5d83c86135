"""Snakemake and TensorFlow, imported once for all studies that the tests of one process run.

A study that starts nothing anew spends most of its time on imports. Run as a program, this module
imports both, and then runs Snakemake for every line of its standard input in a child of its own.
Training and measuring are done by one preloaded process of the project, with the project's code.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory


def snakemake(
    arguments: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess:
    """Run Snakemake in `folder` as `subprocess.run` would, and return what happened."""
    with TemporaryDirectory(prefix="l2study-preloaded-") as place:
        printed = [Path(place, name) for name in ("stdout", "stderr")]
        request = [arguments, str(folder), environment, *map(str, printed)]
        process, _ = _process()
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        code = int(process.stdout.readline())
        texts = [path.read_text() for path in printed]
    return subprocess.CompletedProcess(["snakemake", *arguments], code, *texts)


def address() -> dict[str, str]:
    """Return what the environment must have for the preloaded process to train and measure."""
    return _process()[1]


@cache
def _process() -> tuple[subprocess.Popen, dict[str, str]]:
    """The process of this module, which ends when that of the tests does, and see `address`."""
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, json.loads(process.stdout.readline())


def _serve() -> None:
    """Run Snakemake for every request on standard input."""
    sys.path[0] = str(Path(__file__).resolve().parents[1] / "scripts")
    from l2study.training import preload

    preload.start()
    del sys.path[0]
    for name in [name for name in sys.modules if name.split(".")[0] == "l2study"]:
        del sys.modules[name]  # each study imports its own
    import pydantic  # noqa: F401  # what a Snakefile makes Snakemake import, and ours imports
    import smart_open  # noqa: F401
    from snakemake.cli import get_argument_parser, main

    get_argument_parser()  # imports every plugin

    address = {preload.ADDRESS: os.environ[preload.ADDRESS]}
    print(json.dumps(address), flush=True)
    for line in sys.stdin:
        arguments, folder, environment, *printed = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment | address)
            for number, path in enumerate([os.devnull, *printed]):
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
            sys.argv = [str(Path(sys.executable).parent / "snakemake"), *arguments]
            sys.exit(main())
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()

"""Run jobs in children of a process that has imported TensorFlow already.

Importing TensorFlow takes as long as several epochs of training, and compiling takes as long as
two. So the jobs of one Snakemake process share a preloaded process:

1. `announce` tells later jobs an address, in their environment. It starts nothing.
2. The first job that finds nobody at this address starts the preloaded process; `start` does so at
   once. The process imports TensorFlow, computes nothing, and listens.
3. For each request (program, arguments, folder, environment, standard input, output and error) it
   forks a child that runs the program with them, and it sends the exit status back.
4. A child that has succeeded waits a few seconds for a request of the same kind. Its compiled
   programs then serve again.
5. A child ends when its job or the preloaded process does. The preloaded process ends when the
   Snakemake that announced it does, however that ends.
6. Where there is no preloaded process, a job does the work itself.
"""

import contextlib
import ctypes
import errno
import importlib
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ADDRESS = "L2STUDY_PRELOADED_PROCESS"
"""Name of the environment variable that tells jobs the address."""

_ACCEPTED = b"+"
_IDLE_SECONDS = 20
"""Between two runs, Snakemake may wait for files, on the file system of a cluster for seconds."""
_RUNS_PER_CHILD = 50
"""TensorFlow keeps nearly a megabyte of every run for itself: after so many, a new child begins."""

_PR_SET_PDEATHSIG = 1


def announce() -> None:
    """Let later jobs share a preloaded process that lives no longer than this process, unless one
    further up has announced one. Not on other systems than Linux."""
    if not os.environ.get(ADDRESS) and hasattr(os, "pidfd_open"):
        # An address in Linux's abstract namespace is no file, so none is ever left behind.
        os.environ[ADDRESS] = f"l2study-{os.getpid()}-{os.urandom(8).hex()}"


def start() -> subprocess.Popen | None:
    """Announce the preloaded process, start it at once, and return it; None where it cannot be."""
    announce()
    return _start(os.environ[ADDRESS]) if os.environ.get(ADDRESS) else None


def request(program: str, arguments: list[str], kind: list) -> int | None:
    """Return the exit status of `program`, run in a child of the preloaded process.

    Args:
        program: the name of a module beside the package, such as "train", with a function `main`.
        arguments: its command line.
        kind: requests of one kind may run in the same child, one after the other, if they come from
            the same folder and have the same environment.

    Returns:
        128 plus the number of the signal if a signal has ended the child, as in a shell. None where
        there is no preloaded process, or one of another interpreter: nothing has been run then.

    Raises:
        ConnectionError: the preloaded process was killed while the child ran; so was the child.
    """
    if not os.environ.get(ADDRESS):
        return None
    message = {
        "interpreter": sys.executable,
        "program": program,
        "arguments": arguments,
        "kind": [program, *kind],
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
    }
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            _connect(connection, os.environ[ADDRESS])
            _send(connection, message, [0, 1, 2])
            if connection.recv(1) != _ACCEPTED:
                return None
        except OSError:
            return None
        answer = connection.recv(4, socket.MSG_WAITALL)
    if len(answer) < 4:
        raise ConnectionError("the preloaded process in which this job ran was killed")
    status = os.waitstatus_to_exitcode(struct.unpack("!i", answer)[0])
    if status >= 0:
        return status
    if -status != signal.SIGABRT:  # before that one, C++ gives its reason
        reason = ", perhaps because memory ran out" if -status == signal.SIGKILL else ""
        print(f"ended by {signal.Signals(-status).name}{reason}", file=sys.stderr)
    return 128 - status


def _connect(connection: socket.socket, address: str) -> None:
    """Connect to the preloaded process at `address`, and start it first if nobody is there. That is
    an OSError where the process that announced it has ended."""
    place = b"\0" + address.encode()
    try:
        connection.connect(place)
    except ConnectionRefusedError:
        _start(address)
        for _ in range(50):
            # Another job may have taken the address and be about to listen.
            with contextlib.suppress(ConnectionRefusedError):
                connection.connect(place)
                return
            time.sleep(0.02)
        raise


def _start(address: str) -> subprocess.Popen | None:
    """Start the preloaded process at `address` and return it; None if there is one already."""
    scripts, others = str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")
    with contextlib.ExitStack() as open_files:
        owner = os.pidfd_open(int(address.split("-")[1]))
        open_files.callback(os.close, owner)
        listener = open_files.enter_context(socket.socket(socket.AF_UNIX))
        try:
            listener.bind(b"\0" + address.encode())
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return None
            raise
        listener.listen(1024)
        return subprocess.Popen(
            # -P: a train.py in the folder of a study is not ours
            [sys.executable, "-P", "-m", "l2study.training.preload"]
            + [str(listener.fileno()), str(owner)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [scripts, others]))},
            # It outlives the job that started it, and must not keep that job's files open.
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listener.fileno(), owner],
            start_new_session=True,  # away from the terminal's Ctrl-C
        )


@dataclass(eq=False)
class _Child:
    """A child, how to reach it, and the job that it works for, if any."""

    pid: int
    ended: int
    channel: socket.socket
    kind: list
    job: socket.socket | None = None
    runs: int = 0


def serve(listener: socket.socket, owner: int) -> None:
    """Answer requests on `listener` until the process of the descriptor `owner` ends; not at all
    where TensorFlow cannot be imported."""
    try:
        # Once, for all children: both are slow to load.
        import l2study.core.config_model
        import l2study.training.backend  # noqa: F401
    except ImportError:
        return  # training has an environment of its own
    _Server(listener).run(owner)


class _Server:
    """The children of the preloaded process, and what it waits for.

    Each file that is waited for is registered with the method that answers to it, and the child
    that it is about.
    """

    def __init__(self, listener: socket.socket):
        self._idle: list[_Child] = []
        self._waiting = selectors.DefaultSelector()
        self._wait(listener, self._request, None)

    def run(self, owner: int) -> None:
        """Answer until the process of the descriptor `owner` ends."""
        self._waiting.register(owner, selectors.EVENT_READ)
        while True:
            events = self._waiting.select(_IDLE_SECONDS if self._idle else None)
            if not events:
                _dismiss(self._idle)
            for key, _ in events:
                if key.fileobj == owner:
                    return
                answer, child = key.data
                answer(child, key.fileobj)

    def _wait(self, file: socket.socket | int, answer: Callable, child: _Child | None) -> None:
        self._waiting.register(file, selectors.EVENT_READ, (answer, child))

    def _request(self, _: None, listener: socket.socket) -> None:
        """Give a job that has connected to a child, or decline."""
        job, _ = listener.accept()
        child = _accept(job, self._idle)
        if child is None:
            job.close()
            return
        self._wait(job, self._job_ended, child)
        if child.ended not in self._waiting.get_map():
            self._wait(child.ended, self._child_ended, child)
            self._wait(child.channel, self._done, child)

    def _done(self, child: _Child, channel: socket.socket) -> None:
        """Let a child that has run a program wait for the next one."""
        said = b""
        with contextlib.suppress(ConnectionResetError):  # it was killed
            said = channel.recv(1)
        if not said:  # it ends, or goes on as another program
            self._waiting.unregister(channel)
            channel.close()
            return
        self._answer(child, 0)
        child.runs += 1
        self._idle.append(child)
        if child.runs == _RUNS_PER_CHILD:
            _dismiss(self._idle)

    def _job_ended(self, child: _Child, job: socket.socket) -> None:
        """Kill the child whose job has ended, unless it has just answered that job."""
        if child.job is job:
            # The child is not reaped yet, so its number is still its own.
            os.kill(child.pid, signal.SIGKILL)
            self._waiting.unregister(job)
            job.close()
            child.job = None

    def _child_ended(self, child: _Child, ended: int) -> None:
        """Forget a child that has ended, and tell its job if it still has one."""
        self._waiting.unregister(ended)
        os.close(ended)
        _, status = os.waitpid(child.pid, 0)
        if child.job is not None:
            self._answer(child, status)
        if child in self._idle:
            self._idle.remove(child)

    def _answer(self, child: _Child, status: int) -> None:
        """Tell the job of a child how its program has ended."""
        self._waiting.unregister(child.job)
        with child.job, contextlib.suppress(OSError):  # the job may have ended
            child.job.sendall(struct.pack("!i", status))
        child.job = None


def _dismiss(idle: list[_Child]) -> None:
    """Let the children in `idle` end: each sees that nothing more will come, and does."""
    for child in idle:
        child.channel.shutdown(socket.SHUT_WR)
    idle.clear()


def _accept(job: socket.socket, idle: list[_Child]) -> _Child | None:
    """Read a request and return the child that runs it, or None to decline."""
    credentials = job.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    if struct.unpack("3i", credentials)[1] != os.getuid():
        return None
    descriptors = []
    try:
        job.settimeout(10)
        message, descriptors = _receive(job)
        job.settimeout(None)
        if message is None or message["interpreter"] != sys.executable:
            return None
        kind = [message["kind"], message["folder"], message["environment"]]
        child = next((child for child in idle if child.kind == kind), None)
        if child is None:
            _dismiss(idle)  # so that there are never more children than jobs at a time
            child = _fork(kind)
        else:
            idle.remove(child)
        child.job = job
        # Either may have been killed meanwhile. That is seen, and told, when its end is noticed.
        with contextlib.suppress(OSError):
            _send(child.channel, message, descriptors)
        with contextlib.suppress(OSError):
            job.sendall(_ACCEPTED)
        return child
    except (OSError, ValueError, struct.error):
        return None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _fork(kind: list) -> _Child:
    """Return a new child that waits for requests."""
    ours, its = socket.socketpair()
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        _work(its, parent)
    its.close()
    return _Child(pid, os.pidfd_open(pid), ours, kind)


def _work(requests: socket.socket, parent: int) -> None:
    """Run programs as `requests` say, until there are no more or one fails, and exit."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it had ended before the line above
            return
        requests = socket.socket(fileno=os.dup2(requests.detach(), 3, inheritable=False))
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        nothing = os.open(os.devnull, os.O_RDWR)
        while True:
            message, descriptors = _receive(requests)
            if message is None:
                break
            _put_in_place(descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            os.chdir(message["folder"])
            os.environ.clear()
            os.environ.update(message["environment"])
            importlib.import_module(message["program"]).main(message["arguments"])
            sys.stdout.flush()
            sys.stderr.flush()
            _put_in_place([nothing] * 3)
            requests.sendall(_ACCEPTED)
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _put_in_place(descriptors: list[int]) -> None:
    """Make `descriptors` the standard input, output and error of this process."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)


def _send(connection: socket.socket, message: dict, descriptors: list[int]) -> None:
    body = json.dumps(message).encode()
    socket.send_fds(connection, [struct.pack("!I", len(body))], descriptors)
    connection.sendall(body)


def _receive(connection: socket.socket) -> tuple[dict | None, list[int]]:
    """Return the next message and its descriptors; None where there will be no more."""
    head, descriptors, *_ = socket.recv_fds(connection, 4, 3)
    if not head:
        return None, descriptors
    (length,) = struct.unpack("!I", head)
    return json.loads(connection.recv(length, socket.MSG_WAITALL)), descriptors


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))

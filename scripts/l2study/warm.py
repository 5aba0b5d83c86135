"""Run training jobs in children of a process that has TensorFlow imported already.

Importing TensorFlow takes as long as several epochs of training, compiling as long as two. So:

1. the workflow, or its part within a job of a cluster, starts this module as a process, which
   imports TensorFlow, without computing anything, and listens on a socket;
2. for each request (arguments, folder, environment, standard input, output and error of train.py)
   it forks a child that runs train.py with them, and it sends the exit status back;
3. a child that has succeeded waits a few seconds for a request that differs in lambda, seed and
   output alone, for which its compiled programs serve again;
4. a child ends when its train.py or this process does, this process when the workflow does,
   however they end;
5. where nothing listens, train.py does the work itself.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

ADDRESS = "L2STUDY_WARM_PROCESS"
"""Name of the environment variable that tells jobs the address."""

_ACCEPTED = b"+"
_IDLE_SECONDS = 20
"""Between two runs of a job on a cluster, Snakemake starts anew, which takes several seconds."""
_RUNS_PER_CHILD = 50
"""TensorFlow keeps nearly a megabyte of every run for itself: after so many, a new child begins."""

_PR_SET_PDEATHSIG = 1


def start() -> subprocess.Popen | None:
    """Start the warm process, tell it to later jobs in their environment, and return it.

    It ends when the calling process does or closes its standard input. Returns None, and does
    nothing, where the system lacks what it needs (other than Linux); jobs then run on their own.
    """
    if not hasattr(os, "pidfd_open"):
        return None
    # An address in Linux's abstract namespace is no file, so none is ever left behind.
    address = f"l2study-{os.getpid()}-{os.urandom(8).hex()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(b"\0" + address.encode())
        listener.listen(1024)
        process = subprocess.Popen(
            [sys.executable, "-m", "l2study.warm", str(listener.fileno())],
            cwd=Path(__file__).parents[1],
            # Nothing is ever written here. It closes with the caller, even if that is killed.
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            start_new_session=True,  # away from the terminal's Ctrl-C
        )
    os.environ[ADDRESS] = address
    return process


def request(arguments: list[str], kind: list) -> int | None:
    """Return the exit status of train.py with `arguments`, run in a child of the warm process.

    Requests of one `kind` from the same folder and with the same environment, one after the other,
    may run in the same child. A child that a signal has ended counts as 128 plus the signal's
    number, as in a shell. Returns None where no warm process listens, or one of another
    interpreter: nothing has been run then.

    Raises:
        ConnectionError: the warm process was killed while the child ran; so was the child.
    """
    if ADDRESS not in os.environ:
        return None
    message = {
        "interpreter": sys.executable,
        "arguments": arguments,
        "kind": kind,
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
    }
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(b"\0" + os.environ[ADDRESS].encode())
            _send(connection, message, [0, 1, 2])
            if connection.recv(1) != _ACCEPTED:
                return None
        except OSError:
            return None
        answer = connection.recv(4, socket.MSG_WAITALL)
    if len(answer) < 4:
        raise ConnectionError("the process that this run was trained in has been killed")
    status = os.waitstatus_to_exitcode(struct.unpack("!i", answer)[0])
    if status >= 0:
        return status
    if -status != signal.SIGABRT:  # before that one, C++ gives its reason
        reason = ", perhaps for want of memory" if -status == signal.SIGKILL else ""
        print(f"ended by {signal.Signals(-status).name}{reason}", file=sys.stderr)
    return 128 - status


@dataclass(eq=False)
class _Child:
    """A child, how to reach it, and the train.py that it works for, if any."""

    pid: int
    ended: int
    channel: socket.socket
    kind: list
    job: socket.socket | None = None
    runs: int = 0


def serve(listener: socket.socket) -> None:
    """Answer requests on `listener` until standard input closes, if TensorFlow is there."""
    try:
        import l2study.backend  # noqa: F401  # once, for all children
    except ImportError:
        return  # training has an environment of its own
    waiting = selectors.DefaultSelector()
    waiting.register(0, selectors.EVENT_READ, ("caller", None))
    waiting.register(listener, selectors.EVENT_READ, ("request", None))
    idle: list[_Child] = []

    def finished(child: _Child, status: int) -> None:
        waiting.unregister(child.job)
        with child.job, contextlib.suppress(OSError):  # train.py may have left
            child.job.sendall(struct.pack("!i", status))
        child.job = None

    while True:
        events = waiting.select(_IDLE_SECONDS if idle else None)
        if not events:
            _dismiss(idle)
        for key, _ in events:
            match key.data:
                case ("caller", _):
                    return
                case ("request", _):
                    job, _ = listener.accept()
                    child = _accept(job, idle)
                    if child is None:
                        job.close()
                        continue
                    waiting.register(job, selectors.EVENT_READ, ("left", child))
                    if child.ended not in waiting.get_map():
                        waiting.register(child.ended, selectors.EVENT_READ, ("ended", child))
                        waiting.register(child.channel, selectors.EVENT_READ, ("done", child))
                case ("done", child):
                    said = b""
                    with contextlib.suppress(ConnectionResetError):  # it was killed
                        said = child.channel.recv(1)
                    if said:
                        finished(child, 0)
                        child.runs += 1
                        idle.append(child)
                        if child.runs == _RUNS_PER_CHILD:
                            _dismiss(idle)
                    else:  # it ends, or goes on as another program
                        waiting.unregister(child.channel)
                        child.channel.close()
                case ("left", child) if child.job is key.fileobj:
                    # The child is not reaped yet, so its number is still its own.
                    os.kill(child.pid, signal.SIGKILL)
                    waiting.unregister(child.job)
                    child.job.close()
                    child.job = None
                case ("ended", child):
                    waiting.unregister(child.ended)
                    os.close(child.ended)
                    _, status = os.waitpid(child.pid, 0)
                    if child.job is not None:
                        finished(child, status)
                    if child in idle:
                        idle.remove(child)


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
        kind = [message["kind"], message["folder"], _lasting(message["environment"])]
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


def _lasting(environment: dict[str, str]) -> dict[str, str]:
    """Return `environment` without what Slurm says anew of every step of a job."""
    passing = ("SLURM_", "SRUN_")
    return {key: value for key, value in environment.items() if not key.startswith(passing)}


def _fork(kind: list) -> _Child:
    """Return a new child that waits for requests."""
    ours, its = socket.socketpair()
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        _work(its, parent)
    its.close()
    return _Child(pid, os.pidfd_open(pid), ours, kind)


def _work(requests: socket.socket, parent: int) -> None:
    """Run train.py as each of `requests` says, until there are no more or one fails, and exit."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it had ended before the line above
            return
        requests = socket.socket(fileno=os.dup2(requests.detach(), 3, inheritable=False))
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        import train

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
            train.main(message["arguments"])
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
    serve(socket.socket(fileno=int(sys.argv[1])))

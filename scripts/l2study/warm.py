"""Run training jobs in children of a process that has TensorFlow imported already.

Importing TensorFlow takes longer than several epochs of training. So:

1. the workflow starts this module as a process, which listens on a socket and does nothing else;
2. at its first request it imports TensorFlow, without computing anything;
3. for each request (arguments, folder, environment, standard input, output and error of train.py)
   it forks a child that runs train.py with them, and sends the child's exit status back;
4. a child ends when its train.py or this process does, this process when the workflow does,
   however they end;
5. where nothing listens, as on the nodes of a cluster, train.py does the work itself.
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
from pathlib import Path

ADDRESS = "L2STUDY_WARM_PROCESS"
"""Name of the environment variable that tells jobs the address."""

_ACCEPTED = b"+"
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


def request(arguments: list[str]) -> int | None:
    """Return the exit status of train.py with `arguments`, run in a child of the warm process.

    A child that a signal has ended counts as 128 plus the signal's number, as in a shell. Returns
    None where no warm process listens, or one of another interpreter: nothing has been run then.

    Raises:
        ConnectionError: the warm process was killed while the child ran; so was the child.
    """
    if ADDRESS not in os.environ:
        return None
    message = {
        "interpreter": sys.executable,
        "arguments": arguments,
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
    }
    body = json.dumps(message).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(b"\0" + os.environ[ADDRESS].encode())
            socket.send_fds(connection, [struct.pack("!I", len(body))], [0, 1, 2])
            connection.sendall(body)
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


def serve(listener: socket.socket) -> None:
    """Answer requests on `listener` until standard input closes."""
    waiting = selectors.DefaultSelector()
    waiting.register(0, selectors.EVENT_READ, "caller")
    waiting.register(listener, selectors.EVENT_READ, "request")
    while True:
        for key, _ in waiting.select():
            match key.data:
                case "caller":
                    return
                case "request":
                    connection, _ = listener.accept()
                    child = _accept(connection)
                    if child is None:
                        connection.close()
                    else:
                        ended = os.pidfd_open(child)
                        waiting.register(ended, selectors.EVENT_READ, ("ended", child, connection))
                        waiting.register(connection, selectors.EVENT_READ, ("left", child))
                case ("ended", child, connection):
                    waiting.unregister(key.fd)
                    os.close(key.fd)
                    if connection in waiting.get_map():
                        waiting.unregister(connection)
                    _, status = os.waitpid(child, 0)
                    with connection, contextlib.suppress(OSError):  # train.py may have left
                        connection.sendall(struct.pack("!i", status))
                case ("left", child):
                    # The child is not reaped yet, so its number is still its own.
                    waiting.unregister(key.fileobj)
                    os.kill(child, signal.SIGKILL)


def _accept(connection: socket.socket) -> int | None:
    """Read a request and return the process id of the child that runs it, or None to decline."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    if struct.unpack("3i", credentials)[1] != os.getuid():
        return None
    descriptors = []
    try:
        connection.settimeout(10)
        head, descriptors, *_ = socket.recv_fds(connection, 4, 3)
        (length,) = struct.unpack("!I", head)
        body = connection.recv(length, socket.MSG_WAITALL)
        connection.settimeout(None)
        message = json.loads(body)
        if message["interpreter"] != sys.executable:
            return None
        import l2study.backend  # noqa: F401  # once, for all children

        connection.sendall(_ACCEPTED)
        parent, child = os.getpid(), os.fork()
        if child == 0:
            _become_job(message, descriptors, parent)
        return child
    except (OSError, ValueError, struct.error):
        return None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _become_job(message: dict, descriptors: list[int], parent: int) -> None:
    """Run train.py as `message` says, with these standard streams, and exit."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it had ended before the line above
            return
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.chdir(message["folder"])
        os.environ.clear()
        os.environ.update(message["environment"])
        import train

        train.main(message["arguments"])
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


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))

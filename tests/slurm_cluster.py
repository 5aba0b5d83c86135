"""A real Slurm cluster of two nodes on this machine: Debian's programs, no systemd, no cgroups.

Every daemon is a child of this process, listens on loopback, keeps its files in one folder, and
gets SIGTERM if this process dies. `stop` ends what was started, by process id, and removes the
folder and the link /etc/slurm/slurm.conf. It takes root.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

NODES = ("n1", "n2")
CPUS = 4
MEMORY_MB = 6000
PACKAGES = {
    "munged": "munge",
    "mariadbd": "mariadb-server-core",
    "mariadb": "mariadb-client-core",
    "slurmdbd": "slurmdbd",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
}
"""A program of every Debian package that is needed, with the name of the package."""

_LINK = Path("/etc/slurm/slurm.conf")
_PREFIX = "one-host-slurm-"
_PR_SET_PDEATHSIG = 1

_SLURM = """\
ClusterName=onehost
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
SwitchType=switch/none
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=500
SlurmctldTimeout=60
SlurmdTimeout=10
KillWait=2
OverTimeLimit=0
MinJobAge=600
ReturnToService=2
JobRequeue=0
# the nodes have more processors and memory than the machine
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageEnforce=limits
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoragePass={folder}/munge.socket
PartitionName=main Nodes=ALL Default=YES LLN=YES MaxTime=120 DefaultTime=10 State=UP
PartitionName=short Nodes=ALL MaxTime=3 State=UP
"""

_NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
    " CPUs={cpus} RealMemory={memory}\n"
)

_DATABASE = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={dbd}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct_db
CommunicationParameters=NoInAddrAny
"""


class SlurmError(RuntimeError):
    """The cluster cannot be started here. The message says why."""


def wait_until(condition, seconds: float = 300, what: str = "it") -> None:
    """Return once `condition()` is true.

    Raises:
        TimeoutError: it is not within so many seconds.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.1)


def output(*command: str) -> str:
    """Return what a command prints; nothing if it fails."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        if done.returncode == 0:
            return done.stdout
    return ""


class Slurm:
    """The cluster, from `start` to `stop`."""

    def __init__(self, cpus: int = CPUS):
        """Set up, but not start, two nodes of `cpus` processors each."""
        self.cpus = cpus
        self.folder = Path()
        self.daemons: dict[str, subprocess.Popen] = {}
        self._hosts_line = ""

    def start(self) -> None:
        """Start all daemons, with a database of their own, and wait until both nodes are idle.

        Raises:
            SlurmError: this user is not root, or the machine belongs to another Slurm.
        """
        if os.getuid() != 0:
            raise SlurmError("starting Slurm takes root")
        ours = _LINK.is_symlink() and Path(os.readlink(_LINK)).parent.name.startswith(_PREFIX)
        if _LINK.exists() and not ours:
            raise SlurmError(f"{_LINK} belongs to another Slurm")
        if ours and output("scontrol", "ping").count("UP"):
            raise SlurmError(f"the cluster of {os.readlink(_LINK)} is running")
        if ours:  # of a process that was killed
            shutil.rmtree(Path(os.readlink(_LINK)).parent, ignore_errors=True)
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise

    def _start_all(self) -> None:
        for name in ("state", *NODES):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        host = socket.gethostname().partition(".")[0]
        self._resolve_to_loopback(host)
        ports = dict(zip(("ctld", "dbd", "sql", *NODES), _free_ports(3 + len(NODES)), strict=True))
        values = ports | {"folder": self.folder, "host": host, "password": secrets.token_hex(12)}
        nodes = [
            _NODE.format(name=name, host=host, port=ports[name], cpus=self.cpus, memory=MEMORY_MB)
            for name in NODES
        ]
        (self.folder / "slurm.conf").write_text(_SLURM.format(**values) + "".join(nodes))
        self._write_secret("slurmdbd.conf", _DATABASE.format(**values).encode())
        self._write_secret("munge.key", secrets.token_bytes(1024))
        # A job's own srun drops SLURM_CONF, so the file must stand where Slurm looks for it.
        _LINK.unlink(missing_ok=True)
        _LINK.symlink_to(self.folder / "slurm.conf")

        self._start_munged()
        self._start_mariadb(ports["sql"], values["password"])
        self._daemon("slurmdbd", "slurmdbd", "-D")
        self._wait_for("slurmdbd", lambda: output("sacctmgr", "-n", "show", "stats"))
        output("sacctmgr", "-i", "add", "cluster", "onehost")
        self.start_controller()
        for name in NODES:
            self.start_node(name)
        wait_until(lambda: self.states() == ["idle"] * len(NODES), what="two idle nodes")

    def start_controller(self) -> None:
        """Start slurmctld, for the first time or after `stop_controller`."""
        self._daemon("slurmctld", "slurmctld", "-D")
        self._wait_for("slurmctld", lambda: "UP" in output("scontrol", "ping"))

    def stop_controller(self) -> None:
        """End slurmctld."""
        _end(self.daemons.pop("slurmctld"))

    def start_node(self, name: str) -> None:
        """Start a node's slurmd, for the first time or after `crash`."""
        self._daemon(name, "slurmd", "-D", "-N", name)

    def crash(self, name: str) -> None:
        """Kill a node at once with everything that runs on it."""
        stepds = self._step_daemons(name)
        slurmd = self.daemons.pop(name)
        victims = [slurmd.pid, *stepds, *(p for stepd in stepds for p in _descendants(stepd))]
        for process in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        slurmd.wait()

    def spoil(self, name: str) -> None:
        """Let a node answer as before, but let every job die there before its first command."""
        (self.folder / name).rename(self.folder / f"{name}.away")

    def mend(self, name: str) -> None:
        """Undo `spoil`."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / f"{name}.away").rename(self.folder / name)

    def states(self) -> list[str]:
        """Return the state of every node."""
        return output("sinfo", "--noheader", "--Node", "--partition=main", "--format=%T").split()

    def jobs(self) -> list[str]:
        """Return the ids of the jobs in the queue, running or not."""
        return output("squeue", "--noheader", "--format=%i").split()

    def accounted(self, *fields: str) -> list[list[str]]:
        """Return these fields of sacct of all jobs so far, in the order of their ids."""
        lines = output(
            "sacct", "--allocations", "--parsable2", "--noheader", "--allusers",
            "--starttime=now-1day", f"--format={','.join(fields)}",
        )  # fmt: skip
        return [line.split("|") for line in lines.splitlines()]

    def stop(self) -> None:
        """End all jobs and daemons and remove every trace. May be called at any time."""
        if "slurmctld" in self.daemons:
            output("scancel", "--full", "--user=root")
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: not self.jobs(), 20)
        for name in NODES:
            if name in self.daemons:
                self.crash(name)
        for name in ("slurmctld", "slurmdbd", "mariadbd", "munged"):
            if daemon := self.daemons.pop(name, None):
                _end(daemon)
        if _LINK.is_symlink() and Path(os.readlink(_LINK)).parent == self.folder:
            _LINK.unlink()
        if self._hosts_line:
            hosts = Path("/etc/hosts")
            hosts.write_text(hosts.read_text().replace(self._hosts_line, "", 1))
            self._hosts_line = ""
        if self.folder.name.startswith(_PREFIX):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _daemon(self, name: str, program: str, *arguments: str) -> None:
        """Start `program`, which must not go to the background, as the daemon `name`."""

        def die_with_parent():
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

        with open(self.folder / f"{name}.out", "ab") as log:
            self.daemons[name] = subprocess.Popen(
                [shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") or program]
                + list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def _wait_for(self, name: str, condition) -> None:
        """Wait until `condition` holds; if the daemon `name` ends instead, say what it printed."""

        def ready():
            if self.daemons[name].poll() is not None:
                raise SlurmError(f"{name} ended: {(self.folder / f'{name}.out').read_text()}")
            return condition()

        wait_until(ready, what=name)

    def _start_munged(self) -> None:
        munge = f"{self.folder}/munge"
        files = [f"--{name}-file={munge}.{name}" for name in ("key", "pid", "log", "seed")]
        socket_ = f"{munge}.socket"
        self._daemon("munged", "munged", "--foreground", "--force", f"--socket={socket_}", *files)
        self._wait_for("munged", lambda: output("munge", "-n", "-S", socket_))

    def _start_mariadb(self, port: int, password: str) -> None:
        data, socket_ = self.folder / "database", self.folder / "mariadb.socket"
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}"]
            + ["--skip-test-db", "--auth-root-authentication-method=socket"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._daemon(
            "mariadbd", "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}",
            f"--socket={socket_}", "--bind-address=127.0.0.1", f"--port={port}",
            f"--pid-file={self.folder}/mariadbd.pid", "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=64M", "--innodb-lock-wait-timeout=900",
            "--innodb-flush-log-at-trx-commit=2",
        )  # fmt: skip
        client = ("mariadb", "--no-defaults", f"--socket={socket_}", "--execute")
        self._wait_for("mariadbd", lambda: output(*client, "select 1"))
        for user in ("'slurm'@'127.0.0.1'", "'slurm'@'localhost'"):
            create = f"create user {user} identified by '{password}';"
            grant = f"grant all on slurm_acct_db.* to {user};"
            subprocess.run([*client, f"{create} {grant}"], check=True)

    def _resolve_to_loopback(self, host: str) -> None:
        """Daemons listen where the host's own name points to: for now, that is loopback."""
        with contextlib.suppress(OSError):
            if socket.gethostbyname(host).startswith("127."):
                return
        hosts = Path("/etc/hosts")
        self._hosts_line = f"127.0.0.1 {host}\n"
        hosts.write_text(self._hosts_line + hosts.read_text())

    def _write_secret(self, name: str, content: bytes) -> None:
        with open(os.open(self.folder / name, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(content)

    def _step_daemons(self, node: str) -> list[int]:
        """Return the ids of the processes that run a node's job steps: they hold its log open."""
        found, log = [], f"{self.folder}/slurmd.{node}.log"
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "comm").read_text().strip() == "slurmstepd" and any(
                    os.readlink(file) == log for file in (process / "fd").iterdir()
                ):
                    found.append(int(process.name))
        return found


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _descendants(process: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            for child in map(int, (thread / "children").read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _end(daemon: subprocess.Popen) -> None:
    daemon.terminate()
    try:
        daemon.wait(20)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()

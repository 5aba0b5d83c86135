"""A copy of the project, and a tiny study run in it by real Snakemake."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import yaml

import preloaded
from tiny import PROJECT, write_npz

STUDY = {
    "study": "tiny",
    "dataset": {"path": "tiny.npz"},
    "validation": {"fraction": 0.2},
    "model": {"hidden_units": [8]},
    "training": {"learning_rate": 0.01, "batch_size": 32, "epochs": 3},
    "lambdas": [0, 0.001, 0.03],
    "seeds": 3,
}

_NOT_COPIED = (".*", "results", "logs", "tests", "benchmarks")


class Project:
    """A copy of the project in a folder of its own, made with its data unless it is there already.

    `make`, `fail` and `program` run programs as tests/preloaded.py does. Its process trains and
    measures too, unless the study `trains_itself`: a test that changes the code of these, or kills
    them, sets it to True, and so does one with faults.
    """

    trains_itself = False

    def __init__(self, folder: Path):
        self.folder = folder
        self._faults = folder / ".faults.json"
        if not (folder / "Snakefile").exists():
            shutil.copytree(
                PROJECT, folder, ignore=shutil.ignore_patterns(*_NOT_COPIED), dirs_exist_ok=True
            )
            write_npz(folder / "tiny.npz")
            self.configure()

    @property
    def results(self) -> Path:
        return self.folder / "results" / "tiny"

    def run_folder(self, l2: str, seed: int) -> Path:
        return self.results / "runs" / f"l2~{l2}" / f"seed~{seed}"

    def configure(self, **changes) -> None:
        """Write tiny.yaml: the tiny study with these keys in place of its own."""
        text = yaml.safe_dump(STUDY | changes, sort_keys=False)
        (self.folder / "tiny.yaml").write_text(text)

    def shorten_report(self) -> None:
        """Leave of the report its beginning and the figure of gaps: drawing takes long.

        For tests of what happens around a report. Whole ones are those of the project `finished`.
        """
        reports = self.folder / "reports"
        for caption in (reports / "captions").glob("*.rst"):
            if caption.stem not in ("gap", "accuracy_and_gap"):
                caption.unlink()
        notebook = json.loads((reports / "report.ipynb").read_text())
        kept = ("config = ", "page.header(", "page.overview(", "page.answer(")
        kept += ('page.figure(study, "gap"', "page.sources(")
        cells = [(cell, "".join(cell["source"])) for cell in notebook["cells"]]
        notebook["cells"] = [cell for cell, text in cells if any(word in text for word in kept)]
        assert len(notebook["cells"]) == len(kept)
        (reports / "report.ipynb").write_text(json.dumps(notebook))

    def make(self, *arguments: str) -> str:
        """Run Snakemake on tiny.yaml; it must succeed. Return what it printed."""
        return self._run(arguments, succeeds=True)

    def fail(self, *arguments: str) -> str:
        """Run Snakemake on tiny.yaml; it must fail. Return what it printed."""
        return self._run(arguments, succeeds=False)

    def planned(self, *arguments: str) -> Counter:
        """Return how many jobs of each rule a dry run plans."""
        text = self.make("--dry-run", *arguments)
        return Counter(re.findall(r"^(?:local)?rule (\w+):$", text, re.MULTILINE))

    def _run(self, arguments: tuple[str, ...], succeeds: bool) -> str:
        served = self._environment() | preloaded.environment(self._is_alone())
        started = self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=served)
        printed = b"".join(started.communicate()).decode()
        assert (started.returncode == 0) == succeeds, printed
        return printed

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        """Start Snakemake on tiny.yaml, in a process group of its own as a terminal does.

        On two cores of this machine, or on one if the process of all tests trains, unless
        `arguments` say otherwise or name the profile of a cluster.
        """
        return subprocess.Popen(
            [str(Path(sys.executable).parent / "snakemake"), *self._command(arguments)],
            cwd=self.folder,
            process_group=0,
            # as in a terminal, even where the tests themselves were started with Ctrl-C ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **{"env": self._environment()} | options,
        )

    def program(self, name: str, *arguments: str) -> subprocess.CompletedProcess:
        """Run a program of scripts/ in the folder of the study and return what happened."""
        return subprocess.run(
            [sys.executable, f"scripts/{name}.py", *arguments],
            cwd=self.folder,
            env=os.environ | preloaded.environment(self._is_alone()),
            capture_output=True,
            text=True,
        )

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        own_cores = {"--cores", "--workflow-profile"} & set(arguments)
        # with two, runs are compiled in two processes, while other tests wait
        cores = [] if own_cores else ["--cores", "2" if self._is_alone() else "1"]
        return [*arguments, *cores, "--configfile", "tiny.yaml"]

    def _is_alone(self) -> bool:
        """Return whether a process of this study's own trains."""
        return self.trains_itself or self._faults.exists()

    def _environment(self) -> dict[str, str]:
        """Return the environment of a user, but for XLA's cache of compiled programs."""
        own = {k: v for k, v in os.environ.items() if not k.startswith("L2STUDY")}
        if self._faults.exists():
            own["PYTHONPATH"] = str(PROJECT / "tests" / "at_start")
            own["INJECTED_FAULTS"] = str(self._faults)
        return own

    def inject(self, *faults: dict) -> None:
        """Let programs of studies that are started from now on meet these faults.

        tests/at_start/faults.py says what a fault is.
        """
        for old in self.folder.glob(f"{self._faults.stem}.*"):
            old.unlink()
        self._faults.write_text(json.dumps(faults))

    def met_all_faults(self) -> bool:
        """Return whether every fault has met one program at least."""
        faults = range(len(json.loads(self._faults.read_text())))
        return all(self._faults.with_suffix(f".reached-{n}").exists() for n in faults)

    def remove_faults(self) -> None:
        """Let programs that wait go on, and inject no more."""
        self._faults.unlink()

    def processes(self) -> list[int]:
        """Return the ids of all processes that work in this project's folder."""
        found = []
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if (process / "cwd").resolve().is_relative_to(self.folder.resolve()):
                    found.append(int(process.name))
        return found

    def kill(self) -> None:
        """End, as a power cut would, every process that works in this project's folder."""
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def copy(self, folder: Path) -> "Project":
        """Return a copy of the project as it stands, with Snakemake's records, in `folder`."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def times(self, pattern: str = "runs/**/*.csv") -> dict[Path, int]:
        """Return when each file of the results was last changed."""
        return {path: path.stat().st_mtime_ns for path in self.results.glob(pattern)}

    def table(self, name: str) -> list[dict[str, str]]:
        """Return a table, cell by cell as text, without the columns of times and memory."""
        costs = ("seconds", "cpu_seconds", "peak_memory_mb")
        with open(self.results / "tables" / f"{name}.csv", newline="") as file:
            return [
                {k: v for k, v in row.items() if not k.startswith(costs)}
                for row in csv.DictReader(file)
            ]

    def tables(self) -> dict[str, list[dict[str, str]]]:
        """Return every table by its name; see `table`."""
        paths = sorted((self.results / "tables").glob("*.csv"))
        return {path.stem: self.table(path.stem) for path in paths}
